"""Allocations as people see them: what was asked for, what was given, and what became of it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import F, QuerySet

from pools.domain import filters, labels, request, states
from pools.domain.access import Access
from pools.domain.errors import AllocationMissing, Denied
from pools.models import Allocation, Project
from pools.selectors import access as rights
from pools.selectors import pages, prepared, projects, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "project": filters.words,
    "under": filters.words,
    "pool": filters.words,
    "model": filters.words,
    "state": filters.some_of(states.ALLOCATION_STATES),
    "label": labels.requirements,
    "q": filters.phrase,
}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
_NAMES: Final = {
    "project_path": F("project__path"),
    "pool_name": F("pool__name"),
    "model_slug": F("model__slug"),
    "asked_by_name": F("asked_by__username"),
}
_NAME_OF: Final = {"project": "path", "pool": "name", "model": "slug", "asked_by": "name"}
_COLUMNS: Final = (
    "id",
    "name",
    "project_id",
    "state",
    "reason",
    "mode",
    "spec",
    "labels",
    "profile",
    "milli",
    "is_borrowed",
    "priority",
    "price_per_hour",
    "decision",
    "held_until_at",
    "start_at",
    "end_at",
    "before_end_state",
    "queue_reason",
    "created_at",
    "ended_at",
    "generation",
)
_JSON: Final = ("spec", "labels", "decision")
# As the list's query has them; every claim is answered by this one, so it is prepared.
_SOME: Final = f"""
SELECT {", ".join(f"a.{name}" for name in _COLUMNS)}, p.path, pool.name, m.slug, u.username
FROM allocation a JOIN project p ON p.id = a.project_id LEFT JOIN pool ON pool.id = a.pool_id
    LEFT JOIN chip_model m ON m.id = a.model_id LEFT JOIN app_user u ON u.id = a.asked_by_id
WHERE a.id = ANY(%s)
"""
# What each member has of devices: the claims that are live, or were when it ended. Each row is looked up by its key,
# whatever the statistics were when the statement was planned.
_MEMBERS: Final = """
SELECT m.allocation_id, m.index, n.id, n.name, m.binding, m.order_state, m.trouble::text, l.milli, l.memory_mib,
    coalesce(d.ids, '{}'), coalesce(d.refs, '{}'), cardinality(l.positions)
FROM unnest(%s::uuid[]) asked (id)
    CROSS JOIN LATERAL (SELECT * FROM member WHERE allocation_id = asked.id OFFSET 0) m
    LEFT JOIN LATERAL (SELECT id, name FROM node WHERE id = m.node_id OFFSET 0) n ON true
    LEFT JOIN LATERAL (
        SELECT l.positions, l.milli, l.memory_mib, k.device_ids
        FROM (SELECT * FROM claim WHERE allocation_id = m.allocation_id AND member_index = m.index OFFSET 0) l
            CROSS JOIN LATERAL (SELECT kind, device_ids FROM capacity WHERE id = l.capacity_id OFFSET 0) k
        WHERE k.kind <> 'host' ORDER BY l.released_at DESC NULLS FIRST, l.id DESC LIMIT 1) l ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(d.id ORDER BY at) AS ids, array_agg(d.ref ORDER BY at) AS refs
        FROM unnest(l.positions) WITH ORDINALITY p (place, at)
            CROSS JOIN LATERAL (SELECT id, ref FROM device WHERE id = l.device_ids[p.place] OFFSET 0) d) d ON true
ORDER BY m.allocation_id, m.index
"""
_POSITIONS: Final = """
SELECT id, place, (SELECT min(b.start_at) FROM booking b WHERE b.allocation_id = queue.id) FROM (
    SELECT id, row_number() OVER (ORDER BY priority DESC, is_borrowed, queued_at, id) AS place
    FROM allocation WHERE state = 'queued') queue WHERE id = ANY(%s)
"""


class MemberDevice(msgspec.Struct, frozen=True):
    """A device that a member has, by id and by its name on the node."""

    id: UUID
    ref: str


class MemberTrouble(msgspec.Struct, frozen=True):
    """Why a platform did not take the order: a stable code and a sentence. Its own words are with the operations."""

    code: str
    message: str


class AllocationMember(msgspec.Struct, frozen=True, kw_only=True):
    """One node's share. ``node`` and ``devices`` are empty where the platform promises no node or device.

    ``milli`` is what it takes of all its devices, ``memory_mib`` of their memory. ``order_state`` is what its platform
    has of it: null (nothing was ordered), wanted (to be set up), carried (there), leaving (to be taken off: it may
    still be there), gone (nothing is left). ``trouble`` is why the platform did not take it.
    """

    index: int
    node: str | None
    node_id: UUID | None
    devices: list[MemberDevice]
    milli: int
    memory_mib: int
    state: str
    order_state: str | None
    trouble: MemberTrouble | None
    binding: dict[str, Any]


class Lease(msgspec.Struct, frozen=True):
    """From when until when, [start, end). A null end is open."""

    start_at: datetime | None
    end_at: datetime | None


class Waiting(msgspec.Struct, frozen=True):
    """The place in the queue of all who wait, from 1, and for what. From ``booked_at`` on room is booked for it."""

    position: int
    reason: str
    booked_at: datetime | None = None


class AllocationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its whole life. ``spec`` is what was asked for with all defaults, ``decision`` why it is there.

    ``reason`` is a stable code of the present state (``user``, ``lease_end`` ...). ``queue`` is null unless it waits.

    ``before_end_state`` tells of the time to save before its end: pending, running (until the lease ends), done,
    failed, timed_out, skipped; empty where nobody asked for one.
    """

    id: UUID
    name: str
    project: str
    project_id: UUID
    state: str
    reason: str
    mode: str
    spec: dict[str, Any]
    labels: dict[str, str]
    pool: str | None
    model: str | None
    profile: str | None
    milli: int
    is_borrowed: bool
    priority: int
    members: list[AllocationMember]
    held_until_at: datetime | None
    lease: Lease
    before_end_state: str
    queue: Waiting | None
    price_per_hour: Decimal | None
    decision: dict[str, Any] | None
    asked_by: str | None
    created_at: datetime
    ended_at: datetime | None
    generation: int


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[AllocationRow]:
    """Return allocations, the newest first, of projects in which one may read them. Raises Invalid.

    Two queries, one more where some wait, more for names in filters.
    """
    wanted = filters.read(params, FILTERS)
    query = _visible(access)
    if "project" in wanted:
        query = query.filter(project__in=projects.project_ids(wanted["project"], access))
    if "under" in wanted:
        query = query.filter(project__lineage__overlap=projects.project_ids(wanted["under"], access))
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "model" in wanted:
        query = query.filter(model__in=references.model_ids(wanted["model"]))
    if "state" in wanted:
        query = query.filter(state__in=wanted["state"])
    if "label" in wanted:
        query = query.filter(references.labelled(wanted["label"], "labels"))
    if "q" in wanted:
        query = query.filter(name__icontains=wanted["q"])
    found = pages.cut(query.values(*_COLUMNS, **_NAMES), _NEWEST_FIRST, cursor, limit)
    return Page(_rows(found.rows), found.next_cursor)


def one(allocation_id: UUID) -> AllocationRow:
    """Return an allocation. Two queries, one more while it waits. Raises AllocationMissing."""
    rows = some([allocation_id])
    if not rows:
        raise AllocationMissing
    return rows[0]


def some(allocation_ids: Collection[UUID]) -> list[AllocationRow]:
    """Return these allocations as far as they are there, in any order. As many queries as for one."""
    if not allocation_ids:
        return []
    names = (*_COLUMNS, *_NAMES)
    with prepared.cursor() as cursor:
        cursor.execute(_SOME, [list(allocation_ids)])
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in found:
        row.update({name: msgspec.json.decode(row[name]) for name in _JSON if row[name] is not None})
    return _rows(found)


def find(reference: str, access: Access, *, verb: str = "read") -> UUID:
    """Return the id of an allocation for somebody who wants to do this to it. One query.

    Raises AllocationMissing, also for one that the caller may not know of; Denied for one that may be known.
    """
    allocation_id = filters.as_uuid(reference)
    found = allocation_id and _visible(access).filter(pk=allocation_id).values_list("project__lineage").first()
    if allocation_id is None or not found:
        raise AllocationMissing
    if verb != "read" and not access.within("allocation", verb, found[0]):
        raise Denied
    return allocation_id


def _visible(access: Access) -> QuerySet[Allocation]:
    if access.everywhere("allocation", "read"):
        return Allocation.objects.all()
    return Allocation.objects.filter(project__in=Project.objects.filter(rights.projects(access, "allocation")))


def _rows(found: Sequence[Mapping[str, Any]]) -> list[AllocationRow]:
    ids = [row["id"] for row in found]
    members = _members(ids, {row["id"]: row["state"] for row in found})
    places = _places([row["id"] for row in found if row["state"] == "queued"])
    return [_row(row, members[row["id"]], places.get(row["id"])) for row in found]


def _row(
    found: Mapping[str, Any], members: list[AllocationMember], place: tuple[int, datetime | None] | None
) -> AllocationRow:
    row = {**found, "spec": request.complete(found["spec"])}
    lease = Lease(row.pop("start_at"), row.pop("end_at"))
    reason = row.pop("queue_reason")
    names = {name: row.pop(f"{name}_{of}") for name, of in _NAME_OF.items()}
    queue = None if place is None else Waiting(place[0], reason, place[1])
    return AllocationRow(members=members, lease=lease, queue=queue, **names, **row)


def _members(allocation_ids: Collection[UUID], state_of: Mapping[UUID, str]) -> dict[UUID, list[AllocationMember]]:
    members: dict[UUID, list[AllocationMember]] = defaultdict(list)
    if not allocation_ids:
        return members
    with prepared.cursor() as cursor:
        cursor.execute(_MEMBERS, [list(allocation_ids)])
        for of, index, node_id, node, binding, order, trouble, milli, mib, ids, refs, count in cursor.fetchall():
            members[of].append(
                AllocationMember(
                    index=index,
                    node=node,
                    node_id=node_id,
                    devices=[MemberDevice(*each) for each in zip(ids, refs, strict=True)],
                    milli=(milli or 0) * (count or 0),
                    memory_mib=(mib or 0) * (count or 0),
                    state=state_of[of],
                    order_state=order,
                    trouble=msgspec.json.decode(trouble, type=MemberTrouble) if trouble else None,
                    binding=msgspec.json.decode(binding) if isinstance(binding, str) else binding,
                )
            )
    return members


def _places(allocation_ids: Collection[UUID]) -> dict[UUID, tuple[int, datetime | None]]:
    if not allocation_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_POSITIONS, [list(allocation_ids)])
        return {id: (position, booked_at) for id, position, booked_at in cursor.fetchall()}
