"""``npu-smi info`` of Ascend: a chip is two rows, and what stands in them differs from chip to chip."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process, not_understood
from connectors.baremetal.tools.tool import Tool
from connectors.contract import Health

_TOOL = "npu-smi"
_SHARED = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
_FIRST = ["NPU Name", "Health"]
_CARD = re.compile(r"(\d+) (\S+)")
_CHIP = re.compile(r"(\d+)(?: (\d+))?")
_DDR = re.compile(r"\d+ (\d+) ?/ ?(\d+)")
_HBM = re.compile(r"\d+ \d+ ?/ ?\d+ (\d+) ?/ ?(\d+)")
_LAYOUTS: dict[tuple[str, ...], re.Pattern[str]] = {
    ("Chip Device", "Bus-Id", "AICore(%) Memory-Usage(MB)"): _DDR,
    ("Chip", "Bus-Id", "AICore(%) Memory-Usage(MB) HBM-Usage(MB)"): _HBM,
}
"""The second row of the header, and where the memory of the accelerator stands in the row below it."""


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the chips; each can be given out by itself."""
    found = table.rows(output)
    head = next((place for place, row in enumerate(found) if row[:2] == _FIRST), None)
    layout = _LAYOUTS.get(tuple(found[head + 1])) if head is not None and head + 1 < len(found) else None
    if head is None or layout is None:
        raise not_understood(_TOOL, "the header of its table is none of the known ones")
    body = found[head + 2 :]
    end = next((place for place, row in enumerate(body) if row[0].startswith("NPU Chip")), len(body))
    processes = _processes(body[end + 1 :])
    return tuple(_chip(first, second, layout, processes) for first, second in table.pairs(body[:end], _TOOL))


def _chip(first: list[str], second: list[str], layout: re.Pattern[str], processes: dict[str, list[Process]]) -> Card:
    npu, model = table.matched(_CARD, first[0], _TOOL)
    chip, device = table.matched(_CHIP, second[0], _TOOL)
    health, reason = _health(first[1])
    _used, total = table.matched(layout, second[2], _TOOL)
    # Nodes are numbered by physical id. Only the Device column tells it where a card has several chips.
    physical = device if device is not None else npu if chip == "0" else None
    return Card(
        vendor="ascend",
        model=model,
        index=int(physical) if physical else None,
        pci_address=table.pci_address(second[1], _TOOL),
        memory_mib=int(total),
        health=health,
        health_reason=reason,
        processes=tuple(processes.get(f"{npu} {chip}", ())),
        nodes=(f"/dev/davinci{physical}",) if physical else (),
        shared=_SHARED,
        visible=("ASCEND_RT_VISIBLE_DEVICES", physical) if physical else None,
    )


def _health(text: str) -> tuple[Health, str]:
    if text == "OK":
        return "ok", ""
    if text in ("Warning", "Alarm", "Critical"):
        return "faulty", f"npu-smi says {text}"
    return "unknown", f"npu-smi says {text}"


def _processes(body: list[list[str]]) -> dict[str, list[Process]]:
    """Return the processes by "NPU chip". Rows that say that there are none have one cell."""
    found: dict[str, list[Process]] = {}
    for row in body:
        if len(row) == 1 and row[0].startswith("No running processes"):
            continue
        if len(row) != 4 or not row[1].isdecimal() or not row[3].isdecimal():
            raise not_understood(_TOOL, f"{' | '.join(row)[:80]} is no row of a process")
        found.setdefault(row[0], []).append(Process(pid=int(row[1]), name=row[2], memory_mib=int(row[3])))
    return found


TOOL = Tool("npu-smi info", cards)
