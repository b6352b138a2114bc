"""Geometry of the charts: pure functions from counts to SVG without inline styles, made of numbers only.

A map has one path for each state: a horizontal line for each run of equal cells, which a dash pattern of the style
sheet (8 drawn, 2 left out) cuts into cells. 4,000 devices are some kilobytes, and a fleet of any size has as few nodes.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from django.utils.safestring import SafeString

COLUMNS: Final = 48
STEP: Final = 10  # units of the drawing a cell and its gap take
MAP_CELLS: Final = 1_600  # of all pools together, where a cell stands for many devices
LETTERS: Final = (
    "chsfxupe"  # claimed, held, shadow, free, faulty, not available, counted in pieces, given out elsewhere
)
_RUN: Final = re.compile(r"(.)\1*")
BAR_STATES: Final = ("claimed", "held", "shadow", "faulty", "free")

# What is drawn for a state, in order: class of the line, where it begins, what its length lacks.
_LAYERS: Final[Mapping[str, tuple[tuple[str, float, float], ...]]] = {
    "c": (("s-claimed box", 0, 2),),
    "h": (("edge box", 0, 2), ("s-held half", 0.75, 3.5)),
    "s": (("s-shadow box", 0, 2), ("mark dot", 2.5, 7)),
    "f": (("edge box", 0, 2), ("s-free inner", 0.75, 3.5)),
    "x": (("s-faulty box", 0, 2), ("mark bar-mark", 1.5, 5)),
    "u": (("s-unknown box", 0, 2), ("mark hole", 1.5, 5)),
    "p": (("edge box", 0, 2), ("s-free inner", 0.75, 3.5), ("edge bar-mark", 1.5, 5)),
    "e": (("edge box", 0, 2),),
}


def cells(letters: str, columns: int = COLUMNS) -> dict[str, Any]:
    """Return {markup, width, height, columns, count} of a map that has one cell for each letter."""
    runs: dict[str, list[tuple[int, int, int]]] = {}
    for top in range(0, len(letters), columns):
        for run in _RUN.finditer(letters[top : top + columns]):
            runs.setdefault(run[1], []).append((top // columns, run.start(), len(run[0])))
    markup = "".join(
        f'<path class="{css}" d="{_lines(found, begin, lack)}"/>'
        for letter, found in runs.items()
        for css, begin, lack in _LAYERS[letter]
    )
    rows = max(-(-len(letters) // columns), 1)
    return {
        "markup": SafeString(markup),
        "width": columns * STEP,
        "height": rows * STEP,
        "columns": columns,
        "count": len(letters),
    }


def _lines(runs: Sequence[tuple[int, int, int]], begin: float, lack: float) -> str:
    return "".join(
        f"M{left * STEP + begin:g} {line * STEP + 5}h{length * STEP - lack:g}" for line, left, length in runs
    )


@cache
def swatch(letter: str) -> SafeString:
    """Return a drawing of one cell, for a legend."""
    markup = cells(letter, columns=1)["markup"]
    return SafeString(f'<svg class="cells swatch" viewBox="0 0 9 10" aria-hidden="true">{markup}</svg>')


def proportional(counts: Mapping[str, int], devices_per_cell: int) -> str:
    """Return letters, one for so many devices, by largest remainder; what is there at all has at least one cell."""
    order = [letter for letter in LETTERS if counts.get(letter, 0) > 0]
    exact = {letter: counts[letter] / devices_per_cell for letter in order}
    given = {letter: max(1, int(exact[letter])) for letter in order}
    wanted = max(len(order), -(-sum(counts.values()) // devices_per_cell))
    for letter in sorted(order, key=lambda letter: given[letter] - exact[letter])[
        : max(0, wanted - sum(given.values()))
    ]:
        given[letter] += 1
    return "".join(letter * given[letter] for letter in order)


def devices_per_cell(devices: int) -> int:
    """Return for how many devices one cell stands: 1, 2, 5, 10, 20, 50, … so that a map stays within MAP_CELLS."""
    scale = 1
    while True:
        for step in (1, 2, 5):
            if devices <= step * scale * MAP_CELLS:
                return step * scale
        scale *= 10


def bar(sums: Mapping[str, int]) -> SafeString:
    """Return a bar's parts, in percent of the whole, for the states that are not free."""
    total = max(sums["total_milli"], sum(sums[f"{state}_milli"] for state in BAR_STATES), 1)
    parts, left = [], 0.0
    for state in BAR_STATES[:-1]:
        width = 100 * sums[f"{state}_milli"] / total
        if not width:
            continue
        # A sliver must not vanish: one faulty card of a thousand is news.
        place = f'x="{left:.2f}%" width="{max(width, 0.6):.2f}%" height="100%"'
        parts.append(f'<rect class="s-{state}" {place}/>')
        if state == "faulty":
            parts.append(f'<rect fill="url(#hatch)" {place}/>')
        left += width
    return SafeString("".join(parts))


def parts(shown: Sequence[tuple[str, int]], whole: int, mark: int | None = None) -> SafeString:
    """Return a bar's parts one after the other, each (class, amount), of a whole; ``mark`` is a line at an amount."""
    whole = max(whole, sum(amount for _, amount in shown), 1)
    drawn, left = [], 0.0
    for css, amount in shown:
        if amount > 0:
            width = max(100 * amount / whole, 0.6)  # a sliver must not vanish
            drawn.append(f'<rect class="{css}" x="{left:.2f}%" width="{width:.2f}%" height="100%"/>')
            left += 100 * amount / whole
    if mark is not None and 0 < mark < whole:
        place = f"{100 * mark / whole:.2f}%"
        drawn.append(f'<line class="mark" x1="{place}" x2="{place}" y1="0" y2="100%"/>')
    return SafeString("".join(drawn))


TREND_HEIGHT: Final = 20


def trend(shares: Sequence[float | None]) -> dict[str, Any]:
    """Return {markup, width, height} of columns for shares from 0 to 1, the oldest first; None has no column."""
    drawn = []
    for number, share in enumerate(shares):
        if share is not None:
            height = max(TREND_HEIGHT * share, 0.6)  # nothing is not unknown
            place = f'x="{4 * number}" y="{TREND_HEIGHT - height:.1f}" width="3" height="{height:.1f}"'
            drawn.append(f'<rect class="s-faulty" {place}/>')
    return {"markup": SafeString("".join(drawn)), "width": max(4 * len(shares) - 1, 1), "height": TREND_HEIGHT}


_SEVERITIES: Final = ("ok", "busy", "warn", "bad")


def track(severities: Mapping[int, int], buckets: int) -> SafeString:
    """Return for each severity one path over the slices of time, each slice one unit wide."""
    runs: dict[int, list[str]] = {}
    for bucket, severity in sorted(severities.items()):
        if 0 <= bucket < buckets:
            runs.setdefault(severity, []).append(f"M{bucket}.1 5h.8")
    paths = (f'<path class="r-{_SEVERITIES[severity]}" d="{"".join(run)}"/>' for severity, run in sorted(runs.items()))
    return SafeString("".join(paths))
