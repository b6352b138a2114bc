"""Shadow use: how much of which pools is used by somebody who got nothing from ocenter."""

from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Sum

from pools.domain.access import Access
from pools.models import CapacityRollup
from pools.selectors import access as rights

_MOST: Final = 50


class ShadowRow(msgspec.Struct, frozen=True, kw_only=True):
    """Use of a pool's devices that carries no marker of ours, and that of orphans, in milli-devices."""

    pool: str
    pool_id: UUID
    shadow_milli: int
    total_milli: int


def by_pool(access: Access) -> list[ShadowRow]:
    """Return the pools with shadow use, those with the most first. One query."""
    found = (
        CapacityRollup.objects.filter(
            rights.pools(access, "device", column="pool"),
            kind__in=("cards", "counter"),
            is_advisory=False,
            pool__removed_at=None,
        )
        .values("pool__name", "pool_id")
        .annotate(shadow=Sum("shadow_milli"), total=Sum("total_milli"))
        .filter(shadow__gt=0)
        .order_by("-shadow", "pool__name")[:_MOST]
    )
    return [
        ShadowRow(pool=row["pool__name"], pool_id=row["pool_id"], shadow_milli=row["shadow"], total_milli=row["total"])
        for row in found
    ]
