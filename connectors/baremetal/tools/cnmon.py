"""``cnmon`` of Cambricon: a card is two rows. Nobody asks ``cnmon info -j``: it writes a file instead of printing."""

import re

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process, not_understood
from connectors.baremetal.tools.tool import Tool

_TOOL = "cnmon"
_HEADER = (
    ("Card VF Name Firmware", "Bus-Id", "Util Ecc-Error"),
    ("Fan Temp Pwr:Usage/Cap", "Memory-Usage", "SR-IOV Compute-Mode"),
)
_CARD = re.compile(r"(\d+) (\S+) (\S+) \S+")
_MEMORY = re.compile(r"\d+ MiB/ ?(\d+) MiB")
_PROCESSES = ("Processes:", "Card MI PID Command Line MLU Memory Usage")
_NOTHING = "No running processes found"
_PROCESS = re.compile(r"(\d+) \S+ (\d+) (.+) (\d+) MiB")


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards. Raises for virtual functions, of which there is no recording."""
    shown, below = table.apart(table.after(table.rows(output), _HEADER, _TOOL))
    found = table.pairs(shown, _TOOL)
    processes = table.programs(below, _PROCESSES, _PROCESS, _NOTHING, _TOOL)
    return tuple(_card(first, second, processes) for first, second in found)


def _card(first: list[str], second: list[str], processes: dict[str, list[Process]]) -> Card:
    index, virtual, model = table.matched(_CARD, first[0], _TOOL)
    if virtual != "/":
        raise not_understood(_TOOL, f"card {index} has the virtual function {virtual}")
    (memory_mib,) = table.matched(_MEMORY, second[1], _TOOL)
    return Card(
        vendor="cambricon",
        model=model,
        index=int(index),
        pci_address=table.pci_address(first[1], _TOOL),
        memory_mib=int(memory_mib),
        processes=tuple(processes.get(index, ())),
        nodes=(f"/dev/cambricon_dev{index}",),
        shared=("/dev/cambricon_ctl",),
        visible=("MLU_VISIBLE_DEVICES", index),
    )


TOOL = Tool("cnmon", cards)
