"""What the positions of a capacity row have free, read from one text: rows that are alike are thought about once.

The server writes the lists of a row as text anyway. Most rows of a fleet are in few states, so the same texts come
again and again, and neither driver nor reader has to take them apart.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import gt
from typing import Any, Final, NamedTuple

import msgspec

from pools.domain.candidates import Card
from pools.domain.profiles import Layout

_BETWEEN: Final = "\x1f"  # in no number, and escaped in JSON


def _none_for_zeros(name: str) -> str:
    """Tell milli and MiB; nothing where both are 0 at all positions, as mostly: that is looked at faster than told."""
    milli, mib = f"c.pos_{name}_milli", f"c.pos_{name}_mib"
    return f"CASE WHEN 0 = ALL ({milli}) AND 0 = ALL ({mib}) THEN '' ELSE concat_ws(';', {milli}, {mib}) END"


def _none_for_empty(name: str) -> str:
    return f"CASE WHEN cardinality(c.{name}) = 0 THEN '' ELSE to_json(c.{name})::text END"


# Bookings come first: what they leave depends on the moment.
COLUMN: Final = f"""concat_ws(E'\\x1f', {_none_for_empty("pos_booked_from_at")}, c.pos_booked_peak_milli,
    c.pos_booked_peak_mib, {_none_for_empty("pos_link_group")}, c.layout, c.pos_total_milli, c.pos_total_mib,
    {_none_for_zeros("claimed")},
    {_none_for_zeros("held")},
    {_none_for_zeros("shadow")},
    {_none_for_zeros("faulty")})"""
_KEPT: Final = 4096
_instants: Final = msgspec.json.Decoder(list[datetime | None])
_words: Final = msgspec.json.Decoder(list[str])
_layouts: Final = msgspec.json.Decoder(dict[int, Layout])


class Positions(NamedTuple):
    """The cards of which something is free, how many positions live devices have, and how many there are."""

    cards: tuple[Card, ...]
    units: int
    length: int


def read(text: str, now: datetime, *, is_full: bool = False) -> Positions:
    """Return what a row's COLUMN says; with ``is_full`` also the cards where only claims are in the way."""
    if text.startswith(_BETWEEN):
        return _unbooked(text, is_full)
    return _read(text, now, is_full)


def pieces(text: str) -> dict[int, Layout]:
    """Return what lies on cards by position, from a row's layout."""
    return _layouts.decode(text) if text != "{}" else {}


@lru_cache(_KEPT)
def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of an array as the server writes it: {1,2}."""
    return tuple([int(word) for word in text[1:-1].split(",")]) if text != "{}" else ()


@lru_cache(_KEPT)
def _groups(text: str) -> list[str]:
    return _words.decode(text) if text else []


@lru_cache(_KEPT)
def _unbooked(text: str, is_full: bool) -> Positions:
    return _read(text, None, is_full)


def _read(text: str, now: datetime | None, is_full: bool) -> Positions:
    booked_from, peaks, peaks_mib, groups, layout, totals, totals_mib, *taken = text.split(_BETWEEN)
    total_milli, total_mib = _numbers(totals), _numbers(totals_mib)
    nothing = (0,) * len(total_milli)
    pairs = [[_numbers(each) for each in one.split(";")] if one else (nothing, nothing) for one in taken]
    faulty = pairs[3][0]
    names, lying = _groups(groups), pieces(layout)
    booked: Sequence[Any] = ()
    if booked_from:
        booked = list(zip(_instants.decode(booked_from), _numbers(peaks), _numbers(peaks_mib), strict=True))
    milli = zip(*[pair[0] for pair in pairs], strict=True)
    mib = list(zip(*[pair[1] for pair in pairs], strict=True))
    cards = []
    for index, (total, (claimed, held, shadow, broken)) in enumerate(zip(total_milli, milli, strict=True)):
        free = total - claimed - held - shadow - broken
        if free <= 0 and not (is_full and total > 0 == shadow + broken):
            continue
        free_mib = total_mib[index] - sum(mib[index])
        later = (None, 0, 0) if index >= len(booked) else until_booked(booked[index], free, free_mib, now)
        cards.append(
            Card(
                index + 1,
                max(free, 0),
                max(free_mib, 0),
                total,
                total_mib[index],
                names[index] if index < len(names) else "",
                lying.get(index + 1, ()),
                *later,
            )
        )
    return Positions(tuple(cards), sum(map(gt, total_milli, faulty)), len(total_milli))


def until_booked(
    booking: Sequence[Any] | None, free_milli: int, free_mib: int, now: datetime | None
) -> tuple[int | None, int, int]:
    """Return in how many seconds the first booking begins, and the milli and MiB that all of them leave."""
    if booking is None or booking[0] is None or now is None:
        return None, 0, 0
    from_at, peak_milli, peak_mib = booking
    return max(int((from_at - now).total_seconds()), 0), free_milli - peak_milli, free_mib - peak_mib
