"""The picture of `manage.py simulate`: percent placed over percent arrived, a line for each trace."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 400, 50, 40
COLOURS = ("#1b6ac9", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0f766e")


def svg(curves: Mapping[str, Sequence[float]], *, title: str) -> str:
    """Return the drawing; each curve has the percent placed at 0, 1, 2 … percent arrived."""
    most = max(len(curve) for curve in curves.values()) - 1

    def at(arrived: float, placed: float) -> str:
        x = LEFT + (WIDTH - LEFT - 10) * arrived / most
        return f"{x:.1f},{(HEIGHT - BOTTOM) * (1 - placed / 100) + 10:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 20}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>'
    ]
    for percent in range(0, 101, 20):
        x, y = at(0, percent).split(",")
        parts.append(f'<path d="M{at(0, percent)} L{at(most, percent)}" stroke="#ddd"/>')
        parts.append(f'<text x="{float(x) - 6}" y="{float(y) + 4}" text-anchor="end">{percent}</text>')
    for percent in range(0, most + 1, 20):
        x = at(percent, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 26}" text-anchor="middle">{percent}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(at(arrived, placed) for arrived, placed in enumerate(curve))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 12}" y="{24 + 16 * number}" fill="{colour}">{escape(name)}</text>')
    label = f"{escape(title)}: percent of the devices placed over percent asked for"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT + 10}">{label}</text></svg>')
    return "".join(parts) + "\n"
