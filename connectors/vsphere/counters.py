"""What vCenter's performance counters say of cards: hosts with NVIDIA's driver measure those that they drive.

Sources: vSphere API (PerformanceManager; percentages are told in hundredths); names and units as a vCenter's own list
of counters has them in its group ``gpu``, where there is no power. How hosts name the cards in them is not documented:
an instance counts when it holds a PCI address, or is a number.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from pyVmomi import vim

from connectors.contract import Reading
from connectors.vsphere import hosts
from connectors.vsphere.client import Client
from connectors.vsphere.faults import translated
from connectors.vsphere.hosts import Host

INTERVAL_SECONDS = 20
"""What hosts measure at; vCenter keeps it for an hour."""
_HOSTS_AT_ONCE = 8  # vCenter refuses questions for many metrics at once
_HOSTS_PER_ANSWER = 100
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)

Field = Literal["utilisation_percent", "memory_used_mib", "temperature_celsius"]
_FIELDS: Mapping[str, Field] = {
    "utilization": "utilisation_percent",
    "mem.used": "memory_used_mib",
    "temperature": "temperature_celsius",
}
_UNITS: Mapping[tuple[Field, str], float] = {
    ("utilisation_percent", "percent"): 1 / 100,
    ("memory_used_mib", "kiloBytes"): 1 / 1024,
    ("temperature_celsius", "celsius"): 1,
}


class Measure(Struct, frozen=True):
    """What a counter measures, and by what its values are multiplied."""

    field: Field
    factor: float


def telemetry(client: Client) -> Iterator[Reading]:
    """Yield a reading for each card that a host measures; a vCenter without such counters tells none."""
    perf = client.content.perfManager
    found = client.read([perf], ["perfCounter"]) if perf is not None else []
    counters = measures(found[0].values.get("perfCounter") or () if found else ())
    if not counters:
        return
    wanted = [vim.PerformanceManager.MetricId(counterId=key, instance="*") for key in counters]
    paths = hosts.paths(client.content.about.apiVersion)
    for page in client.sweep(vim.HostSystem, paths, page_size=_HOSTS_PER_ANSWER):
        told = [hosts.host(seen.ref, seen.values, seen.unknown) for seen in page]
        driving = {host.moid: host for host in told if host.uuid and host.graphics and not host.is_lost}
        for start in range(0, len(driving), _HOSTS_AT_ONCE):
            batch = list(driving.values())[start : start + _HOSTS_AT_ONCE]
            specs = [
                vim.PerformanceManager.QuerySpec(
                    entity=host.ref, metricId=wanted, maxSample=1, intervalId=INTERVAL_SECONDS
                )
                for host in batch
            ]
            with translated(client.host):
                answers = perf.QueryPerf(specs)
            for answer in answers or ():
                yield from readings(answer, driving[answer.entity._GetMoId()], counters)


def measures(counters: Sequence[Any]) -> dict[int, Measure]:
    """Return what is known of the counters of the group ``gpu``, by their keys: those differ between vCenters."""
    found = {}
    for counter in counters:
        field = _FIELDS.get(counter.nameInfo.key) if counter.groupInfo.key == "gpu" else None
        factor = _UNITS.get((field, counter.unitInfo.key)) if field is not None else None
        if field is not None and factor is not None and counter.rollupType == "average":
            found[counter.key] = Measure(field, factor)
    return found


def readings(answer: Any, host: Host, counters: Mapping[int, Measure]) -> list[Reading]:
    """Return what one host measured last. Values below zero mean that there is none; missing stays unknown."""
    at = answer.sampleInfo[-1].timestamp.isoformat() if answer.sampleInfo else None
    addresses = sorted(card.address for card in host.graphics)
    found: dict[str, Reading] = {}
    for series in answer.value:
        address = _address(series.id.instance or "", addresses)
        measure = counters.get(series.id.counterId)
        if address is None or measure is None or not series.value or series.value[-1] < 0:
            continue
        value = series.value[-1] * measure.factor
        if measure.field == "utilisation_percent" and value > 100:
            continue
        known = found.get(address) or Reading(node=host.uuid, ref=address, pci_address=address, measured_at=at)
        whole = int(value) if measure.field == "memory_used_mib" else value
        found[address] = replace(known, **{measure.field: whole})
    return [found[address] for address in sorted(found)]


def _address(instance: str, addresses: Sequence[str]) -> str | None:
    """Return which of a host's cards is meant; None for all together, and for what is no card."""
    if (told := _ADDRESS.search(instance)) is not None:
        return told[0].lower() if told[0].lower() in addresses else None
    if instance.isdecimal() and int(instance) < len(addresses):
        return addresses[int(instance)]
    return None
