"""What the pods of a node use of it, counted exactly as the kube-scheduler counts.

A pod counts from the moment it is bound until its phase is Succeeded or Failed; a terminating one still counts.
Source: k8s.io/component-helpers/resource, PodRequests; each case was run against a kube-scheduler 1.36.
"""

from collections.abc import Mapping

from msgspec import Struct

from connectors.kubernetes import quantity
from connectors.kubernetes.payloads import Amounts, Container, Pod

ENDED = ("Succeeded", "Failed")
_CARD_SIGNS = ("-devices-allocated", "volcano.sh/vgpu-ids-new", "huawei.com/")


class PodUse(Struct, gc=False):
    """A pod that asks for extended resources: how many of each, and what the vendor's agent says of the cards."""

    holder: str
    marker: str | None
    units: dict[str, int]
    cards: Mapping[str, str] = {}


class NodeUse(Struct):
    """All use of one node. ``memory_bytes`` and not MiB, so that many small requests do not vanish in rounding."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pods: list[PodUse] = []


UNUSED = NodeUse()


def add(uses: dict[str, NodeUse], pod: Pod, namespace_markers: Mapping[str, str]) -> None:
    """Count a pod at the node that it is bound to."""
    node_name = pod.spec.node_name
    if not node_name or pod.status.phase in ENDED:
        return
    if (use := uses.get(node_name)) is None:
        use = uses[node_name] = NodeUse()
    requests = requested(pod)
    use.cpu_milli += requests.pop("cpu", 0)
    use.memory_bytes += requests.pop("memory", 0)
    if not requests:
        return
    meta = pod.metadata
    marker = namespace_markers.get(meta.namespace)  # a pod's own labels are the tenant's to write
    cards = {name: text for name, text in meta.annotations.items() if any(sign in name for sign in _CARD_SIGNS)}
    use.pods.append(PodUse(f"{meta.namespace}/{meta.name}", marker, requests, cards))


def requested(pod: Pod) -> dict[str, int]:
    """Return what the scheduler holds back for a pod: ``cpu`` in milli, ``memory`` in bytes, others in units.

    What dynamic resource allocation serves is left out: a node's allocatable never held it, the claim counts it.
    """
    spec, by_claim = pod.spec, _by_claim(pod)
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _amounts(container, by_claim))
    if spec.init_containers:
        total = _with_init_containers(total, spec.init_containers, by_claim)
    if spec.resources.requests:  # the pod's own level replaces the sum of its containers
        total |= _parsed(spec.resources.requests)
    if spec.overhead:
        _add(total, _parsed(spec.overhead))
    return {name: amount for name, amount in total.items() if amount}


def _with_init_containers(
    main: dict[str, int], init_containers: list[Container], by_claim: frozenset[tuple[str, str]]
) -> dict[str, int]:
    """Init containers run in order before the main ones; a sidecar stays, so what comes later stands on top of it."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in init_containers:
        amounts = _amounts(container, by_claim)
        if container.restart_policy == "Always":
            _add(sidecars, amounts)
            amounts = sidecars
        else:
            _add(amounts, sidecars)
        _raise(peak, amounts)
    _add(main, sidecars)
    _raise(main, peak)
    return main


def _by_claim(pod: Pod) -> frozenset[tuple[str, str]]:
    if (claim := pod.status.extended_resource_claim_status) is None:
        return frozenset()
    return frozenset((mapping.container_name, mapping.resource_name) for mapping in claim.request_mappings)


def _amounts(container: Container, by_claim: frozenset[tuple[str, str]]) -> dict[str, int]:
    amounts = _parsed(container.resources.requests)
    for container_name, resource_name in by_claim:
        if container_name == container.name:
            amounts.pop(resource_name, None)
    return amounts


def _parsed(requests: Amounts) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for name, text in requests.items():
        if name == "cpu":
            amounts[name] = quantity.milli(text)
        elif name == "memory":
            amounts[name] = quantity.units(text)
        elif is_extended(name):
            amounts[name] = quantity.count(text)
    return amounts


def is_extended(resource_name: str) -> bool:
    """Whether a resource is one that plugins add to a node, and none of the cluster's own."""
    domain, slash, _ = resource_name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, int], least: Mapping[str, int]) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)
