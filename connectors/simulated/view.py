"""What a simulated platform shows: the fleet as it was born, and over it what happened and what was ordered."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from connectors.simulated import fleet
from connectors.simulated.fleet import Spec
from connectors.simulated.state import Knobs, State, by_node, node_of

T = TypeVar("T", DeviceFact, CounterFact)


class View:
    """A fleet in one state. Only nodes to which something happened cost more than making them."""

    def __init__(self, spec: Spec, state: State, installation: str = "") -> None:
        self._spec = spec
        self._state = state
        self._touched = by_node(state).keys()
        self._uses: dict[str, list[UseFact]] = {}
        for path, use in state.world.uses.items():
            self._uses.setdefault(path, []).append(use)
        for ref, target in state.targets.items():
            is_marked = target.is_marked and target.installation == installation
            for marker, places in target.placed.items():
                for placed in places:
                    use = UseFact(
                        holder=ref,
                        milli=placed.milli,
                        memory_mib=placed.memory_mib,
                        marker=marker if is_marked else None,
                    )
                    self._uses.setdefault(placed.path, []).append(use)

    def nodes(self) -> Iterator[NodeFact]:
        """Yield every node that is there."""
        for number in range(self._spec.nodes):
            if (node := self._node(number)) is not None:
                yield node

    def node(self, ref: str) -> NodeFact | None:
        """Return one node, or None when it is not there."""
        number = fleet.numbers(self._spec).get(ref)
        return None if number is None else self._node(number)

    def _node(self, number: int) -> NodeFact | None:
        node = fleet.node(self._spec, number)
        if node.ref not in self._touched:
            return node
        world = self._state.world
        if node.ref in world.gone:
            return None
        stayed = (device for device in node.devices if f"{node.ref}/{device.ref}" not in world.moved)
        devices = [self._device(node.ref, device) for device in stayed]
        devices += [self._arrived(path) for path, at in world.moved.items() if at == node.ref]
        reason = "powered off" if node.ref in world.off else world.cordoned.get(node.ref, node.unavailable_reason)
        return replace(
            node,
            devices=tuple(devices),
            counters=tuple(self._used(node.ref, counter) for counter in node.counters),
            is_available=not reason,
            unavailable_reason=reason,
        )

    def _device(self, node_ref: str, device: DeviceFact) -> DeviceFact:
        reason = self._state.world.health.get(f"{node_ref}/{device.ref}")
        if reason is not None:
            device = replace(device, health="faulty" if reason else "ok", health_reason=reason)
        return self._used(node_ref, device)

    def _arrived(self, path: str) -> DeviceFact:
        """Return a device that came from another node; its ref tells from where, as it must be unique here."""
        born = fleet.node(self._spec, fleet.numbers(self._spec)[node_of(path)])
        (device,) = (device for device in born.devices if path == f"{born.ref}/{device.ref}")
        return replace(
            self._device(born.ref, device), ref=f"{device.ref}-from-{born.name}", index=None, link_group=None
        )

    def _used(self, node_ref: str, part: T) -> T:
        more = self._uses.get(f"{node_ref}/{part.ref}")
        return replace(part, uses=part.uses + tuple(more)) if more else part


def pages(nodes: Iterator[NodeFact], size: int) -> Iterator[list[NodeFact]]:
    """Cut into pages: one at least, which may be empty."""
    page: list[NodeFact] = []
    for node in nodes:
        if len(page) == size:
            yield page
            page = []
        page.append(node)
    yield page


def weight_bytes(nodes: Sequence[NodeFact]) -> int:
    """Return about how many bytes a platform would have sent for them."""
    return sum(600 + 300 * len(node.devices) for node in nodes)


# --- lies -------------------------------------------------------------------------------------------------------------


def churned(nodes: Iterator[NodeFact], seed: int, churn_seconds: int, now: float) -> Iterator[NodeFact]:
    """Let users of the platform come and go: every ``churn_seconds`` one node of twenty gets or loses a user."""
    slot = int(now // churn_seconds)
    for node in nodes:
        dice = blake2b(f"{seed}/{slot}/{node.ref}".encode(), digest_size=2).digest()
        if not node.devices or dice[0] >= 13:
            yield node
            continue
        devices = list(node.devices)
        index = dice[1] % len(devices)
        device = devices[index]
        if device.total_milli and not any(use.marker for use in device.uses):
            visitor = UseFact(holder=f"visitor-{slot % 1000}", milli=device.total_milli, memory_mib=device.memory_mib)
            devices[index] = replace(device, uses=() if device.uses else (visitor,))
        yield replace(node, devices=tuple(devices))


def distorted(nodes: Iterator[NodeFact], knobs: Knobs) -> Iterator[NodeFact]:
    """Let a platform with these knobs say what is not so."""
    before: NodeFact | None = None
    for node in nodes:
        changes: dict[str, Any] = {}
        if knobs.has_long_names:
            changes = {"name": node.name + "x" * 10_000, "labels": {"text": "y" * 10_000}}
            changes["devices"] = tuple(replace(device, model=device.model + "z" * 10_000) for device in node.devices)
        if knobs.has_negative_counts:
            changes["memory_mib"] = -1
        if knobs.doubles_devices and before is not None:
            again = (replace(device, ref=f"again-{device.ref}") for device in before.devices)
            changes["devices"] = (*node.devices, *again)
        yield replace(node, **changes) if changes else node
        before = node
