"""``mthreads-gmi`` of Moore Threads: a card is three lines, its columns divided by bars without a frame."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process, not_understood
from connectors.baremetal.tools.tool import Tool

_TOOL = "mthreads-gmi"
_HEADER = re.compile(r"ID +Name +\|PCIe +\|%GPU +Mem\s*$")
_CARD = re.compile(r"(\d+) +(.+?) *\|([0-9a-f:.]+) *\|\d+% +(\d+)MiB\((\d+)MiB\)\s*", re.IGNORECASE)
_PROCESSES = re.compile(r"ID +PID +Process name +GPU Memory\s*$")
_PROCESS = re.compile(r"(\d+) +(\d+) +(.+?) +(\d+)MiB\s*")
_KNOWN = re.compile(r"[ +\-]*|Physical .*|\|.*|No running processes found|Usage|Device Type .*|ECC Mode")


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards."""
    lines = table.plain(output).splitlines()
    start = next((number for number, line in enumerate(lines) if _HEADER.match(line)), None)
    middle = next((number for number, line in enumerate(lines) if _PROCESSES.match(line)), None)
    if start is None or middle is None:
        raise not_understood(_TOOL, "the headers of its two tables are not the known ones")
    processes = _processes(lines[middle + 1 :])
    found = []
    for line in lines[start + 1 : middle]:
        if line[:1].isdigit():
            index, model, address, _used, total = table.matched(_CARD, line, _TOOL)
            found.append(_card(index, model, address, total, processes))
        elif not (_KNOWN.fullmatch(line.strip()) or line.strip() == "Processes:"):
            raise not_understood(_TOOL, f"the line {line.strip()[:80]!r} is not as expected")
    return tuple(found)


def _card(index: str, model: str, address: str, total: str, processes: dict[str, list[Process]]) -> Card:
    return Card(
        vendor="mthreads",
        model=model,
        index=int(index),
        pci_address=table.pci_address(address, _TOOL),
        memory_mib=int(total),
        processes=tuple(processes.get(index, ())),
        nodes=(f"/dev/mtgpu.{index}", f"/dev/dri/card{index}", f"/dev/dri/renderD{128 + int(index)}"),
        visible=("MUSA_VISIBLE_DEVICES", index),
    )


def _processes(lines: list[str]) -> dict[str, list[Process]]:
    found: dict[str, list[Process]] = {}
    for line in lines:
        if not _KNOWN.fullmatch(line.strip()):
            card, pid, name, memory_mib = table.matched(_PROCESS, line.strip(), _TOOL)
            found.setdefault(card, []).append(Process(pid=int(pid), name=name, memory_mib=int(memory_mib)))
    return found


TOOL = Tool("mthreads-gmi", cards)
