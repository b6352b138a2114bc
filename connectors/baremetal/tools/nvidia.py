"""``nvidia-smi -q -x``: XML by the DTDs v11 to v13 (drivers 515 to 595), MIG names by ``nvidia-smi -L``."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from msgspec.structs import replace

from connectors.baremetal.tools import table
from connectors.baremetal.tools.card import Card, Process, not_understood
from connectors.baremetal.tools.tool import Tool
from connectors.contract import Health

_TOOL = "nvidia-smi"
_SHARED = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_CLOCKS = re.compile(r"<supported_clocks>.*?</supported_clocks>", re.DOTALL)
"""Half of the text, and nothing that is wanted."""
_GPU = re.compile(r"GPU \d+: .* \(UUID: (GPU-[0-9a-f-]+)\)")
_PARTITION = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-\S+)\)")

Partitions = dict[tuple[str, int], tuple[str, str]]


def cards(output: str, names: str) -> tuple[Card, ...]:
    """Return the cards, or for cards with MIG on their instances. Reads ``-q -x`` and, for the instances, ``-L``."""
    root = _parsed(output)
    found = root.findall("gpu")
    attached = _text(root, "attached_gpus")
    if attached != str(len(found)):
        raise not_understood(_TOOL, f"it counts {attached} cards and shows {len(found)}")
    partitions = _partitions(names)
    return tuple(card for index, gpu in enumerate(found) for card in _of_gpu(gpu, index, partitions))


def _parsed(output: str) -> Element:
    if "<!ENTITY" in output:
        raise not_understood(_TOOL, "its XML defines entities, which no driver does")
    try:
        root = ElementTree.fromstring(_CLOCKS.sub("", output))  # noqa: S314 entities are refused above
    except ElementTree.ParseError as error:
        raise not_understood(_TOOL, f"it is no XML ({error})") from None
    if root.tag != "nvidia_smi_log":
        raise not_understood(_TOOL, f"its root is {root.tag[:80]}")
    return root


def _partitions(names: str) -> Partitions:
    """Return {(card's uuid, index of the instance): (profile, uuid)}."""
    found: Partitions = {}
    card = ""
    for line in table.plain(names).splitlines():
        if match := _GPU.fullmatch(line.rstrip()):
            card = match[1]
        elif match := _PARTITION.fullmatch(line.rstrip()):
            found[card, int(match[2])] = (match[1], match[3])
    return found


def _of_gpu(gpu: Element, index: int, partitions: Partitions) -> list[Card]:
    health, reason = _health(gpu)
    uuid = _text(gpu, "uuid")
    minor = _known(gpu, "minor_number")
    card = Card(
        vendor="nvidia",
        model=_text(gpu, "product_name"),
        index=index,
        uuid=uuid,
        serial=_serial(gpu),
        pci_address=table.pci_address(_text(gpu, "pci/pci_bus_id"), _TOOL),
        pci_id=_pci_id(_text(gpu, "pci/pci_device_id")),
        memory_mib=table.count(_text(gpu, "fb_memory_usage/total"), "MiB", _TOOL, "fb_memory_usage/total"),
        health=health,
        health_reason=reason,
        processes=_processes(gpu),
        nodes=(f"/dev/nvidia{minor}",) if minor else (),
        shared=_SHARED,
        visible=("CUDA_VISIBLE_DEVICES", uuid),
    )
    if _known(gpu, "mig_mode/current_mig") != "Enabled":
        return [card]
    instances = gpu.findall("mig_devices/mig_device")
    if not instances:
        return [replace(card, health="unknown", health_reason="MIG is on and no instance is made", processes=())]
    return [_instance(card, each, gpu, partitions) for each in instances]


def _instance(card: Card, each: Element, gpu: Element, partitions: Partitions) -> Card:
    """A MIG instance. Its name and uuid are in ``-L`` only; without them its two numbers on the card name it."""
    index = table.count(_text(each, "index"), "", _TOOL, "mig_device/index")
    numbers = (_text(each, "gpu_instance_id"), _text(each, "compute_instance_id"))
    profile, uuid = partitions.get((card.uuid or "", index), (None, None))
    memory_mib = table.count(_text(each, "fb_memory_usage/total"), "MiB", _TOOL, "mig_device/fb_memory_usage/total")
    return replace(
        card,
        index=index,
        uuid=uuid,
        serial=None,
        part=f"{card.uuid}/{'/'.join(numbers)}",
        profile=profile,
        memory_mib=memory_mib,
        processes=_processes(gpu, numbers),
        nodes=(),
        visible=("CUDA_VISIBLE_DEVICES", uuid) if uuid else None,
    )


def _processes(gpu: Element, instance: tuple[str, str] | None = None) -> tuple[Process, ...]:
    """Return those that compute. What only draws (type G, a display server) leaves the card to others."""
    found = []
    for each in gpu.findall("processes/process_info"):
        numbers = (_text(each, "gpu_instance_id"), _text(each, "compute_instance_id"))
        if "C" not in _text(each, "type") or (instance is not None and numbers != instance):
            continue
        memory = _known(each, "used_memory")
        memory_mib = table.count(memory, "MiB", _TOOL, "used_memory") if memory else 0
        pid = table.count(_text(each, "pid"), "", _TOOL, "pid")
        found.append(Process(pid=pid, name=_text(each, "process_name"), memory_mib=memory_mib))
    return tuple(found)


def _health(gpu: Element) -> tuple[Health, str]:
    if _known(gpu, "remapped_rows/remapped_row_failure") == "Yes":
        return "faulty", "a row of its memory could not be remapped"
    if (action := _known(gpu, "gpu_recovery_action")) and action != "None":
        return "faulty", f"recovery action wanted: {action}"
    return "ok", ""


def _serial(gpu: Element) -> str | None:
    """Return the serial number; cards that have none say N/A or only zeros."""
    serial = _known(gpu, "serial")
    return serial if serial.strip("0") and serial != "REDACTED" else None


def _pci_id(text: str) -> str:
    """``20B210DE`` is device, then vendor."""
    (device, vendor) = table.matched(re.compile(r"([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})"), text.removeprefix("0x"), _TOOL)
    return f"{vendor}:{device}".lower()


def _text(parent: Element, path: str) -> str:
    text = parent.findtext(path)
    if text is None or not text.strip():
        raise not_understood(_TOOL, f"{path} is missing")
    return text.strip()


def _known(parent: Element, path: str) -> str:
    """Return the text, or nothing where the driver has nothing to say (N/A, deprecated)."""
    text = (parent.findtext(path) or "").strip()
    return "" if text.strip("[]") in ("N/A", "Requested functionality has been deprecated") else text


TOOL = Tool("nvidia-smi -q -x", cards, second="nvidia-smi -L", wants_second=lambda output: "<mig_device>" in output)
