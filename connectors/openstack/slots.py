"""The cards of a cloud, each with its slots: Cyborg's deployables, and the providers that Nova makes. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from connectors.openstack import cards, uses
from connectors.openstack.cards import Card
from connectors.openstack.findings import Findings
from connectors.openstack.payloads import Amount, CyborgDevice, Deployable, Provider, Request
from connectors.openstack.snapshot import Snapshot

LEFT = "Providers of Cyborg in Placement without a card in Cyborg"
_RESERVED = "Nothing new is given out of it: it is reserved in Placement, or has no inventory there."
_MAINTAINED = "In maintenance in Cyborg, and reserved in Placement."


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

    @property
    def is_counted(self) -> bool:
        """Whether its slots are units of a counter, and not the card itself what is given out."""
        return self.total != 1 or self.card.resource_class == "VGPU"


def of_cyborg(seen: Snapshot, findings: Findings) -> Iterable[tuple[Provider, Slots]]:
    """Yield Cyborg's cards with their providers; what is strange goes to the findings."""
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
    amount = (summary and summary.resources.get(card.resource_class)) or Amount(0, 0)
    total = deployable.num_accelerators
    reason = _why_short(total, amount)
    if reason and any(device.status == "maintaining" for device in devices):
        reason = _MAINTAINED
    return Slots(
        ref=deployable.uuid,
        provider=provider.uuid,
        card=replace(card, vendor_id=vendor_id or None, product_id=product_id),
        vendor=cards.VENDORS.get(vendor_id, vendor_id),
        model=min((device.model for device in devices if device.model), default=card.kind),
        total=total,
        working=min(total, amount.capacity),
        reason=reason,
        uses=uses.of_cyborg(seen, provider, requests, amount.used, total, findings),
        attributes=_attributes("cyborg", provider, card),
    )


def of_nova(seen: Snapshot, findings: Findings) -> Iterable[tuple[Provider, Slots]]:
    """Yield the cards that Nova itself gives out, with their providers."""
    joined = {deployable.rp_uuid for deployable in seen.deployables}
    for provider in seen.providers.values():
        summary = seen.summaries.get(provider.uuid)
        if summary is None or provider.uuid in joined:
            continue
        if cards.OWNED_BY_CYBORG in summary.traits:
            findings.add(LEFT, provider.name)
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
                reason=_why_short(total, amount),
                uses=uses.of_nova(seen, provider),
                attributes=_attributes("nova", provider, card),
            ),
        )


def _why_short(total: int, amount: Amount) -> str:
    return _RESERVED if amount.capacity < max(1, total) else ""


def _compare_maintenance(
    by_kind: Mapping[Kind, list[CyborgDevice]], reserved: Mapping[Kind, int], findings: Findings
) -> None:
    """Cyborg reserves by the wrong row when its tables are out of step; then a card in maintenance is given out."""
    for kind, devices in by_kind.items():
        if sum(device.status == "maintaining" for device in devices) > reserved.get(kind, 0):
            findings.add("Hosts with cards in maintenance in Cyborg that Placement still gives out", kind.hostname)


def _attributes(managed_by: str, provider: Provider, card: Card) -> dict[str, str]:
    return {
        "managed_by": managed_by,
        "provider": provider.uuid,
        "resource_class": card.resource_class,
        "traits": " ".join(sorted(card.traits)),
    }
