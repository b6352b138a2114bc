"""Devices as people and programs see them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Case, F, Func, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from connectors import catalog
from pools.domain import devices as rules
from pools.domain import filters, freshness, states
from pools.domain.access import Access
from pools.domain.errors import DeviceMissing
from pools.models import Device, Profile
from pools.selectors import access as rights
from pools.selectors import device_keys, nodes, pages, references
from pools.selectors.device_keys import Asked
from pools.selectors.pages import Page

FILTERS: Final = {
    "pool": filters.words,
    "kind": filters.some_of(catalog.MANIFESTS),
    "vendor": filters.words,
    "model": filters.words,
    "profile": filters.words,
    "state": filters.some_of(rules.DEVICE_STATES),
    "health": filters.some_of(states.DEVICE_HEALTHS),
    "node": filters.words,
    "project": filters.words,
    "allocation": filters.words,
    "label": filters.selector,
    "q": filters.phrase,
}
_PCI_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}(?::[0-9a-fA-F]{0,2}(?:\.[0-7]?)?)?")
_MOST_FOUND: Final = 200  # of each: uuids, serial numbers, names of nodes


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An accelerator. ``claimed_milli`` and ``held_milli`` are what ocenter gave out of it, 1000 being all of it.

    ``uses`` says who uses it in the platform's words. At pool grain nothing is promised of single devices, so nothing
    is claimed of them either. ``state`` is the first that holds of retired, missing, faulty, in_use, elsewhere,
    partial, shadow, unknown, unavailable, free; ``elsewhere`` is a card that another pool shows too and gives out, so
    that it counts for nothing here. ``memory_mib`` is what the platform tells, else what the catalogue knows of the
    model or the profile, else null. ``observed_at`` is when it was surely last there.
    """

    id: UUID
    pool: UUID
    pool_name: str
    pool_kind: str
    node: UUID
    node_name: str
    ref: str
    index: int | None
    vendor: str
    model: str | None
    model_name: str
    profile: str | None
    uuid: str | None
    serial: str | None
    pci_id: str | None
    pci_address: str | None
    memory_mib: int | None
    total_milli: int
    claimed_milli: int
    held_milli: int
    shadow_milli: int
    health: str
    health_reason: str
    state: str
    link_group: str | None
    numa_node: int | None
    uses: list[dict[str, Any]]
    attributes: dict[str, str]
    observed_at: datetime | None
    stale: bool
    missing_since: datetime | None
    retired_at: datetime | None
    created_at: datetime
    changed_at: datetime


def page(
    *, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime, access: Access
) -> Page[DeviceRow]:
    """Return devices by pool, node and id; retired ones only when asked for by state.

    A page may be short, even empty, and yet not the last: so much is looked at for one page and no more. Two queries,
    one more behind the last match, and those for names in filters. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    if nodes.OWNERS & wanted.keys() or not access.everywhere("device", "read"):
        return Page([], None)
    asked = _asked(wanted, access)
    after = pages.decode(cursor, pages.BY_PLACE) if cursor else None
    keys, end = device_keys.find(asked, after, limit + 1)
    if len(keys) > limit:
        keys, end = keys[:limit], keys[limit - 1]
    rows = {row["id"]: _row(row, now) for row in _columns(Device.objects.filter(pk__in=[key[-1] for key in keys]))}
    return Page([rows[key[-1]] for key in keys if key[-1] in rows], pages.encode(end) if end else None)


def one(device_id: UUID, now: datetime, access: Access) -> DeviceRow:
    """Return one device, also a retired one. One query. Raises DeviceMissing."""
    row = _columns(Device.objects.filter(rights.pools(access, "device", column="pool"), pk=device_id)).first()
    if row is None:
        raise DeviceMissing
    return _row(row, now)


def _asked(wanted: dict[str, Any], access: Access) -> Asked:
    asked = Asked(
        kinds=wanted.get("kind"),
        profiles=wanted.get("profile"),
        states=wanted.get("state"),
        healths=wanted.get("health"),
        labels=wanted.get("label", ()),
    )
    if "pool" in wanted:
        asked.pool_ids = references.pool_ids(wanted["pool"], access)
    elif access.scope.pools is not None:
        asked.pool_ids = list(access.scope.pools)
    if "vendor" in wanted or "model" in wanted:
        asked.model_ids = references.models_of(wanted.get("vendor"), wanted.get("model"))
    if "node" in wanted:
        asked.node_ids = nodes.ids(wanted["node"])
    if "q" in wanted:
        words = wanted["q"]
        if _PCI_ADDRESS.fullmatch(words):
            asked.pci_prefix = words.lower()
        else:
            asked.found = _begin_with(words), nodes.named_like(words, _MOST_FOUND)
    return asked


def _begin_with(words: str) -> list[UUID]:
    """Some devices whose uuid or serial number begins so; without an order, for that would sort all that do."""
    by_uuid, by_serial = (
        Device.objects.filter(**{f"{column}__startswith": words}).values_list("pk", flat=True)[:_MOST_FOUND]
        for column in ("uuid", "serial")
    )
    return list(by_uuid.union(by_serial))


_PLAIN = (
    "id",
    "ref",
    "index",
    "vendor",
    "profile",
    "uuid",
    "serial",
    "pci_id",
    "pci_address",
    "total_milli",
    "shadow_milli",
    "health",
    "health_reason",
    "link_group",
    "numa_node",
    "uses",
    "attributes",
    "missing_since",
    "retired_at",
    "created_at",
    "changed_at",
    "model_text",
)


def _columns(query: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = query.values(
        *_PLAIN,
        in_pool=F("pool_id"),
        pool_name=F("pool__name"),
        pool_kind=F("pool__kind"),
        pool_interval=F("pool__sync_interval_seconds"),
        pool_observed_at=F("pool__sync__observed_at"),
        on_node=F("node_id"),
        node_name=F("node__name"),
        node_missing_since=F("node__missing_since"),
        is_node_available=F("node__is_available"),
        is_given_elsewhere=F("is_elsewhere"),
        model_slug=F("model__slug"),
        model_name=F("model__name"),
        model_vendor=F("model__vendor"),
        known_mib=_memory(),
        claimed_milli=_at_position("capacity__pos_claimed_milli"),
        held_milli=_at_position("capacity__pos_held_milli"),
    )
    return rows


def _memory() -> Coalesce:
    """What the platform tells, or the catalogue of the whole card or of its piece; NULL when nobody knows."""
    piece = Profile.objects.filter(model=OuterRef("model"), name=OuterRef("profile"), model__is_catalogued=True)
    whole = Case(When(profile=None, model__is_catalogued=True, then=NullIf(F("model__memory_mib"), Value(0))))
    return Coalesce(NullIf(F("memory_mib"), Value(0)), whole, Subquery(piece.values("memory_mib")))


def _at_position(column: str) -> Coalesce:
    """The element of an array at the device's position; 0 where the device has none."""
    element = Func(
        F(column), F("position"), template="((%(expressions)s])", arg_joiner=")[", output_field=IntegerField()
    )
    return Coalesce(element, 0)


def _row(row: dict[str, Any], now: datetime) -> DeviceRow:
    observed_at, interval = row.pop("pool_observed_at"), row.pop("pool_interval")
    own_missing_since, node_missing_since = row.pop("missing_since"), row.pop("node_missing_since")
    missing_since = own_missing_since or node_missing_since
    state = rules.state(
        is_retired=row["retired_at"] is not None,
        is_missing=missing_since is not None,
        health=row["health"],
        total_milli=row["total_milli"],
        taken_milli=row["claimed_milli"] + row["held_milli"],
        shadow_milli=row["shadow_milli"],
        is_node_available=row.pop("is_node_available"),
        is_elsewhere=row.pop("is_given_elsewhere"),
    )
    vendor, text = row.pop("vendor"), row.pop("model_text")
    return DeviceRow(
        pool=row.pop("in_pool"),
        node=row.pop("on_node"),
        vendor=row.pop("model_vendor") or vendor,
        model=row.pop("model_slug"),
        model_name=row.pop("model_name") or text,
        memory_mib=row.pop("known_mib"),
        state=state,
        stale=freshness.is_stale(observed_at, interval, now),
        missing_since=missing_since,
        observed_at=missing_since or row["retired_at"] or observed_at,
        **row,
    )
