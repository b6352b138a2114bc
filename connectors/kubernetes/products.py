"""Which card a node has, by the labels that each vendor's agent puts on it, and how much of it a cut takes.

Sources: NVIDIA GPU Feature Discovery, AMD node labeller, Ascend device plugin, Intel GPU plugin and GKE documentation;
NVIDIA MIG user guide, AMD partition modes, Ascend vNPU templates.
"""

import re

from connectors.kubernetes import quantity
from connectors.kubernetes.host import Host, Product

_MODEL_LABELS = {
    "nvidia": ("nvidia.com/gpu.product",),
    "amd": ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"),
    "huawei": ("node.kubernetes.io/npu.chip.name",),
    "intel": ("gpu.intel.com/product",),
    "google": ("cloud.google.com/gke-tpu-accelerator",),
    "aws": ("node.kubernetes.io/instance-type",),
}
_AMD_IDS = ("amd.com/gpu.device-id", "beta.amd.com/gpu.device-id")
_AMD_MEMORY = ("amd.com/gpu.vram", "beta.amd.com/gpu.vram")
_SUFFIX = re.compile(r"(-SHARED|-MIG-.+)+$")
_PCI_DEVICE = re.compile(r"[0-9a-f]{4}")
_MIG_SLICES = re.compile(r"(\d+)g\.")
_OF_FOUR_SLICES = re.compile(r"\bA30\b|RTX[- ]PRO")
_AMD_PARTITIONS = {"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4, "cpx": 8}
# A template's number is its AI cores; which templates exist tells how many cores the chip has.
_ASCEND_CORES = {"03": 24, "06": 24, "12": 24, "05": 20, "10": 20, "08": 32, "16": 32}


def of(host: Host, vendor: str, resource_name: str) -> Product:
    """Return what the labels tell of the vendor's cards; the resource's own name stands for a model nobody tells."""
    told = (host.labels.get(label, "") for label in _MODEL_LABELS.get(vendor, ()))
    model = next((model for model in told if model), "")
    if vendor == "nvidia" and model:
        memory_mib = host.number("nvidia.com/gpu.memory")
        clique = host.labels.get("nvidia.com/gpu.clique") or None
        return Product(vendor, _SUFFIX.sub("", model), memory_mib, link_group=clique)
    if vendor == "amd" and model:
        return Product(vendor, model, _amd_memory_mib(host), _amd_pci_id(host))
    if vendor == "huawei" and model and not model.lower().startswith("ascend"):
        model = f"Ascend{model}"
    return Product(vendor, model or resource_name.partition("/")[2] or resource_name)


def model_label(vendor: str) -> str:
    """The label by which nodes with a model can be selected; empty where none has the model's name as its text."""
    return "" if vendor == "huawei" else next(iter(_MODEL_LABELS.get(vendor, ())), "")


def label_text(model: str, profile: str, resource_name: str) -> str:
    """What that label says where the resource offers whole cards, shares of them, or MIG devices under one name."""
    if not profile or resource_name.partition("/")[2].startswith("mig-"):
        return model
    return f"{model}-SHARED" if profile.startswith("shared-") else f"{model}-MIG-{profile}"


def unit_milli(vendor: str, profile: str, model: str) -> int:
    """How many thousandths of a card one unit of a cut takes, rounded down; 0 where its name does not tell."""
    if vendor == "nvidia" and (match := _MIG_SLICES.search(profile)):
        return min(1000, 1000 * int(match[1]) // (4 if _OF_FOUR_SLICES.search(model) else 7))
    if vendor == "amd":
        return 1000 // _AMD_PARTITIONS.get(profile.partition("_")[0], 1001)
    if vendor == "huawei" and profile.startswith("vir"):
        cores = _ASCEND_CORES.get(profile[3:5], 8 if "310P" in model else 32)
        return 1000 * int(profile[3:5]) // cores
    if vendor == "biren" and (part := profile.removeprefix("1-")).isdecimal():
        return 1000 // max(1, int(part))
    return 0


def _amd_memory_mib(host: Host) -> int:
    text = next((host.labels[label] for label in _AMD_MEMORY if host.labels.get(label)), "0")
    return quantity.mib(f"{text}i" if text.endswith(("M", "G", "T")) else text)  # its 192G are 192 GiB


def _amd_pci_id(host: Host) -> str | None:
    told = (host.labels.get(label, "").lower() for label in _AMD_IDS)
    return next((f"1002:{device}" for device in told if _PCI_DEVICE.fullmatch(device)), None)
