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
_integers: Final = msgspec.json.Decoder(tuple[int, ...])
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
    return _integers.decode(f"[{text[1:-1]}]")


@lru_cache(_KEPT)
def _unused(groups: str, layout: str, totals: str, totals_mib: str) -> tuple[Card, ...]:
    """Return the cards of a row as they would be if nobody used them."""
    names, lying = _words.decode(groups) if groups else [], pieces(layout)
    return tuple(
        [
            Card(
                position,
                milli,
                mib,
                milli,
                mib,
                names[position - 1] if position <= len(names) else "",
                lying.get(position, ()),
            )
            for position, (milli, mib) in enumerate(zip(_numbers(totals), _numbers(totals_mib), strict=True), start=1)
        ]
    )


@lru_cache(_KEPT)
def _unbooked(text: str, is_full: bool) -> Positions:
    return _read(text, None, is_full)


def _read(text: str, now: datetime | None, is_full: bool) -> Positions:
    booked_from, peaks, peaks_mib, groups, layout, totals, totals_mib, *taken = text.split(_BETWEEN)
    unused = _unused(groups, layout, totals, totals_mib)
    nothing = (0,) * len(unused)
    claimed, held, shadow, faulty = [
        tuple(map(_numbers, each.split(";"))) if each else (nothing, nothing) for each in taken
    ]
    booked: Sequence[Any] = ()
    if booked_from:
        booked = list(zip(_instants.decode(booked_from), _numbers(peaks), _numbers(peaks_mib), strict=True))
    if held[0] is shadow[0] is faulty[0] is nothing:  # as mostly
        milli, mib = claimed
    else:
        milli, mib = (
            tuple(map(sum, zip(*each, strict=True))) for each in zip(claimed, held, shadow, faulty, strict=True)
        )
    cards = []
    for index, card in enumerate(unused):
        if milli[index] >= card.total_milli and not (
            is_full and card.total_milli > 0 == shadow[0][index] + faulty[0][index]
        ):
            continue
        if booked or milli[index] or mib[index]:
            free, free_mib = card.total_milli - milli[index], card.total_mib - mib[index]
            later = until_booked(booked[index] if index < len(booked) else None, free, free_mib, now)
            card = Card(index + 1, max(free, 0), max(free_mib, 0), *card[3:7], *later)
        cards.append(card)
    return Positions(tuple(cards), sum(map(gt, _numbers(totals), faulty[0])), len(unused))


def until_booked(
    booking: Sequence[Any] | None, free_milli: int, free_mib: int, now: datetime | None
) -> tuple[int | None, int, int]:
    """Return in how many seconds the first booking begins, and the milli and MiB that all of them leave."""
    if booking is None or booking[0] is None or now is None:
        return None, 0, 0
    from_at, peak_milli, peak_mib = booking
    return max(int((from_at - now).total_seconds()), 0), free_milli - peak_milli, free_mib - peak_mib
