"""What is free in one capacity row, what a member needs of it, and all the ways to take it. Pure values.

A row is kept in a canonical order, so that rows in the same state are equal and each state is thought about once;
which position of which node it was is the board's to know.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from pools.domain.candidates import Candidate, Form
from pools.domain.profiles import Layout, Piece, Placement
from pools.domain.shapes import NodeState

FOREVER: Final = 2**62
_SCORED_UNITS: Final = 64  # of a counter: more of them change nothing in what a member finds there

Fits = Callable[[str, Layout, str], Placement | None]
"""Where one more piece of a profile lies on a card of a model with that layout, None when it does not fit."""


class Need(NamedTuple):
    """What one member asks of one row. ``mib`` None: in proportion to the milli. ``profile`` in the catalogue's words.

    ``form`` "sum" is for a pool's own counter, where only the sum is promised: so many milli and MiB, as one device.
    ``group``: "" any cards will do, "preferred" or "required" to be of one link group. ``lease_seconds`` counts only
    beside bookings: 0 ends before any of them.
    """

    form: Form | Literal["sum"]
    devices: int = 1
    milli: int = 1000
    mib: int | None = None
    profile: str = ""
    cpu_milli: int = 0
    memory_mib: int = 0
    group: str = ""
    lease_seconds: int = 0


class Place(NamedTuple):
    """What is free on one card. ``group`` numbers the link groups of its row from 1, 0 where none is known."""

    free_milli: int
    free_mib: int
    total_milli: int
    total_mib: int
    group: int = 0
    pieces: Layout = ()
    booked_in_seconds: int = FOREVER
    later_milli: int = 0
    later_mib: int = 0


class Row(NamedTuple):
    """A capacity row's state. ``unit_milli`` is 0 for cards, which are sorted, the most free first.

    A lease that is longer than ``booked_in_seconds`` finds only what is ``later`` of CPU and memory.
    """

    model: str
    profile: str
    unit_milli: int
    cpu_milli: int
    memory_mib: int
    places: tuple[Place, ...]
    booked_in_seconds: int = FOREVER
    cpu_later_milli: int = 0
    memory_later_mib: int = 0


class Taking(NamedTuple):
    """One way to take: at which places of the row how much, and the row after it.

    ``order`` tells for each place of the row after it which place it was before.
    """

    places: tuple[int, ...]
    starts: tuple[int, ...] | None
    milli: int
    mib: int
    row: Row
    order: tuple[int, ...]


def read(candidate: Candidate, profile: str) -> tuple[Row, tuple[int, ...]]:
    """Return the state of a candidate's row, and for each of its places which of the candidate's cards it is.

    ``profile`` is the candidate's in the catalogue's words, "" for none.
    """
    groups: dict[str, int] = {"": 0}
    places = [
        Place(
            card.free_milli,
            card.free_mib,
            card.total_milli,
            card.total_mib,
            groups.setdefault(card.group, len(groups)),
            tuple(sorted(card.pieces, key=_piece_key)),
            FOREVER if card.booked_in_seconds is None else card.booked_in_seconds,
            card.later_milli,
            card.later_mib,
        )
        for card in candidate.cards
    ]
    order = _order(places)
    row = Row(
        candidate.model or "",
        profile,
        candidate.unit_milli if candidate.kind == "counter" else 0,
        candidate.cpu_free_milli,
        candidate.memory_free_mib,
        tuple(places[place] for place in order),
        FOREVER if candidate.host_booked_in_seconds is None else candidate.host_booked_in_seconds,
        candidate.cpu_later_milli,
        candidate.memory_later_mib,
    )
    return row, order


def seen_as(row: Row) -> NodeState:
    """Return the row as the score sees it. Of a card in parts the scarcer of compute and memory counts."""
    if row.unit_milli:
        units = min(row.places[0].free_milli // row.unit_milli, _SCORED_UNITS) if row.places else 0
        free = (row.unit_milli,) * units
    else:
        free = tuple(sorted([_usable(place) for place in row.places], reverse=True))
    return NodeState(row.cpu_milli, row.memory_mib, row.model, free)


def _usable(place: Place) -> int:
    if place.free_milli == place.total_milli or not place.total_mib:
        return place.free_milli
    return min(place.free_milli, place.free_mib * 1000 // place.total_mib)


def takings(row: Row, need: Need, fits: Fits) -> Iterator[Taking]:
    """Yield the ways in which one member can take what it needs, none when it does not fit.

    A share of a card goes to any level of what is free, several to the fullest that have room; each device of a member
    is another card. Cards of one link group are an own way wherever they suffice.
    """
    if need.cpu_milli > row.cpu_milli or need.memory_mib > row.memory_mib:
        return
    if need.lease_seconds > row.booked_in_seconds and (
        need.cpu_milli > row.cpu_later_milli or need.memory_mib > row.memory_later_mib
    ):
        return
    if need.form == "cpu":
        yield Taking((), None, 0, 0, _with_less(row, need, row.places), tuple(range(len(row.places))))
    elif row.unit_milli:
        yield from _of_counter(row, need)
    elif need.form == "profile" and need.profile != row.profile:
        yield from _of_cards(row, need, _pieces(row, need, fits))
    elif row.profile == need.profile:
        yield from _of_cards(row, need, _parts(row, need))


def _of_counter(row: Row, need: Need) -> Iterator[Taking]:
    """Units of a counter: of its profile, whole ones, or for shares units that are large enough each."""
    if not row.places:
        return
    place, unit = row.places[0], row.unit_milli
    if need.form == "sum":
        taken = _taken(place, need, need.milli, need.mib or 0)
        if taken is not None:
            yield Taking((0,), None, need.milli, need.mib or 0, _with_less(row, need, (taken,)), (0,))
        return
    if row.profile != need.profile:
        return
    if need.form == "whole" and unit != 1000:
        return
    if need.form == "share" and (unit == 1000 or need.milli > unit):
        return
    units = place.total_milli // unit
    unit_mib = place.total_mib // units if units else 0
    if need.mib is not None and need.mib > unit_mib:
        return
    taken = _taken(place, need, unit * need.devices, unit_mib * need.devices)
    if taken is not None:
        yield Taking((0,), None, unit * need.devices, unit_mib * need.devices, _with_less(row, need, (taken,)), (0,))


class _Part(NamedTuple):
    """What would be taken of one card."""

    place: int
    milli: int
    mib: int
    start: int | None
    after: Place


def _parts(row: Row, need: Need) -> list[_Part]:
    """Return the cards that have room for a share or are free as a whole; also static pieces, which are as cards."""
    found = []
    for index, place in enumerate(row.places):
        if need.form == "share":
            milli = need.milli
            mib = place.total_mib * milli // 1000 if need.mib is None else need.mib
        else:
            milli, mib = place.total_milli, min(place.free_mib, place.total_mib)
        if milli and place.free_milli >= milli and not place.pieces:
            after = _taken(place, need, milli, mib)
            if after is not None:
                found.append(_Part(index, milli, mib, None, after))
    return found


def _pieces(row: Row, need: Need, fits: Fits) -> list[_Part]:
    """Return the cards where one more piece of a profile may lie: cut ones, and those that nobody uses."""
    found = []
    for index, place in enumerate(row.places):
        if row.profile or not place.free_milli or not (place.pieces or place.free_milli == place.total_milli):
            continue
        if need.lease_seconds > place.booked_in_seconds:
            continue  # it may lie in the way of what is booked
        spot = fits(row.model, place.pieces, need.profile)
        if spot is None:
            continue
        mib = min(spot.memory_mib, place.free_mib)  # the layout says what fits; a card may have some MiB less
        after = _taken(place, need, spot.milli, mib)
        if after is not None:
            pieces = tuple(sorted((*place.pieces, Piece(profile=spot.profile, start=spot.start)), key=_piece_key))
            found.append(_Part(index, spot.milli, mib, spot.start, after._replace(pieces=pieces)))
    return found


def _taken(place: Place, need: Need, milli: int, mib: int) -> Place | None:
    """Return the place with so much less, None when it has not so much."""
    free_milli, free_mib, later, later_mib = (
        place.free_milli - milli,
        place.free_mib - mib,
        place.later_milli,
        place.later_mib,
    )
    if need.lease_seconds > place.booked_in_seconds:
        later, later_mib = later - milli, later_mib - mib
        if later < 0 or later_mib < 0:
            return None
    if free_milli < 0 or free_mib < 0:
        return None
    return Place(
        free_milli,
        free_mib,
        place.total_milli,
        place.total_mib,
        place.group,
        place.pieces,
        place.booked_in_seconds,
        later,
        later_mib,
    )


def _of_cards(row: Row, need: Need, parts: Sequence[_Part]) -> Iterator[Taking]:
    if len(parts) >= need.devices:
        for chosen in _choices(row, need, parts):
            yield _taking(row, need, chosen)


def _choices(row: Row, need: Need, parts: Sequence[_Part]) -> Sequence[Sequence[_Part]]:
    """Return the sets of cards worth looking at."""
    count = need.devices
    if count == 1:
        return list({(row.places[part.place], part.start): (part,) for part in reversed(parts)}.values())[::-1]
    groups: dict[int, list[_Part]] = {}
    for part in parts:
        groups.setdefault(row.places[part.place].group, []).append(part)
    in_one = [
        members[-count:] for group, members in groups.items() if len(members) >= count and (group or not need.group)
    ]
    if need.group == "required" or len(groups) == 1 or (need.group == "preferred" and in_one):
        return in_one if need.group == "required" else in_one or [parts[-count:]]
    # As few groups as possible, and the fullest cards wherever they are.
    by_size = [part for members in sorted(groups.values(), key=len, reverse=True) for part in members]
    return [*in_one, by_size[:count], parts[-count:]]


def _taking(row: Row, need: Need, chosen: Sequence[_Part]) -> Taking:
    places = list(row.places)
    for part in chosen:
        places[part.place] = part.after
    order = _order(places)
    starts = tuple(part.start for part in chosen if part.start is not None)
    return Taking(
        tuple(part.place for part in chosen),
        starts or None,
        chosen[0].milli,
        min(part.mib for part in chosen),
        _with_less(row, need, tuple([places[place] for place in order])),
        order,
    )


def _with_less(row: Row, need: Need, places: tuple[Place, ...]) -> Row:
    is_later = need.lease_seconds > row.booked_in_seconds
    return Row(
        row.model,
        row.profile,
        row.unit_milli,
        row.cpu_milli - need.cpu_milli,
        row.memory_mib - need.memory_mib,
        places,
        row.booked_in_seconds,
        row.cpu_later_milli - need.cpu_milli if is_later else row.cpu_later_milli,
        row.memory_later_mib - need.memory_mib if is_later else row.memory_later_mib,
    )


def _order(places: Sequence[Place]) -> tuple[int, ...]:
    keys = [
        (-milli, -mib, -total, group, tuple([_piece_key(piece) for piece in pieces]) if pieces else ())
        for milli, mib, total, _, group, pieces, *_ in places
    ]
    return tuple(sorted(range(len(places)), key=keys.__getitem__))


def _piece_key(piece: Piece) -> tuple[str, int]:
    return piece.profile, piece.start
