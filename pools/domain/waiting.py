"""Who waits before whom, and for what: a request overtakes nobody of its priority who wants the same. Pure rules."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from msgspec import Struct

from pools.domain import choices, labels
from pools.domain.candidates import PoolView
from pools.domain.chips import Entry
from pools.domain.request import Wanted

OVER_QUOTA: Final = "quota_exceeded"
BEHIND: Final = "queue"
CPU_ONLY: Final = ""
# Refusals that time alone does not change: whoever meets one of them waits for nothing.
HOPELESS: Final = frozenset({"no_model", "not_granted", "not_offered", "selector", "avoid", "grain_ambiguous", "price"})


class Reach(Struct, frozen=True):
    """What a request could be given: one of these models in one of these pools. CPU and memory alone are CPU_ONLY."""

    models: frozenset[str]
    pools: frozenset[UUID]

    def meets(self, other: "Reach") -> bool:
        """True when the two could be given the same."""
        return not self.models.isdisjoint(other.models) and not self.pools.isdisjoint(other.pools)


class Place(Struct, frozen=True, kw_only=True):
    """Somebody in the queue. ``has_booking``: what it waits for is kept for it, so others may pass meanwhile."""

    id: UUID
    priority: int
    lineage: tuple[UUID, ...]
    reason: str
    reach: Reach
    has_booking: bool = False

    def holds_back(self, priority: int, lineage: Collection[UUID], reach: Reach) -> bool:
        """True when somebody of that priority, project and reach would overtake.

        Who waits for a quota competes with those only whose use that quota counts too: the own project, those above
        it and below.
        """
        if self.priority < priority or self.has_booking:
            return False
        if self.reason == OVER_QUOTA and self.lineage[-1] not in lineage and tuple(lineage)[-1] not in self.lineage:
            return False
        return self.reach.meets(reach)


def reach(wanted: Wanted, pools: Collection[PoolView], known: Collection[str], chips: Mapping[str, Entry]) -> Reach:
    """Return what a request could be given of these pools, whether it is free now or not."""
    terms = labels.requirements(wanted.pools.labels or "")
    names, kinds, regions = wanted.pools.names, wanted.pools.kinds, wanted.pools.regions
    return Reach(
        frozenset(model for choice in choices.of(wanted) for model in choices.models(choice, known, chips))
        if wanted.devices_per_member
        else frozenset({CPU_ONLY}),
        frozenset(
            pool.id
            for pool in pools
            if (names is None or pool.name in names or str(pool.id) in names)
            and (kinds is None or pool.kind in kinds)
            and (regions is None or pool.region in regions)
            and labels.hold(terms, pool.labels)
        ),
    )
