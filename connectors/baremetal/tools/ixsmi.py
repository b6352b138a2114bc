"""``ixsmi`` of Iluvatar: a table like that of nvidia-smi, a card is two rows."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process
from connectors.baremetal.tools.tool import Tool

_TOOL = "ixsmi"
_HEADER = (
    ("GPU Name", "Bus-Id", "Clock-SM Clock-Mem"),
    ("Fan Temp Perf Pwr:Usage/Cap", "Memory-Usage", "GPU-Util Compute M."),
)
_CARD = re.compile(r"(\d+) (.+)")
_MEMORY = re.compile(r"\d+MiB / (\d+)MiB")
_PROCESSES = ("Processes: GPU Memory", "GPU PID Process name Usage(MiB)")
_NOTHING = "No running processes found"
_PROCESS = re.compile(r"(\d+) (\d+) (.+) (\d+)")


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards."""
    shown, below = table.apart(table.after(table.rows(output), _HEADER, _TOOL))
    found = table.pairs(shown, _TOOL)
    processes = table.programs(below, _PROCESSES, _PROCESS, _NOTHING, _TOOL)
    return tuple(_card(first, second, processes) for first, second in found)


def _card(first: list[str], second: list[str], processes: dict[str, list[Process]]) -> Card:
    index, model = table.matched(_CARD, first[0], _TOOL)
    (memory_mib,) = table.matched(_MEMORY, second[1], _TOOL)
    return Card(
        vendor="iluvatar",
        model=model,
        index=int(index),
        pci_address=table.pci_address(first[1], _TOOL),
        memory_mib=int(memory_mib),
        processes=tuple(processes.get(index, ())),
        nodes=(f"/dev/iluvatar{index}",),
        visible=("CUDA_VISIBLE_DEVICES", index),
    )


TOOL = Tool("ixsmi", cards)
