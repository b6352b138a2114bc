"""``mx-smi`` of MetaX: a card is two rows; ``mx-smi -L`` tells the uuids."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process, not_understood
from connectors.baremetal.tools.tool import Tool
from connectors.contract import Health

_TOOL = "mx-smi"
_HEADER = (("GPU NAME", "Bus-id", "GPU-Util"), ("Temp Pwr:Usage/Cap", "Memory-Usage", "GPU-State"))
_CARD = re.compile(r"(\d+) (.+)")
_MEMORY = re.compile(r"\d+/(\d+) MiB")
_PROCESSES = ("Process:", "GPU PID Process Name GPU Memory", "Usage(MiB)")
_NOTHING = "no process found"
_PROCESS = re.compile(r"(\d+) (\d+) (.+) (\d+)")
_LISTED = re.compile(r"GPU#(\d+)\s+.*\(UUID: (\S+)\)")
_COUNT = re.compile(r"^Attached GPUs\s*: (\d+)\s*$", re.MULTILINE)


def cards(output: str, listed: str) -> tuple[Card, ...]:
    """Return the cards."""
    shown, below = table.apart(table.after(table.rows(output), _HEADER, _TOOL))
    found = table.pairs(shown, _TOOL)
    attached = _COUNT.search(output)
    if attached is None or int(attached[1]) != len(found):
        raise not_understood(_TOOL, f"it shows {len(found)} cards and counts others")
    uuids = {match[1]: match[2] for match in map(_LISTED.match, listed.splitlines()) if match}
    processes = table.programs(below, _PROCESSES, _PROCESS, _NOTHING, _TOOL)
    return tuple(_card(first, second, uuids, processes) for first, second in found)


def _card(first: list[str], second: list[str], uuids: dict[str, str], processes: dict[str, list[Process]]) -> Card:
    index, model = table.matched(_CARD, first[0], _TOOL)
    (memory_mib,) = table.matched(_MEMORY, second[1], _TOOL)
    health, reason = _health(second[2])
    return Card(
        vendor="metax",
        model=model,
        index=int(index),
        uuid=uuids.get(index),
        pci_address=table.pci_address(first[1], _TOOL),
        memory_mib=int(memory_mib),
        health=health,
        health_reason=reason,
        processes=tuple(processes.get(index, ())),
        nodes=(f"/dev/dri/card{index}", f"/dev/dri/renderD{128 + int(index)}"),
        shared=("/dev/mxcd",),
        visible=("MACA_VISIBLE_DEVICES", index),
    )


def _health(state: str) -> tuple[Health, str]:
    return ("ok", "") if state == "Available" else ("faulty", f"mx-smi says {state}")


TOOL = Tool("mx-smi", cards, second="mx-smi -L")
