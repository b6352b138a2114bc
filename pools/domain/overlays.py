"""A read as it is after a decision, or as it would be if some claims ended: reads made of reads, nothing else."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from msgspec.structs import replace

from pools.domain.candidates import Candidate, Card, End, Unobserved, View
from pools.domain.decisions import Decision, Placed
from pools.domain.profiles import Piece
from pools.domain.request import WHOLE_MILLI


def after(view: View, decision: Decision) -> View:
    """Return the read with the decision's places taken. A row that stood for several nodes stands for its own then.

    Where the pool promises no node, its nodes show nothing yet: the members are among the unobserved.
    """
    rows = {row.capacity_id: row for row in view.candidates}
    on_hosts: dict[UUID, tuple[int, int]] = {}
    for placed in decision.members:
        if placed.capacity_id is not None:
            row = rows[placed.capacity_id]
            rows[row.capacity_id] = replace(row, cards=_taken(row, placed, decision.profile), alike=1)
        if placed.host_id is not None:
            cpu_milli, memory_mib = on_hosts.get(placed.host_id, (0, 0))
            on_hosts[placed.host_id] = cpu_milli + placed.cpu_milli, memory_mib + placed.memory_mib
    candidates = tuple(_on_host(rows[row.capacity_id], on_hosts, -1) for row in view.candidates)
    return replace(view, candidates=candidates, unobserved=(*view.unobserved, *_unobserved(decision)))


def freed(view: View, ends: Iterable[End]) -> View:
    """Return the read as it would be when these claims have ended: what is booked is so much nearer then."""
    ends = tuple(ends)
    seconds = max((end.in_seconds for end in ends), default=0)
    rows = {row.capacity_id: row for row in view.candidates}
    on_hosts: dict[UUID, tuple[int, int]] = {}
    for end in ends:
        row = rows.get(end.capacity_id)
        if row is not None and end.positions:
            rows[row.capacity_id] = replace(row, cards=tuple(_given_back(card, end) for card in row.cards), alike=1)
        if end.cpu_milli or end.memory_mib:
            host_id = row.host_id if row is not None and end.positions else end.capacity_id
            if host_id is not None:
                cpu_milli, memory_mib = on_hosts.get(host_id, (0, 0))
                on_hosts[host_id] = cpu_milli + end.cpu_milli, memory_mib + end.memory_mib
    candidates = [_on_host(rows[row.capacity_id], on_hosts, 1) for row in view.candidates]
    return replace(view, candidates=tuple([_later(row, seconds) for row in candidates]))


def emptied(row: Candidate) -> Candidate:
    """Return the row as it would be if nobody used its cards. Cards that were not read are as the largest that was."""
    mib = max((card.total_mib for card in row.cards), default=0)
    unread = [Card(-number, WHOLE_MILLI, mib, WHOLE_MILLI, mib) for number in range(1, row.units - len(row.cards) + 1)]
    cards = [card._replace(free_milli=card.total_milli, free_mib=card.total_mib, pieces=()) for card in row.cards]
    return replace(row, cards=(*cards, *unread))


def _taken(row: Candidate, placed: Placed, profile: str | None) -> tuple[Card, ...]:
    starts = dict(zip(placed.positions, placed.starts or (), strict=False))
    return tuple(
        card._replace(
            free_milli=card.free_milli - placed.milli,
            free_mib=card.free_mib - placed.mib,
            later_milli=card.later_milli - placed.milli if card.booked_in_seconds is not None else card.later_milli,
            later_mib=card.later_mib - placed.mib if card.booked_in_seconds is not None else card.later_mib,
            pieces=(*card.pieces, Piece(profile=profile, start=starts[card.position]))
            if profile and card.position in starts
            else card.pieces,
        )
        if card.position in placed.positions
        else card
        for card in row.cards
    )


def _given_back(card: Card, end: End) -> Card:
    if card.position not in end.positions:
        return card
    gone = end.pieces[end.positions.index(card.position)] if end.pieces else None
    given = min(end.milli, card.total_milli - card.free_milli)
    given_mib = min(end.mib, card.total_mib - card.free_mib)
    return card._replace(
        free_milli=card.free_milli + given,
        later_milli=card.later_milli + given if card.booked_in_seconds is not None else card.later_milli,
        free_mib=card.free_mib + given_mib,
        later_mib=card.later_mib + given_mib if card.booked_in_seconds is not None else card.later_mib,
        pieces=tuple(piece for piece in card.pieces if piece != gone),
    )


def _later(row: Candidate, seconds: int) -> Candidate:
    if row.host_booked_in_seconds is not None:
        row = replace(row, host_booked_in_seconds=max(row.host_booked_in_seconds - seconds, 0))
    if all(card.booked_in_seconds is None for card in row.cards):
        return row
    cards = [
        card
        if card.booked_in_seconds is None
        else card._replace(booked_in_seconds=max(card.booked_in_seconds - seconds, 0))
        for card in row.cards
    ]
    return replace(row, cards=tuple(cards))


def _on_host(row: Candidate, changes: Mapping[UUID, tuple[int, int]], sign: int) -> Candidate:
    if row.host_id is None or row.host_id not in changes:
        return row
    cpu_milli, memory_mib = changes[row.host_id]
    is_booked = row.host_booked_in_seconds is not None
    return replace(
        row,
        cpu_free_milli=row.cpu_free_milli + sign * cpu_milli,
        memory_free_mib=row.memory_free_mib + sign * memory_mib,
        cpu_later_milli=row.cpu_later_milli + sign * cpu_milli * is_booked,
        memory_later_mib=row.memory_later_mib + sign * memory_mib * is_booked,
    )


def _unobserved(decision: Decision) -> Iterable[Unobserved]:
    placed = decision.members[0]
    if placed.node_id is None:
        yield Unobserved(
            pool_id=decision.pool_id,
            model=decision.model,
            profile=decision.profile,
            devices=decision.devices_per_member,
            milli=placed.milli // max(decision.devices_per_member, 1),
            mib=placed.mib // max(decision.devices_per_member, 1),
            cpu_milli=placed.cpu_milli,
            memory_mib=placed.memory_mib,
            count=len(decision.members),
        )
