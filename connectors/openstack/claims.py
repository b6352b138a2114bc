"""From an order to the slots it takes: which providers of Placement, how many of which class, on which host."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from msgspec import Struct

from connectors.contract import NoCapacity, Order, Permanent, Target
from connectors.openstack import cards, marks, reading, slots
from connectors.openstack.cards import Card
from connectors.openstack.client import Cloud
from connectors.openstack.findings import Findings
from connectors.openstack.marks import Mark
from connectors.openstack.payloads import Candidates, Deployable, Deployables, Devices, Provider, Providers
from connectors.openstack.snapshot import Snapshot

_IN_TREE = ("1.31",)


class Claim(Struct, frozen=True, kw_only=True):
    """What an order takes: ``units`` of one class by provider, all on one host. ``devices`` are refs by provider."""

    mark: Mark
    host: str
    resource_class: str
    trait: str
    units: dict[str, int]
    devices: dict[str, str]
    is_cyborg: bool = True

    @property
    def allocations(self) -> dict[str, dict[str, int]]:
        """The units as Placement tells them."""
        return {provider: {self.resource_class: count} for provider, count in self.units.items()}

    @property
    def slots(self) -> list[str]:
        """The provider of each single unit, sorted."""
        return sorted(provider for provider, count in self.units.items() for _ in range(count))

    @property
    def groups(self) -> list[dict[str, str]]:
        """The units as groups of a device profile: one a card, since all of a group come from one card."""
        trait = {f"trait:{self.trait}": "required"} if self.trait else {}
        return [{f"resources:{self.resource_class}": str(count), **trait} for count in sorted(self.units.values())]


def only(orders: Sequence[Order]) -> Order | None:
    """Return the one order of a consumer or server, None when it shall go. Raises Permanent ``invalid``."""
    if len(orders) > 1:
        raise Permanent(
            "A consumer or server carries one order: Cyborg binds all requests of it at once and never adds to them. "
            "Give each order a target of its own.",
            code="invalid",
        )
    return orders[0] if orders else None


def count(cloud: Cloud, target: Target, order: Order) -> int:
    """Return how many slots the order takes, wherever they are.

    Raises NoCapacity when the host has no such cards, Permanent ``invalid``.
    """
    if order.devices:
        return len(set(order.devices))
    if order.resource and target.node_ref:
        return _count(order, _cards_of(cloud, order, _tree(cloud, target.node_ref)))
    return _whole(order)


def host(cloud: Cloud, root: str) -> str | None:
    """Return the name of a host by the uuid of its provider, None when it is gone."""
    found = _tree(cloud, root).get(root)
    return found.name if found else None


def read(cloud: Cloud, installation: str, target: Target, order: Order, has_now: dict[str, int]) -> Claim:
    """Return what the order takes; ``has_now`` are the units by provider that the target has already.

    Raises NoCapacity when a card is gone, is elsewhere or has no room, Permanent ``invalid``.
    """
    mark = marks.of(installation, order, target.generation)
    if order.devices:
        return _of_devices(cloud, mark, target, order)
    if not target.node_ref:
        raise _of_nothing()
    tree = _tree(cloud, target.node_ref)
    if order.resource:
        of_provider = _cards_of(cloud, order, tree)
        return _taken(cloud, mark, order.resource, _count(order, of_provider), of_provider, tree, has_now)
    wanted = _whole(order)
    kind, of_provider = _called(cloud, order.model, tree)
    return _taken(cloud, mark, kind, wanted, of_provider, tree, has_now)


def _of_devices(cloud: Cloud, mark: Mark, target: Target, order: Order) -> Claim:
    found = [(ref, _card(cloud, ref)) for ref in sorted(set(order.devices))]
    providers = [provider for _, (provider, _, _) in found]
    tree = _tree(cloud, target.node_ref or providers[0])
    if missing := [ref for ref, (provider, _, _) in found if provider not in tree]:
        raise _gone(f"{', '.join(missing)} is not on the host of the order")
    if len({card.kind for _, (_, card, _) in found}) != 1:
        raise Permanent(
            "The order's devices are of several kinds, which one request of Cyborg cannot ask for. Order them apart.",
            code="invalid",
        )
    card = found[0][1][1]
    return Claim(
        mark=mark,
        host=_host(tree, providers[0]),
        resource_class=card.resource_class,
        trait=_trait(card.kind),
        units=dict.fromkeys(providers, 1),
        devices={provider: ref for ref, (provider, _, _) in found},
        is_cyborg=all(is_cyborg for _, (_, _, is_cyborg) in found),
    )


def _card(cloud: Cloud, ref: str) -> tuple[str, Card, bool]:
    """Return provider and card of a device, and whether Cyborg has it; else Nova does, and ref is its provider."""
    if cloud.has("accelerator"):
        try:
            path = f"/deployables/{quote(ref, safe='')}"
            deployable = cloud.get("accelerator", path, Deployable, versions=reading.CYBORG)
        except Permanent as error:
            if error.code not in ("not_found", "rejected"):
                raise
        else:
            return deployable.rp_uuid or "", cards.of_deployable(deployable, None), True
    summary = reading.summary(cloud, ref)
    if summary is None or not summary.resources:
        raise _gone(f"neither Cyborg nor Placement has {ref}")
    resource_class = next(iter(summary.resources))
    provider = Provider(uuid=ref, name="", root_provider_uuid=ref)
    return ref, cards.of_provider(provider, summary, resource_class), False


def _called(cloud: Cloud, model: str, tree: dict[str, Provider]) -> tuple[str, dict[str, Deployable]]:
    """Return kind and cards of a host, by provider, that are given out whole and told under the name of a model.

    Raises NoCapacity when there are none, Permanent ``not_supported`` when they are of several kinds.
    """
    seen = Snapshot(
        region="",
        deployables=cloud.get("accelerator", "/deployables", Deployables, versions=reading.CYBORG).deployables,
        devices=cloud.get("accelerator", "/devices", Devices, versions=reading.CYBORG).devices,
        providers=tree,
    )
    deployables = {each.uuid: each for each in seen.deployables}
    by_kind: dict[str, dict[str, Deployable]] = {}
    for _, each in slots.of_cyborg(seen, Findings()):
        if each.model == model and not each.is_counted:
            by_kind.setdefault(each.card.kind, {})[each.provider] = deployables[each.ref]
    if not by_kind:
        raise _gone(f"Cyborg has no whole {model} on the host; cards that Nova manages itself are not delivered")
    if len(by_kind) > 1:
        raise Permanent(
            f"Cards of several kinds on the host are told as {model}: {', '.join(sorted(by_kind))}. Which of them is "
            "ordered cannot be told apart. Renew pci.ids on the host, or use the pool's other mode.",
            code="not_supported",
        )
    return next(iter(by_kind.items()))


def _taken(
    cloud: Cloud,
    mark: Mark,
    kind: str,
    wanted: int,
    of_provider: dict[str, Deployable],
    tree: dict[str, Provider],
    has_now: dict[str, int],
) -> Claim:
    """Take units where the target has some, then from the fullest card, so that whole cards stay free."""
    resource_class, _, trait = kind.partition(":")
    root = tree[next(iter(of_provider))].root_provider_uuid
    free = _free(cloud, root, resource_class)
    units: dict[str, int] = {}
    for provider in sorted(of_provider, key=lambda each: (-has_now.get(each, 0), free.get(each, 0), each)):
        # A card that Cyborg keeps back can be in use beyond what it offers.
        room = max(0, free.get(provider, 0)) + has_now.get(provider, 0)
        if taken := min(room, wanted - sum(units.values())):
            units[provider] = taken
    if wanted < 1 or sum(units.values()) < wanted:
        raise _gone(f"{sum(units.values())} of {wanted} units of {kind} are free")
    return Claim(
        mark=mark,
        host=tree[root].name,
        resource_class=resource_class,
        trait=trait,
        units=units,
        devices={provider: of_provider[provider].uuid for provider in units},
    )


def _cards_of(cloud: Cloud, order: Order, tree: dict[str, Provider]) -> dict[str, Deployable]:
    """Return the cards of the order's counter by provider, at least one. Raises NoCapacity."""
    found = {
        each.rp_uuid: each
        for each in cloud.get("accelerator", "/deployables", Deployables, versions=reading.CYBORG).deployables
        if each.rp_uuid in tree and cards.of_deployable(each, None).kind == order.resource
    }
    if not found:
        raise _gone(f"the host has no {order.resource}")
    return found


def _count(order: Order, of_provider: dict[str, Deployable]) -> int:
    most = max(each.num_accelerators for each in of_provider.values())
    return round(order.milli / max(1, 1000 // max(1, most)))


def _whole(order: Order) -> int:
    """Return how many whole cards an order by model takes. Raises Permanent ``invalid``."""
    if not order.model or order.milli < 1000 or order.milli % 1000:
        raise _of_nothing()
    return order.milli // 1000


def free_slots(cloud: Cloud, target: Target, claim: Claim) -> int:
    """Return how many slots of the claim's class are free on the target's host."""
    tree = _tree(cloud, target.node_ref or next(iter(claim.units)))
    free = _free(cloud, target.node_ref or next(iter(claim.units)), claim.resource_class)
    return sum(room for provider, room in free.items() if provider in tree)


def _free(cloud: Cloud, root: str, resource_class: str) -> dict[str, int]:
    path = f"/allocation_candidates?resources={resource_class}:1&in_tree={root}"
    found = cloud.get("placement", path, Candidates, versions=_IN_TREE).provider_summaries
    return {
        provider: amount.capacity - amount.used
        for provider, summary in found.items()
        if (amount := summary.resources.get(resource_class)) is not None
    }


def _tree(cloud: Cloud, provider: str) -> dict[str, Provider]:
    path = f"/resource_providers?in_tree={quote(provider, safe='')}"
    found = cloud.get("placement", path, Providers, versions=_IN_TREE).resource_providers
    return {each.uuid: each for each in found}


def _host(tree: dict[str, Provider], provider: str) -> str:
    return tree[tree[provider].root_provider_uuid].name


def _trait(kind: str) -> str:
    return kind.partition(":")[2]


def devices(cloud: Cloud, providers: set[str]) -> Iterator[tuple[str, str]]:
    """Yield provider and device ref of Cyborg's cards among the providers; other cards are their own provider."""
    if cloud.has("accelerator"):
        for each in cloud.get("accelerator", "/deployables", Deployables, versions=reading.CYBORG).deployables:
            if each.rp_uuid in providers:
                yield each.rp_uuid or "", each.uuid


def roots(cloud: Cloud, provider: str) -> dict[str, str]:
    """Return the root of each provider in the tree of one; none when it is gone."""
    return {uuid: each.root_provider_uuid for uuid, each in _tree(cloud, provider).items()}


def _gone(why: str) -> NoCapacity:
    return NoCapacity(f"There is no room for the order: {why}. Take another place, or wait for the next observation.")


def _of_nothing() -> Permanent:
    return Permanent(
        "The order names neither devices, nor a counter of a host, nor whole cards of a model on it, and OpenStack "
        "needs one of them. This is a fault of who made the order; nothing was changed.",
        code="invalid",
    )
