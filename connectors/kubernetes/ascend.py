"""Huawei Ascend: chips with names of their own, and what the device plugin reports of their health.

Source: MindCluster documentation, ConfigMap mindx-dl-deviceinfo-<node>; annotations of node and pod.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import DeviceFact, UseFact
from connectors.kubernetes.host import Host, Product, cards, fitting, with_counted_users, without_withdrawn
from connectors.kubernetes.resources import classify

NAMESPACE = "kube-system"
REPORT_PREFIX = "mindx-dl-deviceinfo-"
_REPORT_KEY = "DeviceInfoCfg"
_ISOLATED = ("SeparateNPU", "ManuallySeparateNPU")
_NAME = re.compile(r"[A-Za-z]\w*-(\d{1,4})")
_MOST_CHIPS = 256


class Fault(Struct, frozen=True):
    """One entry of the list of faults."""

    npu_name: str = ""
    fault_code: str = ""
    fault_level: str = ""


class Report(Struct, frozen=True):
    """What the device plugin wrote of a node: resource name, plain or with a suffix, to names or to a list as text."""

    chips: Mapping[str, str] = {}


class _DeviceInfo(Struct):
    chips: dict[str, str] = msgspec.field(name="DeviceList", default_factory=dict)


class _Document(Struct):
    info: _DeviceInfo = msgspec.field(name="DeviceInfo", default_factory=_DeviceInfo)


def is_here(capacity: Mapping[str, object]) -> bool:
    """Whether a node has Ascend chips, so that its report is worth asking for."""
    return any(name.startswith("huawei.com/") and classify(name).kind == "count" for name in capacity)


def report(data: Mapping[str, str]) -> Report | None:
    """Read the ConfigMap's data; None when it is not as documented."""
    try:
        return Report(msgspec.json.decode(data.get(_REPORT_KEY, ""), type=_Document).info.chips)
    except msgspec.DecodeError:
        return None


def devices(host: Host, resource_name: str, product: Product, told: Report | None) -> list[DeviceFact]:
    """Return the chips under their own names, with their faults and their users."""
    chips = told.chips if told else {}
    unhealthy = _names(host.annotations, chips, f"{resource_name}-Unhealthy")
    cut_off = _names(host.annotations, chips, f"{resource_name}-NetworkUnhealthy")
    known = _names(host.annotations, chips, resource_name) | unhealthy | cut_off
    refs = _refs(known, resource_name, host.capacity.get(resource_name, 0))
    faults = _faults(chips.get(f"{resource_name}-Fault", ""))
    found = [_judged(device, unhealthy, cut_off, faults) for device in cards(product, resource_name, refs)]
    found = without_withdrawn(found, host.offered(resource_name))
    return _with_users(found, host, resource_name)


def _names(annotations: Mapping[str, str], chips: Mapping[str, str], key: str) -> set[str]:
    """Names of whole chips; those of cut ones (``Ascend910-2c-100-0``) say nothing about a chip's health."""
    texts = f"{annotations.get(key, '')},{chips.get(key, '')}"
    return {name for part in texts.split(",") if _NAME.fullmatch(name := part.strip())}


def _refs(known: set[str], resource_name: str, count: int) -> list[str]:
    """The known names, and made-up ones for chips that nobody names, up to the count that the node has."""
    word = next(iter(sorted(known)), resource_name.partition("/")[2]).rpartition("-")[0] or resource_name[11:]
    refs = set(known)
    for index in range(_MOST_CHIPS):
        if len(refs) >= count:
            break
        refs.add(f"{word}-{index}")
    return sorted(refs, key=lambda ref: (int(ref.rpartition("-")[2]), ref))


def _faults(text: str) -> dict[str, Fault]:
    try:
        return {fault.npu_name: fault for fault in msgspec.json.decode(text, type=list[Fault])} if text else {}
    except msgspec.DecodeError:
        return {}


def _judged(device: DeviceFact, unhealthy: set[str], cut_off: set[str], faults: Mapping[str, Fault]) -> DeviceFact:
    fault = faults.get(device.ref)
    words = f" (code {fault.fault_code}, {fault.fault_level})" if fault else ""
    if device.ref in unhealthy or (fault and fault.fault_level in _ISOLATED):
        return replace(device, health="faulty", health_reason=f"The Ascend device plugin reports a fault{words}.")
    if device.ref in cut_off:
        return replace(device, health="faulty", health_reason=f"Its network is reported as unhealthy{words}.")
    return replace(device, health_reason=f"A fault is reported{words}.") if fault else device


def _with_users(found: list[DeviceFact], host: Host, resource_name: str) -> list[DeviceFact]:
    """Users sit where the pod's annotation says; those without one are counted."""
    at = {device.ref: index for index, device in enumerate(found)}
    counted = []
    for pod, units in host.users(resource_name):
        text = pod.cards.get("huawei.com/AscendReal") or pod.cards.get(resource_name, "")
        places = [at[name] for part in text.split(",") if (name := part.strip()) in at]
        if not places:
            counted.append((pod, units))
        for place in places:
            use = UseFact(holder=pod.holder, milli=1000, memory_mib=found[place].memory_mib, marker=pod.marker)
            found[place] = replace(found[place], uses=fitting((*found[place].uses, use), 1000))
    return with_counted_users(found, counted)
