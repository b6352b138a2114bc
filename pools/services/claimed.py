"""Allocations as they were written just now, put together from what was written.

They are what ``selectors.allocations`` would read, for a fraction of the cost: of a claim everything is known but the
names of the devices at its positions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pools.domain import request
from pools.domain.decisions import Decision, Placed
from pools.domain.request import Wanted
from pools.selectors import columns, prepared
from pools.selectors.allocations import AllocationMember, AllocationRow, Lease, MemberDevice
from pools.selectors.candidates import Read
from pools.services.asked import Planned

_PLACES: Final = Decimal("0.000001")  # as prices are stored
_DEVICES: Final = """
SELECT p.row_id, p.position, d.id, d.ref
FROM unnest(%s::uuid[], %s::integer[]) p (row_id, position)
    CROSS JOIN LATERAL (SELECT device_ids FROM capacity WHERE id = p.row_id OFFSET 0) c
    CROSS JOIN LATERAL (SELECT id, ref FROM device WHERE id = c.device_ids[p.position] OFFSET 0) d
"""

_KEPT: Final = 1024
_json: Final = msgspec.json.Encoder(decimal_format="string")

Devices = Mapping[tuple[UUID, int], MemberDevice]


def rows(
    fresh: Sequence[Planned], records: Sequence[Mapping[str, Any]], read: Read, now: datetime
) -> dict[UUID, AllocationRow]:
    """Return those of them that somebody waits to see, of the records that were stored at ``now``. One query."""
    pairs = [pair for pair in zip(fresh, records, strict=True) if pair[0].asked.shown_as]
    there = _devices([each.decision for each, _ in pairs])
    shown = {}
    for each, record in pairs:
        access = each.asked.actor.access
        shown[each.asked.id] = _row(
            each.asked.wanted,
            record,
            each.decision,
            there,
            project=each.asked.shown_as,
            pool=read.pool(each.decision.pool_id).name,
            asked_by=access.user_name if access.user_id else None,
            now=now,
        )
    return shown


def _devices(decisions: Sequence[Decision]) -> Devices:
    """Return the devices at the places of decisions, by capacity row and position. One query, none without any."""
    places = [
        (placed.capacity_id, position)
        for decision in decisions
        for placed in decision.members
        if placed.capacity_id is not None and placed.node_id is not None
        for position in placed.positions
    ]
    if not places:
        return {}
    row_ids, positions = zip(*set(places), strict=True)
    with prepared.cursor() as cursor:
        cursor.execute(_DEVICES, [columns.uuids(row_ids), columns.integers(positions)])
        return {(row, position): MemberDevice(id, ref) for row, position, id, ref in cursor.fetchall()}


@lru_cache(_KEPT)
def _spec(text: bytes) -> dict[str, Any]:
    return request.complete(_as_stored(msgspec.json.decode(text)))


@lru_cache(_KEPT)
def _decided(text: bytes) -> dict[str, Any]:
    """Return a decision as it is stored. Of a batch most are alike, and nobody who is shown one changes it."""
    found: dict[str, Any] = _as_stored(msgspec.json.decode(text))
    return found


@lru_cache(_KEPT)
def _price(per_hour: Decimal) -> Decimal:
    return per_hour.quantize(_PLACES, ROUND_HALF_UP)


def _row(
    wanted: Wanted,
    record: Mapping[str, Any],
    decision: Decision,
    there: Devices,
    *,
    project: str,
    pool: str,
    asked_by: str | None,
    now: datetime,
) -> AllocationRow:
    """Return an allocation of the columns that were stored of it at ``now`` (``claiming``), with these names."""
    state = record["states"]
    spec = _spec(_json.encode(replace(wanted, project="", name="")))
    return AllocationRow(
        id=record["ids"],
        name=record["names"],
        project=project,
        project_id=record["project_ids"],
        state=state,
        reason="",
        mode=record["modes"],
        spec={**spec, "project": wanted.project, "name": wanted.name},
        labels=spec["labels"],
        pool=pool,
        model=decision.model,
        profile=decision.profile,
        milli=decision.milli,
        is_borrowed=record["borrowed"],
        priority=record["priorities"],
        members=[_member(placed, state, there) for placed in decision.members],
        held_until_at=record["held_until"],
        lease=Lease(record["starts"], record["ends"]),
        before_end_state="pending" if wanted.before_end_seconds else "",
        queue=None,
        price_per_hour=None if decision.price_per_hour is None else _price(decision.price_per_hour),
        decision=_decided(record["decisions"]),
        asked_by=asked_by,
        created_at=now,
        ended_at=None,
        generation=1,
    )


def _member(placed: Placed, state: str, there: Devices) -> AllocationMember:
    row_id = placed.capacity_id
    return AllocationMember(
        index=placed.index,
        node=placed.node_name if placed.node_id else None,
        node_id=placed.node_id,
        devices=[
            device for position in placed.positions if row_id and (device := there.get((row_id, position))) is not None
        ],
        milli=placed.milli * len(placed.positions),
        memory_mib=placed.mib * len(placed.positions),
        state=state,
        order_state=None,
        trouble=None,
        binding={},
    )


def _as_stored(value: Any) -> Any:
    """Return JSON with its names in the order in which jsonb keeps them: an answer's version is of its bytes."""
    if isinstance(value, dict):
        return {name: _as_stored(value[name]) for name in _in_order(tuple(value))}
    return [_as_stored(each) for each in value] if isinstance(value, list) else value


@lru_cache(_KEPT)
def _in_order(names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: (len(name.encode()), name))
