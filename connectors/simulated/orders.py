"""How a simulated platform carries out orders: where they are put, and which calls lead there."""

import re
from collections.abc import Iterator, Mapping, Sequence

from connectors.contract import Call, CounterFact, DeviceFact, NoCapacity, NodeFact, Order, Permanent, Target
from connectors.simulated.fleet import Spec
from connectors.simulated.state import Placed, State, TargetState
from connectors.simulated.view import View


def changes(
    spec: Spec, state: State, target: Target, orders: Sequence[Order], *, installation: str, is_held: bool
) -> tuple[tuple[Call, ...], TargetState | None]:
    """Return the calls that make the target carry exactly these orders and what it keeps, and what it is after them.

    None: it is absent then.

    Changes nothing. Raises NoCapacity, and Permanent ``not_ours`` or ``stale_generation``.
    """
    stored = state.targets.get(target.ref)
    _refuse(stored, state.removed.get(target.ref, -1), target, installation)
    name = f"{target.kind}/{target.ref}"
    wanted = {marker: stored.orders[marker] for marker in target.keeps if stored and marker in stored.orders}
    wanted |= {order.marker: order for order in orders}
    if not wanted:
        return ((Call(verb="delete", object=name),) if stored else ()), None
    kept = {marker for marker, order in wanted.items() if stored and stored.orders.get(marker) == order}
    placed = {marker: stored.placed[marker] for marker in kept} if stored else {}
    calls = _frame(name, stored, target, is_held)
    surplus = sorted(stored.orders.keys() - wanted.keys()) if stored else []
    calls += [Call(verb="remove", object=f"{name}/{marker}") for marker in surplus]
    room = _Room(spec, state, target, placed, installation)
    for marker in sorted(wanted.keys() - kept):
        before = stored.placed.get(marker, []) if stored else []
        placed[marker] = room.take(wanted[marker], before)
        body = {"milli": wanted[marker].milli, "paths": [part.path for part in placed[marker]]}
        calls.append(Call(verb="place", object=f"{name}/{marker}", body=body))
    return tuple(calls), TargetState(
        generation=target.generation, orders=wanted, placed=placed, is_held=is_held, installation=installation
    )


def _refuse(stored: TargetState | None, removed_generation: int, target: Target, installation: str) -> None:
    if stored is not None and stored.installation != installation:
        raise Permanent(
            f"{target.ref} was not made by this ocenter and is left alone. Give it another name or remove it yourself.",
            code="not_ours",
        )
    known = stored.generation if stored else removed_generation
    if target.generation < known:
        raise Permanent(
            f"{target.ref} already carries generation {known}; {target.generation} is older and was not applied.",
            code="stale_generation",
        )


def _frame(name: str, stored: TargetState | None, target: Target, is_held: bool) -> list[Call]:
    body = {"generation": target.generation, "project": target.project, "is_held": is_held}
    if stored is None:
        return [Call(verb="create", object=name, body=body)]
    is_same = (stored.generation, stored.is_held, stored.is_marked) == (target.generation, is_held, True)
    return [] if is_same else [Call(verb="update", object=name, body=body)]


class _Room:
    """What is free for one target, while its orders are put one after another."""

    def __init__(
        self, spec: Spec, state: State, target: Target, kept: dict[str, list[Placed]], installation: str
    ) -> None:
        others = {
            ref: other
            for ref, other in state.targets.items()
            if ref != target.ref and (target.node_ref is None or _is_on(other, target.node_ref, state.world.moved))
        }
        self._view = View(spec, State(knobs=state.knobs, world=state.world, targets=others), installation)
        self._target = target
        self._taken: dict[str, int] = {}
        for places in kept.values():
            self._note(places)

    def take(self, order: Order, before: Sequence[Placed]) -> list[Placed]:
        """Put an order, where it was before if that is possible. All of it goes to one node."""
        old_paths = {placed.path for placed in before}
        for node in self._nodes():
            find = self._units if order.profile else self._named if order.devices else self._devices
            if node.is_available and (places := find(node, order, old_paths)) is not None:
                self._note(places)
                return places
        raise NoCapacity(f"There is no room for {order.marker}: {order.milli} milli of {order.model or 'any model'}.")

    def _nodes(self) -> Iterator[NodeFact]:
        if self._target.node_ref is None:
            yield from self._view.nodes()
        elif (node := self._view.node(self._target.node_ref)) is not None:
            yield node

    def _note(self, places: Sequence[Placed]) -> None:
        for placed in places:
            self._taken[placed.path] = self._taken.get(placed.path, 0) + placed.milli

    def _free_milli(self, path: str, device: DeviceFact) -> int:
        if device.health != "ok":
            return 0
        return device.total_milli - sum(use.milli for use in device.uses) - self._taken.get(path, 0)

    def _named(self, node: NodeFact, order: Order, old_paths: set[str]) -> list[Placed] | None:
        share = (order.milli or 1000 * len(order.devices)) // len(order.devices)
        found = {ref: device for device in node.devices for ref in (device.ref, device.uuid) if ref}
        places = []
        for ref in order.devices:
            path = f"{node.ref}/{found[ref].ref}" if ref in found else ""
            if not path or self._free_milli(path, found[ref]) < share:
                return None
            places.append(_placed(path, found[ref], share))
        return places

    def _devices(self, node: NodeFact, order: Order, old_paths: set[str]) -> list[Placed] | None:
        paths = {f"{node.ref}/{device.ref}": device for device in node.devices if _is_of(device, order.model)}
        free = {path: self._free_milli(path, device) for path, device in paths.items()}
        places: list[Placed] = []
        for share in [1000] * (order.milli // 1000) + [order.milli % 1000] * bool(order.milli % 1000):
            # Where it was before; else the fullest device that still has room, so that whole ones stay whole.
            fitting = [path for path, milli in free.items() if milli >= share]
            if not fitting:
                return None
            path = min(fitting, key=lambda path: (path not in old_paths, free[path]))
            places.append(_placed(path, paths[path], share))
            del free[path]
        return places

    def _units(self, node: NodeFact, order: Order, old_paths: set[str]) -> list[Placed] | None:
        for counter in node.counters:
            if counter.profile != order.profile or not _is_of(counter, order.model):
                continue
            path = f"{node.ref}/{counter.ref}"
            units = max(1, -(-order.milli // counter.unit_milli))
            used_milli = sum(use.milli for use in counter.uses) + self._taken.get(path, 0)
            if units <= counter.total_units - counter.faulty_units - -(-used_milli // counter.unit_milli):
                return [Placed(path, units * counter.unit_milli, units * counter.unit_memory_mib)]
        return None


def _is_on(target: TargetState, node_ref: str, moved: Mapping[str, str]) -> bool:
    """Whether it has a device that is on the node now, or was at first."""
    paths = [placed.path for places in target.placed.values() for placed in places]
    return any(path.startswith(f"{node_ref}/") or moved.get(path) == node_ref for path in paths)


def _placed(path: str, device: DeviceFact, milli: int) -> Placed:
    return Placed(path, milli, device.memory_mib * milli // 1000)


def _is_of(part: DeviceFact | CounterFact, model: str) -> bool:
    """Tell whether a platform's name fits a wanted one: each word of the wanted name is in it."""
    return _words(model) <= _words(f"{part.vendor} {part.model}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
