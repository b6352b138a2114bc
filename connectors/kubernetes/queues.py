"""Quota by model through Kueue: one queue for a target, and a flavor of nodes for each model it may use. Pure.

Source: Kueue API reference v1beta2 (ResourceFlavor, ClusterQueue, LocalQueue).
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

from connectors.contract import Order, Permanent, Target
from connectors.kubernetes import products
from connectors.kubernetes.intent import MANAGER, Body, Marks, Wanted, units
from connectors.kubernetes.resources import classify

MODE = "kueue"
FLAVORS = "/apis/kueue.x-k8s.io/v1beta2/resourceflavors"
_BASE, _, _ = FLAVORS.rpartition("/")
_VERSION = "kueue.x-k8s.io/v1beta2"
# Kueue admits no job that asks for a resource which its queue does not name; these are limited by nobody here.
_UNLIMITED = {"cpu": "1000000", "memory": "1Ei", "ephemeral-storage": "1Ei"}

Selector = tuple[str, str]
"""A label of nodes and its text."""


def queue_path(target: Target) -> str:
    """Where the cluster-wide queue of a target is."""
    return f"{_BASE}/clusterqueues/{target.ref}"


def entry_path(target: Target) -> str:
    """Where the tenant's jobs enter it."""
    return f"{_BASE}/namespaces/{target.ref}/localqueues/{MANAGER}"


def selectors(orders: Sequence[Order]) -> list[Selector]:
    """Return the labels by which nodes of the ordered models are known, each once."""
    return sorted({_selector(order) for order in orders})


def objects(target: Target, orders: Sequence[Order], marks: Marks) -> list[Wanted]:
    """Return flavors, queue and entry. Raises Permanent ``invalid`` where no node label tells an order's model."""
    flavors = [
        marks.on(f"{FLAVORS}/{name}", _VERSION, "ResourceFlavor", {"name": name}, changing=spec)
        for name, spec in _flavors(target, orders).items()
    ]
    spec = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": target.ref}},
        "queueingStrategy": "BestEffortFIFO",
        "resourceGroups": _groups(target, orders),
    }
    inside = {"name": MANAGER, "namespace": target.ref}
    into = {"spec": {"clusterQueue": target.ref}}
    return [
        *flavors,
        marks.on(queue_path(target), _VERSION, "ClusterQueue", {"name": target.ref}, changing={"spec": spec}),
        marks.on(entry_path(target), _VERSION, "LocalQueue", inside, fixed=into),
    ]


def is_flavor_of(target: Target, name: str) -> bool:
    """Whether a flavor was made for a target, by its name. One of ``ml-prod`` is none of ``ml``."""
    return bool(re.fullmatch(re.escape(target.ref) + "-(any|[0-9a-f]{10})", name))


def _flavors(target: Target, orders: Sequence[Order]) -> dict[str, Body]:
    told: dict[str, Body] = {_any_flavor(target): {}}
    for order in orders:
        told[_flavor_name(target, order)] = {"spec": {"nodeLabels": dict([_selector(order)])}}
    return dict(sorted(told.items()))


def _groups(target: Target, orders: Sequence[Order]) -> list[Body]:
    """One group for what is not limited, and one for each resource with a flavor for each model of it."""
    totals: dict[str, dict[str, int]] = {}
    for order in orders:
        flavors = totals.setdefault(order.resource, {})
        name = _flavor_name(target, order)
        flavors[name] = flavors.get(name, 0) + units(order)
    groups = [
        {
            "coveredResources": [resource],
            "flavors": [
                {"name": name, "resources": [{"name": resource, "nominalQuota": str(count)}]}
                for name, count in sorted(flavors.items())
            ],
        }
        for resource, flavors in sorted(totals.items())
    ]
    rest = [{"name": name, "nominalQuota": most} for name, most in _UNLIMITED.items()]
    any_node = {"name": _any_flavor(target), "resources": rest}
    return [{"coveredResources": list(_UNLIMITED), "flavors": [any_node]}, *groups]


def _any_flavor(target: Target) -> str:
    return f"{target.ref}-any"


def _flavor_name(target: Target, order: Order) -> str:
    told = "|".join((order.resource, *_selector(order)))
    return f"{target.ref}-{blake2b(told.encode(), digest_size=5).hexdigest()}"


def _selector(order: Order) -> Selector:
    label = products.model_label(classify(order.resource).vendor)
    if not (label and order.model):
        raise Permanent(
            f"No label of nodes tells the model of {order.resource} for the order {order.marker}, so Kueue cannot keep "
            "models apart there. Ask for the resource without a model, in the mode quota.",
            code="invalid",
        )
    return label, products.label_text(order.model, order.profile or "", order.resource)
