"""NVIDIA's device plugin with the labels of GPU Feature Discovery: whole cards, MIG in both strategies, time slicing.

Source: github.com/NVIDIA/k8s-device-plugin (docs/gpu-feature-discovery, internal/lm).
"""

import re

from connectors.contract import CounterFact, DeviceFact
from connectors.kubernetes import products
from connectors.kubernetes.host import Found, Host, Product, cards, counter, with_counted_users, without_withdrawn
from connectors.kubernetes.resources import Resource

CHANGING = ("pending", "rebooting")
_WHOLE = ("nvidia.com/gpu", "nvidia.com/gpu.shared")
_SINGLE_PROFILE = re.compile(r"-MIG-(?P<profile>\d.*?)(-SHARED)?$")
_MOST_CARDS = 64


def reconfiguration(labels: dict[str, str]) -> str:
    """Why the present labels and counts cannot be relied on, or an empty text."""
    state = labels.get("nvidia.com/mig.config.state", "")
    return f"MIG is being reconfigured ({state})." if state in CHANGING else ""


def find(host: Host, resources: list[tuple[str, Resource]], told: Found, is_covered: bool) -> None:
    """Add the node's NVIDIA cards and counters. ``resources`` may be empty while the device plugin is away.

    ``is_covered`` says that another source shows the cards as such, so that only cuts are left to tell.
    """
    names = [] if is_covered else [name for name, resource in resources if not resource.profile]
    cuts = [(name, resource) for name, resource in resources if resource.profile and host.capacity[name]]
    for name in names:
        if name not in _WHOLE:  # whole cards for virtual machines, one resource per product
            plain = cards(Product("nvidia", name.partition("/")[2]), name, _refs(name, host.capacity[name]))
            told.devices += with_counted_users(without_withdrawn(plain, host.offered(name)), host.users(name))
    counters = [_cut(host, name, resource) for name, resource in cuts]
    told.counters += counters
    if is_covered:
        return
    whole = next((name for name in _WHOLE if host.capacity.get(name)), _WHOLE[0])
    product = products.of(host, "nvidia", whole)
    if single := _SINGLE_PROFILE.search(host.labels.get("nvidia.com/gpu.product", "")):
        if host.capacity.get(whole):
            told.counters.append(_single(host, whole, product, single["profile"]))
    elif whole in names or counters or host.labels.get("nvidia.com/gpu.product"):
        _find_whole(host, whole, product, counters, told)


def _find_whole(host: Host, name: str, product: Product, cuts: list[CounterFact], told: Found) -> None:
    """Cards as such. Cards that are cut by MIG or shared have no capacity of their own: the counters hold it."""
    capacity = host.capacity.get(name, 0)
    count = min(host.number("nvidia.com/gpu.count"), _MOST_CARDS)
    replicas = _replicas(host, capacity, count)
    if replicas == 1 and not cuts:
        count = max(count, capacity)  # where there are several models, the label counts the cards of one
    if replicas > 1:
        told.devices += _without_own_capacity(product, count, host.offered(name) > 0)
        told.counters.append(
            counter(
                host,
                name,
                product,
                profile=f"shared-{replicas}",
                unit_milli=1000 // replicas,
                unit_memory_mib=product.memory_mib // replicas,
            )
        )
    elif cuts:
        # The plugin does not tell which cards are cut; it takes at least so many to hold all the cuts.
        cut_cards = -(-sum(cut.total_units * cut.unit_milli for cut in cuts) // 1000)
        whole = max(0, min(capacity, count - cut_cards))
        is_offered = any(cut.faulty_units < cut.total_units for cut in cuts)
        devices = _without_own_capacity(product, count, is_offered)
        plain = without_withdrawn(cards(product, name, _refs(_WHOLE[0], whole)), host.offered(name))
        told.devices += with_counted_users(plain + devices[whole:], host.users(name))
    else:
        plain = without_withdrawn(cards(product, name, _refs(_WHOLE[0], count)), host.offered(name))
        told.devices += with_counted_users(plain, host.users(name))


def _without_own_capacity(product: Product, count: int, is_offered: bool) -> list[DeviceFact]:
    return without_withdrawn(cards(product, "", _refs(_WHOLE[0], count)), count if is_offered else 0)


def _replicas(host: Host, capacity: int, count: int) -> int:
    """How many units stand for one card: by label, or by what HAMi offers more than there are cards."""
    if (told := host.number("nvidia.com/gpu.replicas")) > 1:
        return told
    is_hami = any(name.startswith("hami.io/") for name in host.annotations)
    return capacity // count if is_hami and count and capacity > count else 1


def _single(host: Host, name: str, product: Product, profile: str) -> CounterFact:
    """Strategy ``single``: the plain resource counts equal MIG devices, and the labels describe one of them."""
    replicas = max(1, host.number("nvidia.com/gpu.replicas"))
    return counter(
        host,
        name,
        Product(product.vendor, product.model, link_group=product.link_group),
        profile=_shared(profile, replicas),
        unit_milli=products.unit_milli("nvidia", profile, product.model) // replicas,
        unit_memory_mib=product.memory_mib // replicas,
    )


def _cut(host: Host, name: str, resource: Resource) -> CounterFact:
    """Strategy ``mixed``: a resource of its own for each profile, described by labels of its own."""
    profile, label = resource.profile or "", name.removesuffix(".shared")
    replicas = max(1, host.number(f"{label}.replicas"))
    product = products.of(host, "nvidia", name)
    return counter(
        host,
        name,
        product,
        profile=_shared(profile, replicas),
        unit_milli=products.unit_milli("nvidia", profile, product.model) // replicas,
        unit_memory_mib=host.number(f"{label}.memory") // replicas,
    )


def _shared(profile: str, replicas: int) -> str:
    return profile if replicas == 1 else f"{profile}-shared-{replicas}"


def _refs(name: str, count: int) -> list[str]:
    return [f"{name}#{index}" for index in range(count)]
