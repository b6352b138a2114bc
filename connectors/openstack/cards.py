"""What a card is: read from Cyborg's attributes and from the names, classes and traits of Placement. Pure.

Sources: cyborg/accelerator/drivers/*/sysinfo.py (traits), nova/compute/pci_placement_translator.py and
nova/virt/libvirt/driver.py (names and classes of the providers that Nova makes), pci-ids.ucw.cz (vendors).
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from connectors.openstack.payloads import CyborgDevice, Deployable, Provider, Summary

OWNED_BY_CYBORG = "OWNER_CYBORG"
NOT_ACCELERATORS = {"CUSTOM_NIC", "CUSTOM_SSD", "CUSTOM_QAT"}
"""Classes of Cyborg's other drivers: network cards, disks, and cards that only encrypt."""

VENDORS = {
    "10de": "nvidia",
    "1002": "amd",
    "8086": "intel",
    "1da3": "intel",  # Habana Gaudi
    "19e5": "huawei",
    "cabc": "cambricon",
    "1d94": "hygon",
    "1e3e": "iluvatar",
    "9999": "metax",
    "1ed5": "mthreads",
    "1e36": "enflame",
    "1d22": "kunlunxin",
    "1ded": "thead",
    "10ee": "xilinx",
    "1bd4": "inspur",
}
_ACCELERATORS = set(VENDORS) - {"1bd4", "10ee"}
_BESIDE_NETWORK_CARDS = {"8086": ("0b", "56"), "19e5": ("d",)}
"""Vendors whose other cards are no accelerators: how the product ids of the accelerators begin."""

_NAMES = {name.upper(): number for number, name in VENDORS.items() if number != "1da3"}
_NVIDIA = re.compile(r"CUSTOM_NVIDIA_([0-9A-F]{4})(?:_(.+))?")
_PRODUCT = re.compile(r"CUSTOM_[A-Z]+_PRODUCT_ID_([0-9A-F]{4})")
_VENDOR = re.compile(rf"CUSTOM_(?:PCI|FPGA)_([0-9A-F]{{4}}|{'|'.join(_NAMES)})")
_PCI_CLASS = re.compile(r"CUSTOM_PCI_([0-9A-F]{4})_([0-9A-F]{4})")
_SAYS_SO = re.compile(r"CUSTOM_.*(GPU|NPU|NVIDIA|ASCEND|MLU|DCU)")
_ADDRESS = re.compile(r"(?:^|_)([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$", re.IGNORECASE)
_NOVA_ADDRESS = re.compile(r"_pci_([0-9a-f]{4})_([0-9a-f]{2})_([0-9a-f]{2})_([0-7])$", re.IGNORECASE)


class Card(Struct, frozen=True, kw_only=True):
    """What Placement's and Cyborg's words say of a card. ``profile`` is a vGPU type such as ``T4-2Q``."""

    resource_class: str
    traits: tuple[str, ...]
    vendor_id: str | None = None
    product_id: str | None = None
    profile: str | None = None
    pci_address: str | None = None

    @property
    def pci_id(self) -> str | None:
        """``vvvv:dddd``, when both halves are known."""
        return f"{self.vendor_id}:{self.product_id}" if self.vendor_id and self.product_id else None

    @property
    def kind(self) -> str:
        """The class, with the trait that tells apart what the class lumps together."""
        own = [trait for trait in self.traits if _NVIDIA.fullmatch(trait) or _PRODUCT.fullmatch(trait)]
        return ":".join([self.resource_class, *own[:1]])


def of_deployable(deployable: Deployable, summary: Summary | None) -> Card:
    """Read a deployable. Where Cyborg gives no attributes, the class and traits of its provider stand in."""
    resource_class, traits = _attributes(deployable.attributes_list)
    if summary is not None:
        resource_class = resource_class or next(iter(summary.resources), "")
        traits = traits or tuple(summary.traits)
    return _card(resource_class, traits, deployable.name or "")


def of_provider(provider: Provider, summary: Summary, resource_class: str) -> Card:
    """Read a provider that Nova made."""
    return _card(resource_class, tuple(summary.traits), provider.name)


def nova_class(provider: Provider, summary: Summary) -> str | None:
    """Return the class of accelerators that Nova itself gives out of this provider, or None."""
    if provider.parent_provider_uuid is None or OWNED_BY_CYBORG in summary.traits:
        return None
    return next((name for name in summary.resources if _is_accelerator(name)), None)


def may_be_nova_card(provider: Provider) -> bool:
    """Whether the name is one that Nova gives to the provider of a PCI card. Asked where nothing else is known."""
    return provider.parent_provider_uuid is not None and address(provider.name) is not None


def address(name: str) -> str | None:
    """Return the PCI address at the end of a name. The host's name before it may have any characters, ``_`` too."""
    if found := _ADDRESS.search(name):
        return found[1].lower()
    if found := _NOVA_ADDRESS.search(name):
        return "{}:{}:{}.{}".format(*found.groups()).lower()
    return None


def product_of(device: CyborgDevice) -> str | None:
    """Return the PCI product id of a Cyborg device in lower case hex."""
    board = _json(device.std_board_info)
    product = board.get("product_id") if isinstance(board, dict) else None
    return _hex(product) if isinstance(product, str) else None


def vendor_of(device: CyborgDevice) -> str | None:
    """Return the PCI vendor id of a Cyborg device in lower case hex."""
    return _hex(device.vendor or "")


def _card(resource_class: str, traits: tuple[str, ...], name: str) -> Card:
    vendor = product = profile = None
    if found := _PCI_CLASS.fullmatch(resource_class):
        vendor, product = found[1].lower(), found[2].lower()
    for trait in traits:
        if found := _NVIDIA.fullmatch(trait):
            vendor, product, profile = "10de", found[1].lower(), found[2] and found[2].replace("_", "-")
        elif found := _PRODUCT.fullmatch(trait):
            product = found[1].lower()
        elif found := _VENDOR.fullmatch(trait):
            vendor = _NAMES.get(found[1]) or found[1].lower()
    return Card(
        resource_class=resource_class,
        traits=traits,
        vendor_id=vendor,
        product_id=product,
        profile=profile,
        pci_address=address(name),
    )


def _is_accelerator(resource_class: str) -> bool:
    if found := _PCI_CLASS.fullmatch(resource_class):
        vendor, product = found[1].lower(), found[2].lower()
        return vendor in _ACCELERATORS and product.startswith(_BESIDE_NETWORK_CARDS.get(vendor, ""))
    return resource_class in ("PGPU", "VGPU") or _SAYS_SO.fullmatch(resource_class) is not None


def _attributes(text: Any) -> tuple[str, tuple[str, ...]]:
    """Return resource class and traits of ``[{"rc": ...}, {"trait0": ...}, ...]``, which comes as a string."""
    entries = _json(text)
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()] if entries else []
    traits = tuple(str(value) for key, value in pairs if key.startswith("trait"))
    return next((str(value) for key, value in pairs if key == "rc"), ""), traits


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _hex(text: str) -> str | None:
    text = text.strip().lower().removeprefix("0x")
    return text if re.fullmatch(r"[0-9a-f]{4}", text) else None
