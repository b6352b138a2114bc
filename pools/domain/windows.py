"""Who has how much when: sums over half open windows [start, end) of time. Pure arithmetic."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple


class Span(NamedTuple):
    """So much from one instant to before another; None: it was always so, it has no end."""

    start_at: datetime | None
    end_at: datetime | None
    milli: int
    mib: int = 0

    def meets(self, start_at: datetime, end_at: datetime | None) -> bool:
        """True when it has an instant in common with the window."""
        return (self.end_at is None or self.end_at > start_at) and (
            self.start_at is None or end_at is None or self.start_at < end_at
        )

    def is_on(self, at: datetime) -> bool:
        """True at each instant from its start to before its end."""
        return (self.start_at is None or self.start_at <= at) and (self.end_at is None or self.end_at > at)


def peak(spans: Iterable[Span], start_at: datetime, end_at: datetime | None) -> tuple[int, int]:
    """Return the most milli and the most MiB that the spans have together at any instant of the window."""
    milli = most_milli = mib = most_mib = 0
    for _, sign, span in _turns(spans, start_at, end_at):
        milli, mib = milli + sign * span.milli, mib + sign * span.mib
        most_milli, most_mib = max(most_milli, milli), max(most_mib, mib)
    return most_milli, most_mib


def peaks(
    spans: Iterable[tuple[Span, Sequence[bool]]], steps: Sequence[tuple[datetime, datetime]], kinds: int
) -> list[list[int]]:
    """Return for each of the steps, which follow one another, the most milli that each kind has together within it.

    Beside each span stands of which of so many kinds it is. As ``peak`` for each, in one pass over all of them.
    """
    turns = []
    for span, is_of in spans:
        if span.meets(steps[0][0], steps[-1][1]):
            turns.append((steps[0][0] if span.start_at is None else span.start_at, 1, span.milli, is_of))
            if span.end_at is not None:
                turns.append((span.end_at, -1, span.milli, is_of))
    turns.sort(key=lambda turn: turn[:2])
    milli, most, place = [0] * kinds, [], 0
    for start_at, end_at in steps:
        highest = [0] * kinds
        is_begun = False
        while place < len(turns) and turns[place][0] < end_at:
            at, sign, amount, is_of = turns[place]
            if at > start_at and not is_begun:
                highest, is_begun = milli.copy(), True
            place += 1
            for kind in range(kinds):
                if is_of[kind]:
                    milli[kind] += sign * amount
                    if is_begun and milli[kind] > highest[kind]:
                        highest[kind] = milli[kind]
        most.append(highest if is_begun else milli.copy())
    return most


def full_at(
    spans: Iterable[Span], start_at: datetime, end_at: datetime | None, room_milli: int, room_mib: int
) -> datetime | None:
    """Return the first instant of the window at which the spans have more than the room, None when they never have."""
    milli = mib = 0
    for at, sign, span in _turns(spans, start_at, end_at):
        milli, mib = milli + sign * span.milli, mib + sign * span.mib
        if milli > room_milli or mib > room_mib:
            return at
    return None


def _turns(spans: Iterable[Span], start_at: datetime, end_at: datetime | None) -> list[tuple[datetime, int, Span]]:
    """Return beginnings (1) and ends (-1) within the window in their order, ends first at one instant."""
    turns = []
    for span in spans:
        if span.meets(start_at, end_at):
            turns.append((start_at if span.start_at is None else max(span.start_at, start_at), 1, span))
            if span.end_at is not None:
                turns.append((span.end_at, -1, span))
    return sorted(turns, key=lambda turn: turn[:2])
