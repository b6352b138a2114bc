"""From a Node and what pods, slices and reports tell of it to one NodeFact. Pure: no clock, no network."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from connectors.contract import DeviceFact, NodeFact, Permanent
from connectors.kubernetes import ascend, dra, hami, nvidia, plugin, quantity
from connectors.kubernetes.host import Host, counts_cards, with_counted_users
from connectors.kubernetes.payloads import Node, Taint
from connectors.kubernetes.resources import classify
from connectors.kubernetes.usage import UNUSED, NodeUse, is_extended

_TOPOLOGY = {
    "region": ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    "zone": ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    "rack": ("topology.kubernetes.io/rack", "rack"),
}
# What discovery agents write of every CPU flag and at every start; none of it helps to place or to find a node.
_DULL = (
    "feature.node.kubernetes.io/",
    "beta.kubernetes.io/",
    "beta.amd.com/",
    "nvidia.com/gpu.deploy.",
    "nvidia.com/gfd.timestamp",
    "nvidia.com/cuda.driver-version.m",
    "nvidia.com/cuda.driver-version.r",
    "nvidia.com/cuda.runtime-version.m",
)
_BLOCKING = ("NoSchedule", "NoExecute")


class Around(Struct):
    """What is known of all nodes beside the Node objects themselves.

    ``use`` and ``pools`` go by node name. ``api_time`` is the API server's clock. Where use cannot be read, the reason
    stands in ``use_unknown`` for all nodes or in ``claims_unknown`` for those with DRA devices: they then take nothing.
    """

    use: Mapping[str, NodeUse] = {}
    pools: Mapping[str, list[dra.Pool]] = {}
    held: Mapping[dra.Key, list[dra.Holding]] = {}
    api_time: datetime | None = None
    use_unknown: str = ""
    claims_unknown: str = ""


def node_fact(node: Node, around: Around, report: ascend.Report | None, warnings: list[str]) -> NodeFact:
    """Return the facts of one node; ``report`` is the Ascend agent's, where it wrote one.

    Raises Permanent ``invalid_answer`` for amounts below zero.
    """
    meta, status = node.metadata, node.status
    _refuse_negative(node)
    use = around.use.get(meta.name, UNUSED)
    pools = around.pools.get(meta.name, ())
    reasons = _reasons(node, around, bool(pools))
    host = Host(
        name=meta.name,
        labels=meta.labels,
        annotations=meta.annotations,
        capacity={name: quantity.count(text) for name, text in status.capacity.items() if is_extended(name)},
        allocatable={name: quantity.count(text) for name, text in status.allocatable.items() if is_extended(name)},
        pods=use.pods,
        warnings=warnings,
    )
    registered = hami.found(host, around.api_time)
    published = dra.found(pools, around.held)
    published.devices = _with_plain_users(host, published.devices, dra.vendors(pools) - registered.keys())
    counted = plugin.found(host, frozenset(registered) | dra.vendors(pools), report)
    devices = [device for cards in registered.values() for device in cards]
    return NodeFact(
        ref=meta.uid,
        name=meta.name,
        uuid=status.node_info.system_uuid.lower() or None,
        topology=_topology(meta.labels),
        labels={name: text for name, text in meta.labels.items() if not name.startswith(_DULL)},
        cpu_milli=min(quantity.milli(status.allocatable.get("cpu", "0")), quantity.MOST),
        memory_mib=quantity.mib(status.allocatable.get("memory", "0")),
        cpu_used_milli=min(use.cpu_milli, quantity.MOST),
        memory_used_mib=min(use.memory_bytes // quantity.MIB, quantity.MOST),
        is_available=not reasons,
        unavailable_reason=" ".join(reasons),
        devices=tuple(devices + published.devices + counted.devices),
        counters=tuple(published.counters + counted.counters),
    )


def _refuse_negative(node: Node) -> None:
    for amounts in (node.status.capacity, node.status.allocatable):
        for name, text in amounts.items():
            if text.startswith("-"):
                raise Permanent(
                    f"The API server's answer cannot be right: node {node.metadata.name[:80]} has {text[:40]} of "
                    f"{name[:80]}. Nothing is taken from it. Repair what reports this on the node.",
                    code="invalid_answer",
                )


def _with_plain_users(host: Host, devices: list[DeviceFact], vendors: frozenset[str]) -> list[DeviceFact]:
    """A plain device plugin beside DRA offers the same cards once more: whoever it served sits on one of them too."""
    for vendor in sorted(vendors):
        names = [name for name in sorted(host.capacity) if counts_cards(name, vendor) and host.capacity[name]]
        for name in names:
            host.warnings.append(f"{name} is offered by a device plugin beside DRA on node {host.name}.")
            mine = [device for device in devices if device.vendor == vendor]
            others = [device for device in devices if device.vendor != vendor]
            devices = others + with_counted_users(mine, host.users(name))
    return devices


def _topology(labels: Mapping[str, str]) -> dict[str, str]:
    told = {level: next((labels[name] for name in names if labels.get(name)), "") for level, names in _TOPOLOGY.items()}
    return {level: name for level, name in told.items() if name}


def _reasons(node: Node, around: Around, has_pools: bool) -> list[str]:
    """Why a node takes no new work: what the scheduler would say, and what we cannot know."""
    reasons = []
    if node.metadata.deletion_timestamp:
        reasons.append("It is being deleted.")
    if node.spec.unschedulable:
        reasons.append("It is cordoned.")
    ready = next((condition for condition in node.status.conditions if condition.type == "Ready"), None)
    if ready is None or ready.status != "True":
        reasons.append(f"It is not ready ({(ready and (ready.reason or ready.status)) or 'no condition'}).")
    taints = [_words(taint) for taint in node.spec.taints if _is_foreign(taint)]
    if taints:
        reasons.append(f"It is tainted: {', '.join(taints)}.")
    reasons += [nvidia.reconfiguration(node.metadata.labels), around.use_unknown]
    if has_pools:
        reasons.append(around.claims_unknown)
    return [reason for reason in reasons if reason]


def _is_foreign(taint: Taint) -> bool:
    """Whether a taint keeps accelerator jobs away; the customary ones, named like a resource, only keep others out."""
    if taint.effect not in _BLOCKING or taint.key == "node.kubernetes.io/unschedulable":
        return False
    return classify(taint.key).kind in ("ignored", "unknown")


def _words(taint: Taint) -> str:
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"
