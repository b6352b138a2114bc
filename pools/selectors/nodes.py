"""Nodes as people and programs see them."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet, Value

from connectors import catalog
from pools.domain import filters, freshness, states
from pools.domain.access import Access
from pools.domain.errors import NodeMissing
from pools.models import Capacity, CapacityRollup, Device, Node
from pools.selectors import access as rights
from pools.selectors import capacity, pages, references
from pools.selectors.pages import Page

NODE_STATES: Final = ("available", "unavailable", "missing", "retired")
FILTERS: Final = {
    "pool": filters.words,
    "kind": filters.some_of(catalog.MANIFESTS),
    "vendor": filters.words,
    "model": filters.words,
    "profile": filters.words,
    "state": filters.some_of(NODE_STATES),
    "health": filters.some_of(states.DEVICE_HEALTHS),
    "label": filters.selector,
    "node": filters.words,
    "project": filters.words,
    "allocation": filters.words,
    "q": filters.phrase,
}
OWNERS: Final = frozenset({"project", "allocation"})  # nothing is given to any yet, so nothing matches
_IN_STATE: Final = {
    "retired": Q(retired_at__isnull=False),
    "missing": Q(retired_at=None, missing_since__isnull=False),
    "unavailable": Q(retired_at=None, missing_since=None, is_available=False),
    "available": Q(retired_at=None, missing_since=None, is_available=True),
}


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A host. ``state`` is available, unavailable (with the reason), missing or retired.

    CPU and memory are null where the platform tells none. ``observed_at`` is when it was surely last there: the pool's
    last complete observation, unless it is missing.
    """

    id: UUID
    pool: UUID
    pool_name: str
    pool_kind: str
    name: str
    ref: str
    uuid: str | None
    serial: str | None
    state: str
    unavailable_reason: str
    topology: dict[str, str]
    topology_path: str
    labels: dict[str, str]
    cpu_milli: int | None
    cpu_used_milli: int | None
    memory_mib: int | None
    memory_used_mib: int | None
    device_count: int
    capacity: list[capacity.NodeShare]
    unknown_resources: dict[str, Any]
    observed_at: datetime | None
    stale: bool
    missing_since: datetime | None
    retired_at: datetime | None
    created_at: datetime
    changed_at: datetime


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime, access: Access) -> Page[NodeRow]:
    """Return nodes by name; retired ones only when asked for by state. Two queries, one more for names in filters.

    ``vendor``, ``model``, ``profile`` and ``health`` pick nodes that have such devices. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    found = pages.cut(_columns(_matching(wanted, access)), pages.BY_NAME, cursor, limit)
    return Page(_rows(found.rows, now), found.next_cursor)


def one(node_id: UUID, now: datetime, access: Access) -> NodeRow:
    """Return one node, also a retired one. Two queries. Raises NodeMissing."""
    rows = _rows(list(_columns(Node.objects.filter(rights.pools(access, "node", column="pool"), pk=node_id))), now)
    if not rows:
        raise NodeMissing
    return rows[0]


def ids(references: tuple[str, ...]) -> list[UUID]:
    """Return the ids of the nodes with these names or ids; names may stand for nodes of several pools. One query."""
    by_id = {pk for word in references if (pk := filters.as_uuid(word))}
    names = {word for word in references if filters.as_uuid(word) is None}
    return list(Node.objects.filter(Q(pk__in=by_id) | Q(name__in=names)).values_list("pk", flat=True)[:10_000])


def named_like(words: str, most: int) -> list[UUID]:
    """Return the ids of the first nodes by name that have this in it, in any case. One query."""
    named = Node.objects.filter(_name_has(words)).order_by("name", "id")
    return list(named.values_list("pk", flat=True)[:most])


def _name_has(words: str) -> Func:
    """Django's ``icontains`` compares UPPER() of both, which costs half as much again."""
    pattern = Value(f"%{connection.ops.prep_for_like_query(words)}%")
    return Func(F("name"), pattern, template="%(expressions)s", arg_joiner=" ILIKE ", output_field=BooleanField())


def _matching(wanted: dict[str, Any], access: Access) -> QuerySet[Node, Any]:
    if OWNERS & wanted.keys():
        return Node.objects.none()
    query = Node.objects.filter(rights.pools(access, "node", column="pool"))
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "kind" in wanted:
        query = query.filter(pool__kind__in=wanted["kind"])
    if "node" in wanted:
        query = query.filter(pk__in=ids(wanted["node"]))
    if "label" in wanted:
        query = query.filter(references.labelled(wanted["label"], "labels", "pool__labels"))
    if "q" in wanted:
        words = wanted["q"]
        query = query.filter(Q(_name_has(words)) | Q(ref=words) | Q(uuid=words) | Q(serial=words))
    if "health" in wanted:
        devices = Device.objects.filter(node=OuterRef("pk"), retired_at=None, health__in=wanted["health"])
        query = query.filter(Exists(devices))
    query = _with_capacity(query, wanted)
    if "state" not in wanted:
        return query.filter(retired_at=None)
    return query.filter(reduce(or_, (_IN_STATE[state] for state in wanted["state"])))


def _with_capacity(query: QuerySet[Node, Any], wanted: dict[str, Any]) -> QuerySet[Node, Any]:
    if not {"vendor", "model", "profile"} & wanted.keys():
        return query
    cards: dict[str, Any] = {"units__gt": 0}
    if "vendor" in wanted or "model" in wanted:
        cards["model__in"] = references.models_of(wanted.get("vendor"), wanted.get("model"))
    if "profile" in wanted:
        cards["profile__in"] = wanted["profile"]
    # The sums tell which pools have any, so that the nodes of others are not looked at.
    pools = list(CapacityRollup.objects.filter(**cards).values_list("pool", flat=True).distinct())
    there = Capacity.objects.filter(pool=OuterRef("pool"), node=OuterRef("pk"), **cards)
    return query.filter(Exists(there), pool__in=pools)


_PLAIN = (
    "id",
    "name",
    "ref",
    "uuid",
    "serial",
    "is_available",
    "unavailable_reason",
    "topology",
    "topology_path",
    "labels",
    "cpu_milli",
    "cpu_used_milli",
    "memory_mib",
    "memory_used_mib",
    "device_count",
    "unknown_resources",
    "missing_since",
    "retired_at",
    "created_at",
    "changed_at",
)


def _columns(query: QuerySet[Node, Any]) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = query.values(
        *_PLAIN,
        in_pool=F("pool_id"),
        pool_name=F("pool__name"),
        pool_kind=F("pool__kind"),
        pool_interval=F("pool__sync_interval_seconds"),
        pool_observed_at=F("pool__sync__observed_at"),
    )
    return rows


def _rows(found: list[dict[str, Any]], now: datetime) -> list[NodeRow]:
    shares = capacity.of_nodes({(row["in_pool"], row["id"]) for row in found})
    rows = []
    for row in found:
        observed_at, interval = row.pop("pool_observed_at"), row.pop("pool_interval")
        for known, used in (("cpu_milli", "cpu_used_milli"), ("memory_mib", "memory_used_mib")):
            row |= {known: row[known] or None, used: row[used] if row[known] else None}
        rows.append(
            NodeRow(
                pool=row.pop("in_pool"),
                state=_state(row["retired_at"], row["missing_since"], row.pop("is_available")),
                capacity=shares.get(row["id"], []),
                stale=freshness.is_stale(observed_at, interval, now),
                observed_at=row["missing_since"] or row["retired_at"] or observed_at,
                **row,
            )
        )
    return rows


def _state(retired_at: datetime | None, missing_since: datetime | None, is_available: bool) -> str:
    if retired_at is not None:
        return "retired"
    if missing_since is not None:
        return "missing"
    return "available" if is_available else "unavailable"
