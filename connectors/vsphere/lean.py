"""Reads the property collector's answers about all hosts and VMs in a third of the time that pyVmomi's parser takes.

Its objects have pyVmomi's names, so that the two may stand for each other while somebody looks; they are no use for
changes. Only the types that looks ask for are known; for every other, for faults and for what was not told, ``read``
gives up and pyVmomi reads the same answer.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from xml.etree import ElementTree

from msgspec import Struct
from pyVmomi.VmomiSupport import GetWsdlType

_VIM, _SOAP = "{urn:vim25}", "{http://schemas.xmlsoap.org/soap/envelope/}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_INTEGERS = frozenset(("int", "long", "short", "byte"))

Element = ElementTree.Element
Refer = Callable[[Element], Any]


class Graphics(Struct, gc=False):
    """``vim.host.GraphicsInfo``: a card that the host itself drives, with the VMs that are on it."""

    deviceName: str = ""
    vendorName: str = ""
    pciId: str = ""
    graphicsType: str = ""
    vgpuMode: str | None = None
    memorySizeInKB: int = 0
    vm: list[Any] = []


class Passthrough(Struct, gc=False):
    """``vim.host.PciPassthruInfo``: a PCI device, and whether VMs get it whole."""

    id: str = ""
    passthruActive: bool = False


class Binding(Struct, gc=False):
    """``vim.host.AssignableHardwareBinding``: a device that a VM has whole."""

    instanceId: str = ""
    vm: Any = None


class PciDevice(Struct, gc=False):
    """``vim.host.PciDevice``, with its signed numbers."""

    id: str = ""
    classId: int = 0
    vendorId: int = 0
    deviceId: int = 0
    deviceName: str = ""


class Backing(Struct, gc=False):
    """What is behind a device of a VM: a vGPU's profile, a fixed PCI address, or the one that was given to it."""

    vgpu: str | None = None
    id: str | None = None
    assignedId: str | None = None


class PciPassthrough(Struct, gc=False):
    """``vim.vm.device.VirtualPCIPassthrough``. A VM's other devices are left out here."""

    backing: Backing


class Option(Struct, gc=False):
    """``vim.option.OptionValue``."""

    key: str
    value: str


class Property(Struct, gc=False):
    """One property with its value."""

    name: str
    val: Any


class Content(Struct, gc=False):
    """One object with the properties that have values."""

    obj: Any
    propSet: list[Property]
    missingSet: tuple[()] = ()


class Result(Struct, gc=False):
    """One page; ``token`` is None on the last."""

    objects: list[Content]
    token: str | None = None


class _Unknown(Exception):
    """The answer holds what is not known here."""


class _Lean:
    """A stub whose answers are read by ``read`` first."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def InvokeMethod(self, mo: Any, info: Any, args: Any) -> Any:
        return self._stub.InvokeMethod(mo, info, args, read)


def collector(usual: Any) -> Any:
    """Return the same property collector for ``RetrievePropertiesEx`` and ``ContinueRetrievePropertiesEx`` alone."""
    return type(usual)(usual._GetMoId(), _Lean(usual._stub))


def read(body: bytes, stub: Any) -> Result | None:
    """Return a page, its references bound to ``stub``; None where pyVmomi shall read the answer."""
    with _without_garbage_collection():
        return _read(body, stub)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A page's tree is no garbage until it is read; to look for some in it takes most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(body: bytes, stub: Any) -> Result | None:
    try:
        envelope = ElementTree.fromstring(body)  # noqa: S314  # the same expat that pyVmomi would use
        returned = envelope.find(f"{_SOAP}Body/*/{_VIM}returnval")
        if returned is None:
            return None

        def refer(element: Element) -> Any:
            return _managed(element.attrib["type"])(element.text, stub)

        objects = [_content(element, refer) for element in returned.iterfind(f"{_VIM}objects")]
        return Result(objects, returned.findtext(f"{_VIM}token"))
    except (ElementTree.ParseError, _Unknown, KeyError, ValueError, TypeError):
        return None


@cache
def _managed(name: str) -> Any:
    return GetWsdlType("urn:vim25", name)


def _content(element: Element, refer: Refer) -> Content:
    properties = []
    for part in element:
        if part.tag == f"{_VIM}propSet":
            name, value = part
            properties.append(Property(name.text or "", _value(value, refer)))
        elif part.tag == f"{_VIM}obj":
            obj = refer(part)
        else:
            raise _Unknown  # missingSet
    return Content(obj, properties)


def _value(element: Element, refer: Refer) -> Any:
    kind = element.attrib[_TYPE].rpartition(":")[2]
    if kind in _LISTS:
        return [_LISTS[kind](item, refer) for item in element]
    if kind == "ArrayOfVirtualDevice":
        found = [each for each in element if each.attrib.get(_TYPE, "").endswith("VirtualPCIPassthrough")]
        return [_pci_passthrough(each) for each in found]
    if kind == "ManagedObjectReference":
        return refer(element)
    if len(element) or kind.startswith("ArrayOf"):
        raise _Unknown
    text = element.text or ""
    if kind in _INTEGERS:
        return int(text)
    if kind == "boolean":
        return _is_true(text)
    return datetime.fromisoformat(text) if kind == "dateTime" else text


def _is_true(text: str | None) -> bool:
    return text in ("true", "1")


def _text(element: Element, refer: Refer) -> str:
    return element.text or ""


def _graphics(element: Element, refer: Refer) -> Graphics:
    told = {part.tag: part.text or "" for part in element}
    return Graphics(
        deviceName=told.get(f"{_VIM}deviceName", ""),
        vendorName=told.get(f"{_VIM}vendorName", ""),
        pciId=told.get(f"{_VIM}pciId", ""),
        graphicsType=told.get(f"{_VIM}graphicsType", ""),
        vgpuMode=told.get(f"{_VIM}vgpuMode"),
        memorySizeInKB=int(told.get(f"{_VIM}memorySizeInKB", 0)),
        vm=[refer(part) for part in element if part.tag == f"{_VIM}vm"] if f"{_VIM}vm" in told else [],
    )


def _passthrough(element: Element, refer: Refer) -> Passthrough:
    told = {part.tag: part.text for part in element}
    return Passthrough(told[f"{_VIM}id"] or "", _is_true(told.get(f"{_VIM}passthruActive")))


def _binding(element: Element, refer: Refer) -> Binding:
    vm = element.find(f"{_VIM}vm")
    return Binding(element.findtext(f"{_VIM}instanceId", ""), None if vm is None else refer(vm))


def _pci_device(element: Element, refer: Refer) -> PciDevice:
    told = {part.tag: part.text or "" for part in element}
    return PciDevice(
        id=told[f"{_VIM}id"],
        classId=int(told.get(f"{_VIM}classId", 0)),
        vendorId=int(told.get(f"{_VIM}vendorId", 0)),
        deviceId=int(told.get(f"{_VIM}deviceId", 0)),
        deviceName=told.get(f"{_VIM}deviceName", ""),
    )


def _pci_passthrough(element: Element) -> PciPassthrough:
    backing = element.find(f"{_VIM}backing")
    told = {part.tag: part.text for part in backing} if backing is not None else {}
    return PciPassthrough(Backing(told.get(f"{_VIM}vgpu"), told.get(f"{_VIM}id"), told.get(f"{_VIM}assignedId")))


def _option(element: Element, refer: Refer) -> Option:
    return Option(element.findtext(f"{_VIM}key", ""), element.findtext(f"{_VIM}value", ""))


_LISTS: dict[str, Callable[[Element, Refer], Any]] = {
    "ArrayOfString": _text,
    "ArrayOfHostGraphicsInfo": _graphics,
    "ArrayOfHostPciPassthruInfo": _passthrough,
    "ArrayOfHostAssignableHardwareBinding": _binding,
    "ArrayOfHostPciDevice": _pci_device,
    "ArrayOfOptionValue": _option,
}
