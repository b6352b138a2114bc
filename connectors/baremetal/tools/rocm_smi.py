"""``rocm-smi --json``: cards of ROCm 5.7 to 6.1, whose keys changed their case, and their names, between releases."""

import re

import msgspec

from connectors.baremetal.tools import amd_smi, table
from connectors.baremetal.tools.card import Card, not_understood
from connectors.baremetal.tools.tool import Tool

_TOOL = "rocm-smi"
_CARD = re.compile(r"card(\d+)")
_WANTED = "--showproductname --showbus --showserial --showuniqueid --showmeminfo vram --showid"


def cards(output: str, _second: str) -> tuple[Card, ...]:
    """Return the cards. Values are texts, keys are compared without their case."""
    try:
        told = msgspec.json.decode(output, type=dict[str, dict[str, str]])
    except msgspec.DecodeError as error:
        raise not_understood(_TOOL, f"it is no JSON of texts ({error})") from None
    numbered = [(int(match[1]), told[key]) for key in told if (match := _CARD.fullmatch(key))]
    if not numbered:
        raise not_understood(_TOOL, "it shows no card")
    return tuple(_card(index, {key.lower(): value for key, value in each.items()}) for index, each in sorted(numbered))


def _card(index: int, told: dict[str, str]) -> Card:
    # Before ROCm 6 the id of the device was called the id of the GPU; since 6.1 there is a GUID beside it.
    device_id = _known(told, "device id") or _known(told, "gpu id")
    serial, unique = _known(told, "serial number"), _known(told, "unique id")
    numa = _known(told, "(topology) numa node")
    for wanted in ("pci bus", "vram total memory (b)"):
        if not _known(told, wanted):
            raise not_understood(_TOOL, f"{wanted} of card{index} is missing")
    return Card(
        vendor="amd",
        model=_known(told, "card series"),
        index=index,
        uuid=f"GPU-{unique.removeprefix('0x').rjust(16, '0')}" if unique else None,
        serial=serial if serial.strip("0") else None,
        pci_address=table.pci_address(told["pci bus"], _TOOL),
        pci_id=f"1002:{device_id.removeprefix('0x')}" if re.fullmatch("0x[0-9a-f]{4}", device_id) else None,
        memory_mib=table.count(told["vram total memory (b)"], "", _TOOL, "VRAM Total Memory (B)") // 2**20,
        numa_node=int(numa) if numa.isdecimal() else None,
        nodes=(f"/dev/dri/renderD{128 + index}", f"/dev/dri/card{index}"),
        shared=amd_smi.SHARED,
        visible=("ROCR_VISIBLE_DEVICES", str(index)),
    )


def _known(told: dict[str, str], key: str) -> str:
    value = told.get(key, "").strip()
    return "" if value == "N/A" else value


TOOL = Tool(f"rocm-smi {_WANTED} --json", cards)
