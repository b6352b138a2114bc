"""``hy-smi`` of Hygon (``rocm-smi`` in old DTK): one line a card, without name, bus or size of its memory."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, not_understood
from connectors.baremetal.tools.tool import Tool

_TOOL = "hy-smi"
_HEADER = ["DCU", "Temp", "AvgPwr", "Fan", "Perf", "PwrCap", "VRAM%", "DCU%"]
_END = "End of SMI Log"
_LINE = re.compile(r"(\d+) +\S+ +\S+ +\S+ +\S+ +\S+ +(\d+)% +(\d+)%")


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards: that they are there, and no more. Their model comes from the bus, where the host shows it."""
    lines = [line.strip() for line in table.plain(output).splitlines()]
    start = next((number for number, line in enumerate(lines) if line.split() == _HEADER), None)
    if start is None:
        raise not_understood(_TOOL, "the header of its table is not the known one")
    body = [line for line in lines[start + 1 :] if line.strip("=")]
    if not body or _END not in body.pop():
        raise not_understood(_TOOL, "it ends before its end")
    return tuple(_card(table.matched(_LINE, line, _TOOL)[0]) for line in body)


def _card(index: str) -> Card:
    return Card(
        vendor="hygon",
        index=int(index),
        nodes=(f"/dev/dri/renderD{128 + int(index)}", f"/dev/dri/card{index}"),
        shared=("/dev/kfd", "/dev/mkfd"),
        visible=("HIP_VISIBLE_DEVICES", index),
    )


TOOL = Tool("hy-smi", cards)
