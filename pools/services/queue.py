"""The queue: those who wait get what becomes free, in their order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from pools import dispatch
from pools.domain import choices, quotas
from pools.domain.chips import Entry
from pools.domain.quota_books import Book
from pools.domain.request import WHOLE_MILLI, Choice
from pools.selectors import placeable, waiting
from pools.selectors.placeable import Room
from pools.selectors.waiting import Queued
from pools.services import claims, models, quota_use, starving, writing
from pools.services.batches import Answer, Made, reason_to_wait

AT_ONCE: Final = 200


def advance(*, now: datetime) -> int:
    """Claim for those who wait what can be had now; return how many got something.

    Two at once are harmless: each allocation is locked by whoever claims for it.
    """
    found = waiting.queue(limit=AT_ONCE)
    if not found:
        return 0
    over = _over_quota(found, now)
    queued = sorted(found, key=lambda each: (-each.priority, each.id in over, each.queued_at, each.id))
    promised = starving.start(queued, now=now)
    started = sum(not reason for reason in promised.values())
    left = [each for each in queued if promised.get(each.id) != ""]
    answers = _answers(left, now)
    reasons = {each.id: reason_to_wait(answers[each.id]) for each in left}
    _note(
        [
            (each.id, reason, each.id in over)
            for each in left
            if (reason := reasons[each.id]) and (reason, each.id in over) != (each.reason, each.is_borrowed)
        ]
    )
    starving.book([replace(each, reason=reason) for each in left if (reason := reasons[each.id])], now=now)
    count = started + sum(isinstance(answer, Made) for answer in answers.values())
    if count and len(found) == AT_ONCE:
        dispatch.advance_queue()  # those behind them
    return count


def _answers(queued: Sequence[Queued], now: datetime) -> dict[UUID, Answer]:
    """Return what each is answered now. To whom something is promised comes alone: others must not count on it."""
    together = [each for each in queued if each.booked_at is None]
    found = claims.submit([starving.asked(each) for each in together], now=now) if together else []
    answers = {each.id: answer for each, answer in zip(together, found, strict=True)}
    for each in queued:
        if each.booked_at is not None:
            (answers[each.id],) = claims.submit([starving.asked(each)], now=now)
    return answers


def _over_quota(queued: Sequence[Queued], now: datetime) -> set[UUID]:
    """Return those whose project would then use more than its own: what they want first says of which model."""
    fleet, chips = placeable.fleet(now), models.current().by_slug
    asks: dict[UUID, quotas.Ask] = {}
    for each in queued:
        pools = {pool.id for pool in fleet.usable(each.lineage)}
        room = [pair for pair in fleet.room if pair.pool_id in pools]
        known = sorted({pair.model for pair in room})
        for choice in choices.of(each.wanted) if each.wanted.devices_per_member else ():
            wanted = choices.models(choice, known, chips)[:1]
            pair = next((pair for pair in room if pair.model in wanted), None)
            if pair is not None:
                asks[each.id] = _ask(each, choice, pair, chips)
                break
    book = quota_use.read(list(asks.values()))
    return {id for id, ask in asks.items() if _is_over(book, ask)}


def _is_over(book: Book, ask: quotas.Ask) -> bool:
    taken = book.take(ask)
    if isinstance(taken, quotas.Shortfall):
        return True
    book.give_back(ask)
    return taken.is_borrowed


def _ask(each: Queued, choice: Choice, pair: Room, chips: Mapping[str, Entry]) -> quotas.Ask:
    entry = chips.get(pair.model)
    found = entry.find_profile(choice.profile) if entry and choice.profile else None
    share = each.wanted.share
    milli = each.wanted.devices * (found[1].milli if found else share.milli if share else WHOLE_MILLI)
    return quotas.Ask(
        lineage=each.lineage,
        model_id=pair.model_id,
        profile=choice.profile,
        pool_id=pair.pool_id,
        milli=milli,
        units_milli=quotas.compute_units(milli, entry.compute_unit_milli if entry else WHOLE_MILLI),
    )


def _note(changed: Sequence[tuple[UUID, str, bool]]) -> None:
    """Keep what each waits for now, and whether it comes after all others of its priority."""
    if changed:
        _store(changed)


@writing.transaction
def _store(changed: Sequence[tuple[UUID, str, bool]]) -> None:
    ids, reasons, over = zip(*changed, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE allocation a SET queue_reason = n.reason, is_borrowed = n.is_over
            FROM unnest(%s::uuid[], %s::text[], %s::boolean[]) n (id, reason, is_over)
            WHERE a.id = n.id AND a.state = 'queued'
            """,
            [list(ids), list(reasons), list(over)],
        )
