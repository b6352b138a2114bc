"""From one look at a cloud to facts. Pure: no network, no clock."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from connectors.openstack import cards, uses
from connectors.openstack.cards import Card
from connectors.openstack.findings import Findings
from connectors.openstack.payloads import Amount, CyborgDevice, Deployable, Provider, Request, Summary
from connectors.openstack.snapshot import Snapshot

NO_AMOUNT = Amount(0, 0)
_HOST_CLASSES = {"MEMORY_MB", "VCPU", "PCPU"}
_LEFT = "Providers of Cyborg in Placement without a card in Cyborg"
_LOST = "Placement has cards of Cyborg, but Cyborg is not in the catalog or lists none."
_DISABLED = "COMPUTE_STATUS_DISABLED"


class Kind(NamedTuple):
    """Cards of one host that Cyborg's lists cannot tell apart."""

    hostname: str
    product_id: str | None


class Slots(Struct, frozen=True, kw_only=True):
    """A card on its node: how many slots it has, how many of them Placement gives out, and who has some."""

    ref: str
    provider: str
    card: Card
    vendor: str
    model: str
    total: int
    working: int
    reason: str
    uses: tuple[uses.Use, ...]
    attributes: Mapping[str, str]


class Facts(Struct, frozen=True, kw_only=True):
    """What one look comes to. ``incomplete_because`` is empty when nothing was hidden from it."""

    nodes: list[NodeFact]
    warnings: list[str]
    incomplete_because: str = ""


def facts(seen: Snapshot) -> Facts:
    """Return every host with what is in it."""
    findings = Findings()
    by_root: dict[str, list[Slots]] = {}
    for provider, slots in (*_of_cyborg(seen, findings), *_of_nova(seen, findings)):
        by_root.setdefault(provider.root_provider_uuid, []).append(slots)
    found = [
        _node(seen, root, by_root.get(root.uuid, []))
        for root in seen.providers.values()
        if root.parent_provider_uuid is None and (root.uuid in by_root or _is_host(seen, root))
    ]
    has_lost_cyborg = _LEFT in findings and not seen.deployables
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


# --- cards ------------------------------------------------------------------------------------------------------------


def _of_cyborg(seen: Snapshot, findings: Findings) -> Iterable[tuple[Provider, Slots]]:
    by_kind: dict[Kind, list[CyborgDevice]] = {}
    for device in seen.devices:
        by_kind.setdefault(Kind(device.hostname or "", cards.product_of(device)), []).append(device)
    reserved: Counter[Kind] = Counter()
    bound = seen.bound()
    for deployable in _current(seen.deployables, findings):
        provider = seen.providers.get(deployable.rp_uuid or "")
        if provider is None:
            findings.add("Cards of Cyborg without a provider in Placement; nobody can get them", deployable.name)
            continue
        card = cards.of_deployable(deployable, seen.summaries.get(provider.uuid))
        if card.resource_class in cards.NOT_ACCELERATORS:
            continue
        hostname = seen.providers.get(provider.root_provider_uuid, provider).name
        devices = _alike(by_kind, hostname, card)
        slots = _cyborg_slots(seen, findings, deployable, provider, card, devices, bound.get(provider.uuid, []))
        if slots.working < slots.total:
            reserved[Kind(hostname, card.product_id)] += 1
        yield provider, slots
    _compare_maintenance(by_kind, reserved, findings)


def _current(deployables: list[Deployable], findings: Findings) -> list[Deployable]:
    """Leave one deployable per provider, the newest: Cyborg may list the one before a re-discovery, too."""
    newest: dict[str, Deployable] = {}
    for deployable in sorted(deployables, key=lambda each: (each.created_at or "", each.uuid)):
        key = deployable.rp_uuid or deployable.uuid
        if key in newest:
            findings.add("Cards listed twice by Cyborg; the newer entry counts", deployable.name)
        newest[key] = deployable
    return list(newest.values())


def _alike(by_kind: Mapping[Kind, list[CyborgDevice]], hostname: str, card: Card) -> list[CyborgDevice]:
    """Return the devices that this card is one of. An exact join is impossible: see docs/platforms/openstack.md."""
    if card.product_id:
        return by_kind.get(Kind(hostname, card.product_id), [])
    on_host = [devices for kind, devices in by_kind.items() if kind.hostname == hostname]
    return on_host[0] if len(on_host) == 1 else []


def _cyborg_slots(
    seen: Snapshot,
    findings: Findings,
    deployable: Deployable,
    provider: Provider,
    card: Card,
    devices: list[CyborgDevice],
    requests: list[Request],
) -> Slots:
    vendor_id = card.vendor_id or next((found for each in devices if (found := cards.vendor_of(each))), "")
    product_id = card.product_id or next((found for each in devices if (found := cards.product_of(each))), None)
    summary = seen.summaries.get(provider.uuid)
    amount = summary.resources.get(card.resource_class, NO_AMOUNT) if summary else NO_AMOUNT
    total = deployable.num_accelerators
    working = min(total, amount.capacity)
    reason = "" if working == total else "Reserved in Placement: nothing new is given out of it."
    if reason and any(device.status == "maintaining" for device in devices):
        reason = "In maintenance in Cyborg, and reserved in Placement."
    return Slots(
        ref=deployable.uuid,
        provider=provider.uuid,
        card=replace(card, vendor_id=vendor_id or None, product_id=product_id),
        vendor=cards.VENDORS.get(vendor_id, vendor_id),
        model=min((device.model for device in devices if device.model), default=card.kind),
        total=total,
        working=working,
        reason=reason,
        uses=uses.of_cyborg(seen, provider, requests, amount.used, total, findings),
        attributes=_attributes("cyborg", provider, card),
    )


def _of_nova(seen: Snapshot, findings: Findings) -> Iterable[tuple[Provider, Slots]]:
    joined = {deployable.rp_uuid for deployable in seen.deployables}
    for provider in seen.providers.values():
        summary = seen.summaries.get(provider.uuid)
        if summary is None or provider.uuid in joined:
            continue
        if cards.OWNED_BY_CYBORG in summary.traits:
            findings.add(_LEFT, provider.name)
        if (resource_class := cards.nova_class(provider, summary)) is None:
            continue
        card = cards.of_provider(provider, summary, resource_class)
        amount = summary.resources[resource_class]
        total = seen.totals.get(provider.uuid, {}).get(resource_class, amount.capacity)
        yield (
            provider,
            Slots(
                ref=provider.uuid,
                provider=provider.uuid,
                card=card,
                vendor=cards.VENDORS.get(card.vendor_id or "", card.vendor_id or ""),
                model=card.kind,
                total=total,
                working=min(total, amount.capacity),
                reason="" if amount.capacity >= total else "Reserved in Placement: nothing new is given out of it.",
                uses=uses.of_nova(seen, provider),
                attributes=_attributes("nova", provider, card),
            ),
        )


def _compare_maintenance(
    by_kind: Mapping[Kind, list[CyborgDevice]], reserved: Mapping[Kind, int], findings: Findings
) -> None:
    """Cyborg reserves by the wrong row when its tables are out of step; then a card in maintenance is given out."""
    for kind, devices in by_kind.items():
        if sum(device.status == "maintaining" for device in devices) > reserved.get(kind, 0):
            findings.add("Hosts with cards in maintenance in Cyborg that Placement still gives out", kind.hostname)


# --- facts ------------------------------------------------------------------------------------------------------------


def _attributes(managed_by: str, provider: Provider, card: Card) -> dict[str, str]:
    return {
        "managed_by": managed_by,
        "provider": provider.uuid,
        "resource_class": card.resource_class,
        "traits": " ".join(sorted(card.traits)),
    }


def _is_counted(slots: Slots) -> bool:
    return slots.total != 1 or slots.card.resource_class == "VGPU"


def _device(slots: Slots) -> DeviceFact:
    is_counted = _is_counted(slots)
    is_faulty = slots.working < 1
    return DeviceFact(
        ref=slots.ref,
        vendor=slots.vendor,
        model=slots.model,
        pci_id=slots.card.pci_id,
        pci_address=slots.card.pci_address,
        total_milli=0 if is_counted else 1000,
        health="faulty" if is_faulty else "ok",
        health_reason=slots.reason if is_faulty else "",
        uses=() if is_counted else tuple(_use(use, 1000) for use in slots.uses),
        attributes=slots.attributes,
    )


def _counters(slots: list[Slots]) -> tuple[CounterFact, ...]:
    """Return one counter per kind of slot: slots of one kind are alike, whichever card of the node they are on."""
    by_kind: dict[str, list[Slots]] = {}
    for each in slots:
        if _is_counted(each):
            by_kind.setdefault(each.card.kind, []).append(each)
    return tuple(_counter(kind, alike) for kind, alike in sorted(by_kind.items()))


def _counter(kind: str, alike: list[Slots]) -> CounterFact:
    first = alike[0]
    unit_milli = 1000 // max(1, *(each.total for each in alike))
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


def _use(use: uses.Use, unit_milli: int) -> UseFact:
    return UseFact(holder=use.holder, milli=use.units * unit_milli, marker=use.marker)
