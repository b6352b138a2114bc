"""Who would have to give way so that a request fits: in one pool only, as few as possible. Pure rules."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from pools.domain import choices, overlays
from pools.domain.candidates import End, View
from pools.domain.decisions import Decision
from pools.domain.planner import Draft
from pools.domain.quotas import Ask
from pools.domain.request import Wanted

TRIED_MOST: Final = 64  # of a pool: those that are first to go


class Victim(Struct, frozen=True, kw_only=True):
    """A live allocation that may give way. ``ends`` are its claims, ended; ``root_id`` is its tenant.

    ``notice_seconds`` and ``min_run_seconds`` are what it was promised, ``ask`` is what its quotas count.
    """

    allocation_id: UUID
    name: str
    project: str
    root_id: UUID
    pool_id: UUID
    priority: int
    is_preemptible: bool
    is_borrowed: bool
    started_at: datetime
    min_run_seconds: int
    notice_seconds: int
    milli: int
    ask: Ask
    ends: tuple[End, ...]


class Preview(Struct, frozen=True, kw_only=True):
    """Those who would give way, the first to go first, and where the request would go then."""

    pool_id: UUID
    victims: tuple[Victim, ...]
    decision: Decision

    @property
    def notice_seconds(self) -> int:
        """How long it takes until all of them had their notice."""
        return max(victim.notice_seconds for victim in self.victims)


HasQuota = Callable[[Decision, Sequence[Victim]], bool]
"""True when the quotas have room for what was decided, once these are gone."""


def may_go(victim: Victim, priority: int, root_id: UUID, now: datetime, *, reclaims: bool) -> bool:
    """True when it may give way to a request of this priority and tenant.

    It ran as long as it was promised, and is preemptible and of a lower priority; or it uses what was borrowed within
    the tenant, is of no higher priority, and the request stays within its own (``reclaims``).
    """
    if victim.started_at + timedelta(seconds=victim.min_run_seconds) > now:
        return False
    is_lower = victim.is_preemptible and victim.priority < priority
    return is_lower or (reclaims and victim.is_borrowed and victim.root_id == root_id and victim.priority <= priority)


def choose(view: View, wanted: Wanted, victims: Iterable[Victim], *, has_quota: HasQuota) -> Preview | None:
    """Return the fewest who would have to give way, all in one pool; None when that is not enough anywhere.

    ``victims`` may all go, and what they go for has a quota then. None of those returned could stay. The lowest
    priority goes first, then what is borrowed, then the youngest, which has done the least work. Of several pools that
    with the fewest, then the least, is taken.
    """
    of_pool: dict[UUID, list[Victim]] = {}
    for victim in sorted(victims, key=_turn):
        of_pool.setdefault(victim.pool_id, []).append(victim)
    found = [
        preview
        for pool in view.pools
        if pool.id in of_pool and (preview := _in_pool(view, wanted, pool.id, of_pool[pool.id][:TRIED_MOST], has_quota))
    ]
    return min(found, key=_cost, default=None)


def _turn(victim: Victim) -> tuple[int, bool, float, UUID]:
    return victim.priority, not victim.is_borrowed, -victim.started_at.timestamp(), victim.allocation_id


def _cost(preview: Preview) -> tuple[int, int, int, UUID]:
    victims = preview.victims
    return len(victims), max(each.priority for each in victims), sum(each.milli for each in victims), preview.pool_id


def _in_pool(
    view: View, wanted: Wanted, pool_id: UUID, victims: Sequence[Victim], has_quota: HasQuota
) -> Preview | None:
    pools = tuple(pool for pool in view.pools if pool.id == pool_id)
    here = replace(view, pools=pools, candidates=tuple(row for row in view.candidates if row.pool_id == pool_id))

    models = sorted({row.model for row in here.candidates if row.model})

    def without(gone: Sequence[Victim]) -> Decision | None:
        freed = overlays.freed(here, [end for victim in gone for end in victim.ends])
        draft, left = Draft(freed, is_explained=False, tells_why=False), wanted
        while isinstance(decision := draft.plan(left), Decision):
            if has_quota(decision, gone):
                return decision
            # As with every request: what the quotas have no room for is followed by what would do as well.
            rank, model = decision.explanation.rank, decision.model or ""
            any_of = choices.after(left, rank, model, models, view.chips) if decision.milli else ()
            if not any_of:
                return None
            left = replace(left, any_of=any_of)
        return None

    chosen = next(([victim] for victim in victims if without([victim])), None)
    if chosen is None:
        if without(victims) is None:
            return None
        chosen = list(victims)
        for victim in reversed(victims):
            others = [each for each in chosen if each is not victim]
            if others and without(others):
                chosen = others
    decision = without(chosen)
    return Preview(pool_id=pool_id, victims=tuple(chosen), decision=decision) if decision else None
