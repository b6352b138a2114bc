"""What would happen: the decision itself, everything else that would do, and the way out where nothing does."""

from decimal import Decimal
from uuid import UUID

from msgspec import Struct

from pools.domain import changes, policies
from pools.domain.candidates import View
from pools.domain.changes import Short
from pools.domain.decisions import Change, Decision, Refusal
from pools.domain.planner import Draft
from pools.domain.policies import Policy
from pools.domain.request import Wanted


class Possible(Struct, frozen=True, kw_only=True):
    """A pool and model where all members fit. ``nodes`` are those that take at least one; ``rank`` is of any_of."""

    pool_id: UUID
    model: str | None
    profile: str | None
    nodes: int
    rank: int
    score: float
    fragmentation_delta: float
    price_per_hour: Decimal | None


class WhatIf(Struct, frozen=True, kw_only=True):
    """``answer`` is what the decision on this read would be. ``changes`` are empty where it fits."""

    answer: Decision | Refusal
    possible: tuple[Possible, ...]
    changes: tuple[Change, ...]


def ask(
    view: View,
    wanted: Wanted,
    policy: Policy | None = None,
    *,
    short: Short | None = None,
    tells_nodes: bool = True,
) -> WhatIf:
    """Return what the planner would decide, and the rest of what a person wants to know before asking for it."""
    policy = policy or policies.find(wanted.policy, wanted.pools.names or ())
    draft = Draft(view)
    answer = draft.plan(wanted, policy)
    is_refused = isinstance(answer, Refusal)
    return WhatIf(
        answer=answer,
        possible=() if is_refused else _possible(draft, wanted, policy),  # refused it is only where none would do
        changes=changes.found(draft.brief(), wanted, policy, short=short, tells_nodes=tells_nodes)
        if is_refused or short is not None
        else (),
    )


def _possible(draft: Draft, wanted: Wanted, policy: Policy) -> tuple[Possible, ...]:
    """In the order in which they would be taken: by rank, then by score."""
    found = []
    for number, rank in enumerate(draft.ranks(wanted, policy)):
        for site in rank.sites:
            place = draft.tried(site, wanted)
            if place is None:
                continue
            group = site.group
            slots = [draft.board.slots[slot] for slot in group.slots]
            found.append(
                Possible(
                    pool_id=group.pool.id,
                    model=group.model or None,
                    profile=group.need.profile or None,
                    nodes=sum(slot.candidate.alike for slot in slots if site.ways.best(slot.state) is not None),
                    rank=number,
                    score=sum(place.score),
                    fragmentation_delta=sum([step.best.loss for step in place.steps]),
                    price_per_hour=None if group.price_per_hour is None else group.price_per_hour * wanted.members,
                )
            )
    return tuple(sorted(found, key=lambda possible: (possible.rank, possible.score)))
