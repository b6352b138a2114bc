"""``amd-smi static --json``: cards of ROCm 6 and later."""

from typing import Any

import msgspec

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, not_understood
from connectors.baremetal.tools.tool import Tool

_TOOL = "amd-smi"
SHARED = ("/dev/kfd",)


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards. The older releases print a list, later ones an object with the list in ``gpu_data``."""
    try:
        told = msgspec.json.decode(output)
    except msgspec.DecodeError as error:
        raise not_understood(_TOOL, f"it is no JSON ({error})") from None
    listed = told.get("gpu_data") if isinstance(told, dict) else told
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise not_understood(_TOOL, "it has no list of cards")
    return tuple(_card(each) for each in listed)


def _card(told: dict[str, Any]) -> Card:
    index = _at(told, "gpu")
    if not isinstance(index, int):
        raise not_understood(_TOOL, f"the number of a card is {index!r}")
    bdf, serial = _known(told, "bus", "bdf"), _known(told, "board", "product_serial")
    size = _at(told, "vram", "size")
    if not isinstance(size, dict) or size.get("unit") != "MB":
        raise not_understood(_TOOL, f"vram.size is {size!r}")
    numa_node = _at(told, "numa", "node")
    return Card(
        vendor="amd",
        model=str(_at(told, "asic", "market_name")),
        index=index,
        serial=serial if serial.strip("0") else None,
        pci_address=table.pci_address(bdf, _TOOL) if bdf else None,
        pci_id=f"{_hex(told, 'vendor_id')}:{_hex(told, 'device_id')}",
        memory_mib=table.count(str(size.get("value")), "", _TOOL, "vram.size"),
        numa_node=numa_node if isinstance(numa_node, int) else None,
        nodes=(f"/dev/dri/renderD{128 + index}", f"/dev/dri/card{index}"),
        shared=SHARED,
        visible=("ROCR_VISIBLE_DEVICES", str(index)),
    )


def _hex(told: dict[str, Any], name: str) -> str:
    text = str(_at(told, "asic", name)).lower().removeprefix("0x")
    if len(text) != 4:
        raise not_understood(_TOOL, f"asic.{name} is {text[:80]!r}")
    return text


def _known(told: dict[str, Any], *path: str) -> str:
    """Return a text that may be missing; N/A is what it says then."""
    value: Any = told
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value != "N/A" else ""


def _at(told: dict[str, Any], *path: str) -> Any:
    value: Any = told
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise not_understood(_TOOL, f"{'.'.join(path)} is missing")
        value = value[name]
    return value


TOOL = Tool("amd-smi static --json", cards)
