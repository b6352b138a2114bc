"""Claims: requests for capacity, one or a thousand, each answered with what it got or why it got nothing.

Read without locks, plan, write under guards; what somebody else was quicker at is planned again. One request is a batch
of one.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pools.domain import choices, waiting
from pools.domain.candidates import PoolView
from pools.domain.errors import Conflict, KeyUsed
from pools.domain.request import Wanted
from pools.domain.shapes import Shape
from pools.domain.waiting import Place
from pools.selectors import packing, placeable
from pools.selectors import waiting as line
from pools.selectors.candidates import Scores
from pools.selectors.placeable import Fleet
from pools.services import claiming, models, packing_prices, scheduling
from pools.services.asked import Asked
from pools.services.batches import Answer as Answer
from pools.services.batches import Batch, reason_to_wait, repeated
from pools.services.batches import Made as Made

_TURN_SECONDS: Final = 10
_many = threading.Lock()


def submit(asked: Sequence[Asked], *, now: datetime, is_brief: bool = False) -> list[Answer]:
    """Answer each request, in order. The failure of one is no other's.

    What cannot be had now waits in the queue where the request says so. The number of statements does not depend on
    how many ask, only on how often somebody else is quicker. With ``is_brief`` nobody waits for a locked quota: raises
    OperationalError because of LockNotAvailable, and some may have been answered before.
    """
    fleet = placeable.recent(now)
    version, prices = packing.current()
    scores = Scores(models.current().by_slug, prices, version)
    # Whoever waits goes before others, which somebody who was answered before must not; and what is booked for later
    # is looked for far and wide.
    waits = [each for each in asked if each.wanted.queue or each.wanted.start_at is not None]
    answers = repeated(waits, now)
    if later := [each for each in waits if _begins_later(each) and each.id not in answers]:
        answers |= scheduling.schedule(later, placeable.fleet(now), scores, now=now)
    everybody = asked
    if later or answers:
        asked = [each for each in asked if not _begins_later(each) and each.id not in answers]
    ahead = _ahead(fleet, scores, asked)
    for group in _by_pools(fleet, asked):
        answers |= Batch(fleet, group, scores, ahead, now, is_brief=is_brief).run()
    _queue(asked, answers, now)
    # Whoever is refused may have been answered before, or his twin was quicker: what it was made is what both are told.
    refused = [each for each in everybody if each.once and isinstance(answers[each.id], Conflict)]
    answers |= repeated([each for each in refused if not isinstance(answers[each.id], KeyUsed)], now)
    fresh = [each.wanted for each in asked if not each.is_waiting]
    packing_prices.note(_kinds(fresh, fleet, scores), now=now)
    return [answers[each.id] for each in everybody]


def submit_many(asked: Sequence[Asked], *, now: datetime) -> list[Answer]:
    """As ``submit``, for so many that a second one at the same moment would find the rows of the first one locked.

    They take turns, in this process and for a moment: one that waits for somebody holds up nobody.
    """
    is_turn = _many.acquire(timeout=_TURN_SECONDS)
    try:
        return submit(asked, now=now)
    finally:
        if is_turn:
            _many.release()


def _begins_later(asked: Asked) -> bool:
    return asked.wanted.start_at is not None and not asked.is_waiting


def _ahead(fleet: Fleet, scores: Scores, asked: Sequence[Asked]) -> list[Place]:
    """Return those who wait and whom the direct requests must not overtake. Who waits already comes in its turn."""
    direct = [each.wanted.priority for each in asked if not each.is_waiting]
    queued = line.queue(priority=min(direct)) if direct else []
    known = frozenset(scores.chips) | set(fleet.models)
    return [
        Place(
            id=each.id,
            priority=each.priority,
            lineage=each.lineage,
            reason=each.reason,
            reach=waiting.reach(each.wanted, fleet.usable(each.lineage), known, scores.chips),
            has_booking=each.booked_at is not None,
        )
        for each in queued
    ]


def _queue(asked: Sequence[Asked], answers: dict[UUID, Answer], now: datetime) -> None:
    """Let those wait who want to and have something to wait for."""
    stay = [
        (each, reason)
        for each in asked
        if each.wanted.queue and not each.is_waiting and (reason := reason_to_wait(answers[each.id]))
    ]
    if stay:
        again = claiming.insert_waiting(stay, now=now)
        for each, reason in stay:
            answers[each.id] = KeyUsed() if each.id in again else Made(each.id, "queued", reason)


def _kinds(wants: Sequence[Wanted], fleet: Fleet, scores: Scores) -> Counter[Shape]:
    """Count the requests by kind: those that are alike are thought about once."""
    alike: dict[Hashable, list[Wanted]] = {}
    for wanted in wants:
        key = wanted.any_of, wanted.share, wanted.per_member, wanted.devices_per_member
        alike.setdefault(key, []).append(wanted)
    counts: Counter[Shape] = Counter()
    for each in alike.values():
        counts[choices.kind(each[0], fleet.models, scores.chips)] += len(each)
    return counts


def _by_pools(fleet: Fleet, asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Yield the requests that may use the same pools together: they choose from one read.

    Those who wait stay in their order whatever they may use.
    """
    groups: list[tuple[tuple[PoolView, ...], list[Asked]]] = []
    usable: dict[int, tuple[PoolView, ...]] = {}  # many ask for one project, mostly with the same object
    for each in asked:
        pools = usable.get(id(each.lineage)) or usable.setdefault(id(each.lineage), fleet.usable(each.lineage))
        group = next((group for group in (groups[-1:] if each.is_waiting else groups) if group[0] is pools), None)
        if group is None:
            groups.append((pools, [each]))
        else:
            group[1].append(each)
    yield from (group for _, group in groups)
