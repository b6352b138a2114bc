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
# Bookings come first: what they leave depends on the moment.
COLUMN: Final = """concat_ws(E'\\x1f', to_json(c.pos_booked_from_at), c.pos_booked_peak_milli,
    c.pos_booked_peak_mib, to_json(c.pos_link_group), c.layout, c.pos_total_milli, c.pos_total_mib,
    c.pos_claimed_milli, c.pos_claimed_mib, c.pos_held_milli, c.pos_held_mib, c.pos_shadow_milli, c.pos_shadow_mib,
    c.pos_faulty_milli, c.pos_faulty_mib)"""
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
    if text.startswith("[]"):
        return _unbooked(text, is_full)
    return _read(text, now, is_full)


def pieces(text: str) -> dict[int, Layout]:
    """Return what lies on cards by position, from a row's layout."""
    return _layouts.decode(text) if text != "{}" else {}


def _numbers(text: str) -> list[int]:
    """Return the numbers of an array as the server writes it: {1,2}."""
    return [int(word) for word in text[1:-1].split(",")] if text != "{}" else []


@lru_cache(_KEPT)
def _unbooked(text: str, is_full: bool) -> Positions:
    return _read(text, None, is_full)


def _read(text: str, now: datetime | None, is_full: bool) -> Positions:
    booked_from, peaks, peaks_mib, groups, layout, *lists = text.split(_BETWEEN)
    total_milli, total_mib, *taken = [_numbers(each) for each in lists]
    names, lying = _words.decode(groups), pieces(layout)
    booked = list(zip(_instants.decode(booked_from), _numbers(peaks), _numbers(peaks_mib), strict=True))
    cards = []
    for index, total in enumerate(total_milli):
        claimed = taken[0][index] + taken[2][index]
        free = total - claimed - taken[4][index] - taken[6][index]
        if free <= 0 and not (is_full and total > 0 == taken[4][index] + taken[6][index]):
            continue
        free_mib = total_mib[index] - sum(mib[index] for mib in taken[1::2])
        cards.append(
            Card(
                index + 1,
                max(free, 0),
                max(free_mib, 0),
                total,
                total_mib[index],
                names[index] if index < len(names) else "",
                lying.get(index + 1, ()),
                *until_booked(booked[index] if index < len(booked) else None, free, free_mib, now),
            )
        )
    return Positions(tuple(cards), sum(map(gt, total_milli, taken[6])), len(total_milli))


def until_booked(
    booking: Sequence[Any] | None, free_milli: int, free_mib: int, now: datetime | None
) -> tuple[int | None, int, int]:
    """Return in how many seconds the first booking begins, and the milli and MiB that all of them leave."""
    if booking is None or booking[0] is None or now is None:
        return None, 0, 0
    from_at, peak_milli, peak_mib = booking
    return max(int((from_at - now).total_seconds()), 0), free_milli - peak_milli, free_mib - peak_mib
