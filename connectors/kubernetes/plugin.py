"""Accelerators that a device plugin merely counts: so many units of a resource on a node."""

from connectors.kubernetes import ascend, nvidia, products
from connectors.kubernetes.host import Found, Host, Product, cards, counter, with_counted_users, without_withdrawn
from connectors.kubernetes.resources import Resource, classify

# A larger count is no count of cards, whatever the table says of the name.
_MOST_CARDS = 256
# Both names count the same chips; the plugin offers either or both.
_SAME_CHIPS = {"aws.amazon.com/neurondevice": "aws.amazon.com/neuron"}


def found(host: Host, covered_vendors: frozenset[str], ascend_report: ascend.Report | None) -> Found:
    """Return cards and counters of all resources, but for the whole cards of vendors that another source covers."""
    told = Found()
    by_vendor: dict[str, list[tuple[str, Resource]]] = {}
    for name in sorted(host.capacity):
        resource = classify(name)
        if resource.kind == "unknown" and host.capacity[name]:
            told.counters.append(counter(host, name, Product("", "")))
        elif resource.kind == "count" and _SAME_CHIPS.get(name) not in host.capacity:
            by_vendor.setdefault(resource.vendor, []).append((name, resource))
    nvidia.find(host, by_vendor.pop("nvidia", []), told, "nvidia" in covered_vendors)
    for vendor, resources in by_vendor.items():
        for name, resource in resources:
            if resource.profile or vendor not in covered_vendors:
                _find(host, name, resource, told, ascend_report)
    return told


def _find(host: Host, name: str, resource: Resource, told: Found, ascend_report: ascend.Report | None) -> None:
    product = products.of(host, resource.vendor, name)
    if resource.profile:
        unit_milli = products.unit_milli(resource.vendor, resource.profile, product.model)
        if host.capacity[name]:
            told.counters.append(counter(host, name, product, profile=resource.profile, unit_milli=unit_milli))
    elif resource.is_shared or host.capacity[name] > _MOST_CARDS:
        if host.capacity[name]:
            told.counters.append(counter(host, name, product))
    elif resource.vendor == "huawei":
        told.devices += ascend.devices(host, name, product, ascend_report)
    else:
        plain = cards(product, name, [f"{name}#{index}" for index in range(host.capacity[name])])
        told.devices += with_counted_users(without_withdrawn(plain, host.offered(name)), host.users(name))
