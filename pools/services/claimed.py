"""Allocations as they were written just now, as JSON put together from what was written.

It is what ``selectors.allocations`` would read, for a fraction of the cost: of a claim everything is known but the
names of nodes and of the devices at its positions. Most of a batch are alike but for ids and names, so the JSON of
those that are alike is made once, with gaps.
"""

from collections.abc import Collection, Hashable, Iterator, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pools.domain import ids, request
from pools.domain.decisions import Decision, Placed
from pools.selectors import allocations, columns, prepared
from pools.selectors.allocations import AllocationMember, AllocationRow, Lease, MemberDevice
from pools.selectors.candidates import Read
from pools.services.asked import Planned
from pools.services.claim_records import Records

_PLACES: Final = Decimal("0.000001")  # as prices are stored
# Of each member its row, and where its positions stand in the list of all: 0, which is no position, for a host alone.
_NAMES: Final = """
SELECT at, n.name, d.id::text, d.ref
FROM (SELECT unnest(%(rows)s::uuid[]) AS row_id, unnest(%(at_first)s::integer[]) AS first,
        unnest(%(at_last)s::integer[]) AS last) p
    CROSS JOIN LATERAL (SELECT node_id, device_ids FROM capacity WHERE id = p.row_id OFFSET 0) c
    LEFT JOIN LATERAL (SELECT name FROM node WHERE id = c.node_id OFFSET 0) n ON true
    CROSS JOIN generate_series(p.first, p.last) at
    LEFT JOIN LATERAL (SELECT id, ref FROM device WHERE id = c.device_ids[(%(at)s::integer[])[at]] OFFSET 0) d ON true
"""

_KEPT: Final = 1024
_STORED: Final = ("states", "borrowed", "held_until", "starts", "ends")
_json: Final = msgspec.json.Encoder(decimal_format="string")
_GAP: Final[Any] = msgspec.Raw(b"\0")  # a byte that is in no JSON
_GAP_IN_QUOTES: Final[Any] = msgspec.Raw(b'"\0"')

_Name = tuple[int, str, str | None, str | None]  # of a place: its number, the node, the device's id and its ref


class Written(Struct, frozen=True):
    """An allocation: ``body`` is its row as JSON, the others are what an answer says beside."""

    id: UUID
    state: str
    generation: int
    body: bytes


def looked_up(allocation_ids: Collection[UUID]) -> dict[UUID, Written]:
    """Return those of them that are there, as they are now. As many queries as ``selectors.allocations.some``."""
    rows = allocations.some(allocation_ids)
    return {row.id: Written(row.id, row.state, row.generation, _json.encode(row)) for row in rows}


def shown(planned: Sequence[Planned], records: Records, read: Read, now: datetime) -> dict[UUID, Written]:
    """Return those of them that somebody waits to see, of the records that were stored at ``now``. One query."""
    stored = zip(*[records[name] for name in _STORED], strict=True)
    rows = [row for row in zip(planned, stored, records["decisions"], strict=True) if row[0].asked.shown_as]
    names = iter(_names([each.decision for each, _, _ in rows]))
    frames: dict[Hashable, bytes] = {}
    found = {}
    for each, here, decided in rows:
        asked, decision, state = each.asked, each.decision, here[0]
        key = *_alike(each), here
        frame = frames.get(key)
        if frame is None:
            frame = frames[key] = _frame(each, here, now)
        name = _json.encode(asked.wanted.name)
        body = frame % (
            _text(asked.id),
            name,
            _json.encode(asked.shown_as),
            _text(asked.project_id),
            _json.encode(asked.wanted.project),
            name,
            _json.encode(read.pool(decision.pool_id).name),
            b",".join([_member(placed, state, names) for placed in decision.members]),
            _price(decision.price_per_hour),
            _decided(decided),
        )
        found[asked.id] = Written(asked.id, state, 1, body)
    return found


def _names(decisions: Sequence[Decision]) -> list[_Name]:
    """Return the names at the places on nodes, in the order of ``_places``. One query, none without any."""
    members = [placed for decision in decisions for placed in decision.members if placed.node_id]
    if not members:
        return []
    rows = columns.uuids([placed.capacity_id or placed.host_id for placed in members])
    places = columns.slices("at", list(map(_places, members)), columns.integers)
    with prepared.cursor() as cursor:
        cursor.execute(_NAMES, {"rows": rows, **places})
        return sorted(cursor.fetchall())


def _places(placed: Placed) -> Sequence[int]:
    """Return the position of each device in its row; 0 of a member that has none."""
    return placed.positions if placed.capacity_id else (0,)


def _alike(each: Planned) -> tuple[object, ...]:
    """Return what the frame depends on beside what is stored, but for what all of a batch have."""
    asked, decision = each.asked, each.decision
    asked_by = asked.actor.access.user_id and asked.actor.access.user_name
    return id(asked.like or asked.wanted), asked_by, decision.model, decision.profile, decision.milli


def _frame(each: Planned, stored: tuple[Any, ...], now: datetime) -> bytes:
    """Return the JSON of an allocation as it was stored at ``now``, with gaps for what others have otherwise."""
    wanted, decision, access = each.asked.wanted, each.decision, each.asked.actor.access
    state, is_borrowed, held_until_at, start_at, end_at = stored
    spec = _spec(_json.encode(replace(wanted, project="", name="")))
    row = AllocationRow(
        id=_GAP_IN_QUOTES,
        name=_GAP,
        project=_GAP,
        project_id=_GAP_IN_QUOTES,
        state=state,
        reason="",
        mode=wanted.mode,
        spec={**spec, "project": _GAP, "name": _GAP},
        labels=spec["labels"],
        pool=_GAP,
        model=decision.model,
        profile=decision.profile,
        milli=decision.milli,
        is_borrowed=is_borrowed,
        priority=wanted.priority,
        members=[_GAP],
        held_until_at=held_until_at,
        lease=Lease(start_at, end_at),
        before_end_state="pending" if wanted.before_end_seconds else "",
        queue=None,
        price_per_hour=_GAP,
        decision=_GAP,
        asked_by=access.user_name if access.user_id else None,
        created_at=now,
        ended_at=None,
        generation=1,
    )
    return _with_gaps(row)


def _member(placed: Placed, state: str, names: Iterator[_Name]) -> bytes:
    count = len(placed.positions)
    frame = _member_frame(placed.index, placed.milli * count, placed.mib * count, state)
    if placed.node_id is None:
        return frame % (b"null", b"null", b"")
    here = [next(names) for _ in _places(placed)]
    devices = [_DEVICE % (id.encode(), _json.encode(ref)) for _, _, id, ref in here if id is not None]
    return frame % (_json.encode(here[0][1]), b'"%b"' % _text(placed.node_id), b",".join(devices))


@lru_cache(_KEPT)
def _member_frame(index: int, milli: int, mib: int, state: str) -> bytes:
    member = AllocationMember(
        index=index,
        node=_GAP,
        node_id=_GAP,
        devices=[_GAP],
        milli=milli,
        memory_mib=mib,
        state=state,
        order_state=None,
        trouble=None,
        binding={},
    )
    return _with_gaps(member)


def _with_gaps(row: Struct) -> bytes:
    """Return JSON whose gaps the operator ``%`` fills in their order."""
    return _json.encode(row).replace(b"%", b"%%").replace(b"\0", b"%b")


_DEVICE: Final = _with_gaps(MemberDevice(_GAP_IN_QUOTES, _GAP))


def _text(id: UUID) -> bytes:
    return ids.text(id).encode()


@lru_cache(_KEPT)
def _spec(text: bytes) -> dict[str, Any]:
    return request.complete(_as_stored(msgspec.json.decode(text)))


@lru_cache(_KEPT)
def _decided(text: bytes) -> bytes:
    """Return a decision as it is stored. Of a batch most are alike."""
    return _json.encode(_as_stored(msgspec.json.decode(text)))


@lru_cache(_KEPT)
def _price(per_hour: Decimal | None) -> bytes:
    return _json.encode(None if per_hour is None else per_hour.quantize(_PLACES, ROUND_HALF_UP))


def _as_stored(value: Any) -> Any:
    """Return JSON with its names in the order in which jsonb keeps them: an answer's version is of its bytes."""
    if isinstance(value, dict):
        return {name: _as_stored(value[name]) for name in _in_order(tuple(value))}
    return [_as_stored(each) for each in value] if isinstance(value, list) else value


@lru_cache(_KEPT)
def _in_order(names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: (len(name.encode()), name))
