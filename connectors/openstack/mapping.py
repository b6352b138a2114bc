"""From one look at a cloud to facts. Pure: no network, no clock."""

from msgspec import Struct

from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from connectors.openstack.findings import Findings
from connectors.openstack.payloads import Amount, Provider, Summary
from connectors.openstack.slots import LEFT, Slots, of_cyborg, of_nova
from connectors.openstack.snapshot import Snapshot
from connectors.openstack.uses import Use

NO_AMOUNT = Amount(0, 0)
_HOST_CLASSES = {"MEMORY_MB", "VCPU", "PCPU"}
_LOST = "Placement has cards of Cyborg, but Cyborg is not in the catalog or lists none."
_DISABLED = "COMPUTE_STATUS_DISABLED"


class Facts(Struct, frozen=True, kw_only=True):
    """What one look comes to. ``incomplete_because`` is empty when nothing was hidden from it."""

    nodes: list[NodeFact]
    warnings: list[str]
    incomplete_because: str = ""


def facts(seen: Snapshot) -> Facts:
    """Return every host with what is in it."""
    findings = Findings()
    by_root: dict[str, list[Slots]] = {}
    for provider, slots in (*of_cyborg(seen, findings), *of_nova(seen, findings)):
        by_root.setdefault(provider.root_provider_uuid, []).append(slots)
    found = [
        _node(seen, root, by_root.get(root.uuid, []))
        for root in sorted(seen.providers.values(), key=lambda each: each.uuid)
        if root.parent_provider_uuid is None and (root.uuid in by_root or _is_host(seen, root))
    ]
    has_lost_cyborg = LEFT in findings and not seen.deployables
    return Facts(
        nodes=found,
        warnings=[*seen.warnings, *findings.told()],
        incomplete_because=_LOST if has_lost_cyborg else "",
    )


# --- hosts ------------------------------------------------------------------------------------------------------------


def _is_host(seen: Snapshot, root: Provider) -> bool:
    """Tell hosts from shared storage and from machines of Ironic, which have providers too."""
    summary = seen.summaries.get(root.uuid)
    return summary is not None and not _HOST_CLASSES.isdisjoint(summary.resources)


def _node(seen: Snapshot, root: Provider, slots: list[Slots]) -> NodeFact:
    resources = summary.resources if (summary := seen.summaries.get(root.uuid)) else {}
    cpus = [resources.get(name, NO_AMOUNT) for name in ("VCPU", "PCPU")]
    memory = resources.get("MEMORY_MB", NO_AMOUNT)
    hypervisor = seen.compute.hypervisors.get(root.uuid)
    zone = seen.compute.zones.get(hypervisor.service.host) if hypervisor else None
    reason = _why_unavailable(seen, root, summary)
    return NodeFact(
        ref=root.uuid,
        name=root.name,
        topology={key: value for key, value in (("region", seen.region), ("zone", zone)) if value},
        cpu_milli=1000 * sum(cpu.capacity for cpu in cpus),
        cpu_used_milli=1000 * sum(cpu.used for cpu in cpus),
        memory_mib=memory.capacity,
        memory_used_mib=memory.used,
        is_available=not reason,
        unavailable_reason=reason,
        devices=tuple(_device(each) for each in sorted(slots, key=lambda each: each.ref)),
        counters=_counters(slots),
    )


def _why_unavailable(seen: Snapshot, root: Provider, summary: Summary | None) -> str:
    if (hypervisor := seen.compute.hypervisors.get(root.uuid)) is not None:
        if hypervisor.state == "down":
            return "Nova reports that the host is down."
        if hypervisor.status == "disabled":
            return f"Disabled in Nova: {hypervisor.service.disabled_reason or 'no reason is given'}."
    if summary is not None and _DISABLED in summary.traits:
        return "Disabled in Nova."
    return ""


# --- facts ------------------------------------------------------------------------------------------------------------


def _device(slots: Slots) -> DeviceFact:
    is_faulty = slots.working < 1
    return DeviceFact(
        ref=slots.ref,
        vendor=slots.vendor,
        model=slots.model,
        pci_id=slots.card.pci_id,
        pci_address=slots.card.pci_address,
        total_milli=0 if slots.is_counted else 1000,
        health="faulty" if is_faulty else "ok",
        health_reason=slots.reason if is_faulty else "",
        uses=() if slots.is_counted else tuple(_use(use, 1000) for use in slots.uses),
        attributes=slots.attributes,
    )


def _counters(slots: list[Slots]) -> tuple[CounterFact, ...]:
    """Return one counter per kind of slot: slots of one kind are alike, whichever card of the node they are on."""
    by_kind: dict[str, list[Slots]] = {}
    for each in slots:
        if each.is_counted:
            by_kind.setdefault(each.card.kind, []).append(each)
    return tuple(_counter(kind, alike) for kind, alike in sorted(by_kind.items()))


def _counter(kind: str, alike: list[Slots]) -> CounterFact:
    first = alike[0]
    unit_milli = max(1, 1000 // max(1, *(each.total for each in alike)))
    # Nova's providers of vGPUs do not tell which card they are on.
    is_known = first.card.pci_id is not None
    return CounterFact(
        ref=kind,
        vendor=first.vendor,
        model=first.model if is_known else "",
        pci_id=first.card.pci_id,
        profile=first.card.profile,
        unit_milli=unit_milli,
        total_units=sum(each.total for each in alike),
        faulty_units=sum(each.total - each.working for each in alike),
        uses=tuple(_use(use, unit_milli) for each in alike for use in each.uses),
    )


def _use(use: Use, unit_milli: int) -> UseFact:
    return UseFact(holder=use.holder, milli=use.units * unit_milli, marker=use.marker)
