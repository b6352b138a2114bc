"""Devices as people and programs see them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Case, CharField, F, Func, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from connectors import catalog
from pools.domain import devices as rules
from pools.domain import filters, freshness, states
from pools.domain.errors import DeviceMissing
from pools.models import Device, Node
from pools.selectors import nodes, pages, references
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
    "label": filters.selector,
    "q": filters.phrase,
}
_PCI_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}(?::[0-9a-fA-F]{0,2}(?:\.[0-7]?)?)?")
_NODES_SEARCHED: Final = 200


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An accelerator. ``claimed_milli`` and ``held_milli`` are what ocenter gave out of it, 1000 being all of it.

    ``uses`` says who uses it in the platform's words. At pool grain nothing is promised of single devices, so nothing
    is claimed of them either. ``observed_at`` is when it was surely last there.
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
    memory_mib: int
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


def _at_position(column: str) -> Coalesce:
    """The element of an array at the device's position; 0 where the device has none."""
    element = Func(
        F(column), F("position"), template="((%(expressions)s])", arg_joiner=")[", output_field=IntegerField()
    )
    return Coalesce(element, 0)


# domain.devices.state in SQL, in the same order.
_STATE = Case(
    When(retired_at__isnull=False, then=Value("retired")),
    When(Q(missing_since__isnull=False) | Q(node__missing_since__isnull=False), then=Value("missing")),
    When(health="faulty", then=Value("faulty")),
    When(Q(total_milli__gt=0, total_milli__lte=F("claimed_milli") + F("held_milli")), then=Value("in_use")),
    When(Q(total_milli=0) | Q(claimed_milli__gt=0) | Q(held_milli__gt=0), then=Value("partial")),
    When(shadow_milli__gt=0, then=Value("shadow")),
    When(Q(node__is_available=False) | ~Q(health="ok"), then=Value("unavailable")),
    default=Value("free"),
    output_field=CharField(),
)


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime) -> Page[DeviceRow]:
    """Return devices by id; retired ones only when asked for by state. One query, one more for names in each filter.

    ``q`` finds by the beginning of uuid, serial or PCI address, or by part of the node's name. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    found = pages.cut(_columns(_matching(wanted)), pages.BY_ID, cursor, limit)
    return pages.mapped(found, lambda row: _row(row, now))


def one(device_id: UUID, now: datetime) -> DeviceRow:
    """Return one device, also a retired one. One query. Raises DeviceMissing."""
    row = _columns(_shares(Device.objects.filter(pk=device_id))).first()
    if row is None:
        raise DeviceMissing
    return _row(row, now)


def _shares(query: QuerySet[Device]) -> QuerySet[Any, Any]:
    taken = {share: _at_position(f"capacity__pos_{share}") for share in ("claimed_milli", "held_milli")}
    rows: QuerySet[Any, Any] = query.annotate(**taken).annotate(state=_STATE)
    return rows


def _matching(wanted: dict[str, Any]) -> QuerySet[Any, Any]:
    query = Device.objects.all()
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"]))
    if "kind" in wanted:
        query = query.filter(pool__kind__in=wanted["kind"])
    if "vendor" in wanted:
        query = query.filter(vendor__in=wanted["vendor"])
    if "model" in wanted:
        query = query.filter(model__in=references.model_ids(wanted["model"]))
    if "profile" in wanted:
        query = query.filter(profile__in=wanted["profile"])
    if "health" in wanted:
        query = query.filter(health__in=wanted["health"])
    if "node" in wanted:
        query = query.filter(node__in=nodes.ids(wanted["node"]))
    if "label" in wanted:
        query = query.filter(references.labelled(wanted["label"], "node__labels", "pool__labels"))
    if "q" in wanted:
        query = query.filter(_searched(wanted["q"]))
    if "state" not in wanted:
        return _shares(query.filter(retired_at=None))
    # Rare states say so to the partial indexes too; the whole expression would read every device.
    if wanted["state"] == ("faulty",):
        query = query.filter(health="faulty")
    if wanted["state"] == ("missing",):
        gone = Node.objects.filter(missing_since__isnull=False)
        query = query.filter(Q(missing_since__isnull=False) | Q(node__in=gone))
    return _shares(query).filter(state__in=wanted["state"])


def _searched(words: str) -> Q:
    if _PCI_ADDRESS.fullmatch(words):
        return Q(pci_address__startswith=words.lower())
    in_nodes = Node.objects.filter(name__icontains=words).order_by("name", "id").values_list("pk", flat=True)
    found = list(in_nodes[:_NODES_SEARCHED])
    return Q(uuid__startswith=words) | Q(serial__startswith=words) | Q(node__in=found)


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
    "memory_mib",
    "total_milli",
    "claimed_milli",
    "held_milli",
    "shadow_milli",
    "health",
    "health_reason",
    "state",
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
        model_slug=F("model__slug"),
        model_name=F("model__name"),
    )
    return rows


def _row(row: dict[str, Any], now: datetime) -> DeviceRow:
    observed_at, interval = row.pop("pool_observed_at"), row.pop("pool_interval")
    own_missing_since, node_missing_since = row.pop("missing_since"), row.pop("node_missing_since")
    missing_since = own_missing_since or node_missing_since
    text = row.pop("model_text")
    return DeviceRow(
        pool=row.pop("in_pool"),
        node=row.pop("on_node"),
        model=row.pop("model_slug"),
        model_name=row.pop("model_name") or text,
        stale=freshness.is_stale(observed_at, interval, now),
        missing_since=missing_since,
        observed_at=missing_since or row["retired_at"] or observed_at,
        **row,
    )
