"""What would become of a request: the same read, plan and quota as for the request itself, and nothing is written."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from pools.domain import choices, what_if
from pools.domain.candidates import PoolView
from pools.domain.changes import Short
from pools.domain.decisions import Change, Decision, PoolRefusal
from pools.domain.planner import Draft
from pools.domain.preemption import Preview
from pools.domain.quotas import Shortfall
from pools.domain.request import Wanted
from pools.domain.what_if import Possible, WhatIf
from pools.selectors import alike, candidates, ends, packing, placeable, promises
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet
from pools.services import models, preemptions, quota_use, scheduling
from pools.services.asked import Asked


@dataclass(frozen=True, slots=True)
class Answer:
    """``decision`` is where it would go now, None where it would be refused for ``reason``.

    ``possible`` are all pools and models that would do; ``refusals`` say why others do not. ``preemption`` are those
    who could make room, for whoever may tell them to.
    """

    decision: Decision | None
    reason: str
    possible: Sequence[Possible]
    refusals: Sequence[PoolRefusal]
    changes: Sequence[Change]
    pools: dict[UUID, PoolView]
    preemption: Preview | None = None


def ask(asked: Asked, *, now: datetime) -> Answer:
    """Return what the request would be answered now. Some queries, as many as a claim that is not overtaken.

    Whoever may not read all nodes learns neither which node others would have to free nor when others' leases end.
    """
    version, prices = packing.current()
    scores = Scores(models.current().by_slug, prices, version)
    fleet = placeable.fleet(now, asked.lineage)
    pools = fleet.usable(asked.lineage)
    read, found = _planned(asked, asked.wanted, fleet, pools, scores, now)
    shortfall: Shortfall | None = None
    wanted = asked.wanted
    while isinstance(found.answer, Decision) and (missing := _shortfall(asked, found.answer, read, scores)):
        # As a claim does: what comes after the model that the quotas have no room for.
        shortfall = shortfall or missing
        decision, known = found.answer, sorted(read.models)
        rank, model = decision.explanation.rank, decision.model or ""
        any_of = choices.after(wanted, rank, model, known, scores.chips) if decision.milli else ()
        if not any_of:
            break
        wanted = replace(wanted, any_of=any_of)
        read, found = _planned(asked, wanted, fleet, pools, scores, now)
    else:
        shortfall = shortfall if not isinstance(found.answer, Decision) else None
    if shortfall is not None:
        is_units = shortfall.row is not None and shortfall.row.model_id is None
        short = Short(shortfall.wanted_milli - shortfall.available_milli, is_units)
        found = what_if.ask(read.view, asked.wanted, short=short)
        answer = _answer(found, "quota_exceeded", fleet)
    elif isinstance(found.answer, Decision):
        return _answer(found, "", fleet)
    else:
        answer = _answer(found, found.answer.code, fleet)
    if asked.wanted.start_at is not None or not asked.actor.access.everywhere("allocation", "operate"):
        return answer
    return dataclasses.replace(answer, preemption=preemptions.preview(asked, fleet, scores, now=now)[1])


def _planned(
    asked: Asked, wanted: Wanted, fleet: Fleet, pools: Sequence[PoolView], scores: Scores, now: datetime
) -> tuple[Read, WhatIf]:
    """Read wider until something fits or there is no more; then count the nodes that the rows stand for.

    Where nothing fits, what is too small is looked at as well: it says why, and what would do. Of what begins later
    all is read at once.
    """
    tells_nodes = asked.actor.access.everywhere("node", "read")
    if wanted.start_at is not None:
        read = promises.later(fleet, pools, wanted, scores, scheduling.window(asked), now=now)
        return read, what_if.ask(read.view, wanted, tells_nodes=tells_nodes)
    for round in range(candidates.ROUNDS):
        read = candidates.read(fleet, pools, [wanted], scores, chance=asked.id.int, round=round, now=now)
        # Most rounds of what fits nowhere find no row at all.
        fits = bool(read.view.candidates) and Draft(read.view, is_explained=False, tells_why=False).fits(wanted)
        if fits or read.view.is_exhausted:
            break
    if not fits:
        smaller = replace(wanted, devices_per_member=min(wanted.devices_per_member, 1))
        round = candidates.ALMOST
        read = candidates.read(fleet, pools, [smaller], scores, chance=asked.id.int, round=round, now=now)
    read.view = alike.counted(read.view, read.models)
    if not fits:
        read.view = ends.known(read, wanted, scores, tenant_id=None if tells_nodes else asked.lineage[0], now=now)
    return read, what_if.ask(read.view, wanted, tells_nodes=tells_nodes)


def _shortfall(asked: Asked, decision: Decision, read: Read, scores: Scores) -> Shortfall | None:
    ask = scheduling.ask_of(asked, decision, read, scores)
    if asked.wanted.start_at is not None:
        return scheduling.shortfall(ask, scheduling.window(asked))
    taken = quota_use.read([ask]).take(ask)
    return taken if isinstance(taken, Shortfall) else None


def _answer(found: WhatIf, reason: str, fleet: Fleet) -> Answer:
    is_decided = isinstance(found.answer, Decision)
    return Answer(
        decision=found.answer if isinstance(found.answer, Decision) and not reason else None,
        reason=reason,
        possible=found.possible,
        refusals=() if isinstance(found.answer, Decision) else found.answer.pools,
        changes=found.changes if reason or not is_decided else (),
        pools={pool.id: pool for pool in fleet.pools},
    )
