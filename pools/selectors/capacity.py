"""Sums of capacity, always from the roll-ups: no answer counts devices."""

from collections import defaultdict
from collections.abc import Collection
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import F, Q

from pools.models import Capacity, CapacityRollup

_SUMS = ("total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli", "free_mib")
_CHIP = {"chip_slug": F("model__slug"), "chip_name": F("model__name"), "chip_vendor": F("model__vendor")}
_COUNTS = {"devices": F("units"), "free_devices": F("free_whole")}


class ModelShare(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of one model and profile. total = claimed + held + shadow + faulty + free, in milli-devices.

    ``model`` is null where a resource of the platform covers several models. ``devices`` counts devices or units.
    """

    model: str | None
    model_name: str | None
    vendor: str | None
    profile: str | None
    devices: int
    total_milli: int
    claimed_milli: int
    held_milli: int
    shadow_milli: int
    faulty_milli: int
    free_milli: int
    free_mib: int
    free_devices: int


class NodeShare(ModelShare, frozen=True, kw_only=True):
    """Capacity of one node. ``is_advisory``: the pool promises only as a whole, so no claim takes from this."""

    kind: str
    resource: str
    is_advisory: bool


class Counts(msgspec.Struct, frozen=True):
    """How many nodes and devices are there."""

    nodes: int = 0
    devices: int = 0


def of_pools(pool_ids: Collection[UUID]) -> tuple[dict[UUID, list[ModelShare]], dict[UUID, Counts]]:
    """Return what each pool can give out, by model and profile, and its counts. One query."""
    is_there = Q(units__gt=0) | Q(claimed_milli__gt=0) | Q(held_milli__gt=0)
    rows = CapacityRollup.objects.filter(is_there, pool__in=pool_ids).order_by("model__slug", "profile", "kind")
    shares: dict[UUID, dict[tuple[str | None, str | None], ModelShare]] = defaultdict(dict)
    counts: dict[UUID, Counts] = defaultdict(Counts)
    for row in rows.values("pool_id", "kind", "is_advisory", "profile", *_SUMS, **_CHIP, **_COUNTS):
        pool_id, kind, is_advisory = row.pop("pool_id"), row.pop("kind"), row.pop("is_advisory")
        before = counts[pool_id]
        if kind == "host":
            counts[pool_id] = Counts(before.nodes + row["devices"], before.devices)
            continue
        if kind == "cards":
            counts[pool_id] = Counts(before.nodes, before.devices + row["devices"])
        if not is_advisory:
            share = ModelShare(**_named(row))
            key = (share.model, share.profile)
            shares[pool_id][key] = _sum(shares[pool_id].get(key), share)
    return {pool_id: list(by_key.values()) for pool_id, by_key in shares.items()}, counts


def of_models(model_ids: Collection[UUID]) -> dict[UUID, ModelShare]:
    """Return what the fleet has of each model, all profiles together. One query."""
    live = CapacityRollup.objects.filter(model__in=model_ids, is_advisory=False, kind__in=("cards", "counter"))
    found: dict[UUID, ModelShare] = {}
    for row in live.values("model_id", *_SUMS, **_CHIP, **_COUNTS):
        model_id = row.pop("model_id")
        found[model_id] = _sum(found.get(model_id), ModelShare(profile=None, **_named(row)))
    return found


def of_nodes(nodes: Collection[tuple[UUID, UUID]]) -> dict[UUID, list[NodeShare]]:
    """Return the capacity rows of each node, given as (pool, node), except the host's own. One query."""
    of_pools: dict[UUID, list[UUID]] = defaultdict(list)
    for pool_id, node_id in nodes:
        of_pools[pool_id].append(node_id)
    if not of_pools:
        return {}
    # Pool by pool: two lists beside each other would have each node looked for in each pool.
    there = reduce(or_, (Q(pool=pool_id, node__in=node_ids) for pool_id, node_ids in of_pools.items()))
    rows = Capacity.objects.filter(there, kind__in=("cards", "counter"), units__gt=0)
    columns = ("node_id", "kind", "resource", "is_advisory", "profile", *_SUMS)
    found: dict[UUID, list[NodeShare]] = defaultdict(list)
    for row in rows.order_by("model__slug", "profile", "resource").values(*columns, **_CHIP, **_COUNTS):
        found[row.pop("node_id")].append(NodeShare(**_named(row)))
    return found


def _named(row: dict[str, Any]) -> dict[str, Any]:
    slug, name, vendor = row.pop("chip_slug"), row.pop("chip_name"), row.pop("chip_vendor")
    return {**row, "model": slug, "model_name": name, "vendor": vendor}


def _sum(one: ModelShare | None, other: ModelShare) -> ModelShare:
    if one is None:
        return other
    names = ("devices", "free_devices", *_SUMS)
    return msgspec.structs.replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})
