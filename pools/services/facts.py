"""Facts as rows of the merge's temporary tables: pure reshaping, one line a node, device or counter."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec

from connectors.contract import CounterFact, DeviceFact, NodeFact
from pools.domain import ids, observation
from pools.domain.observation import Recorded
from pools.services import attribution
from pools.services.models import Resolver

NODE_COLUMNS: Final = (
    "id, is_new, ref, name, uuid, serial, topology, topology_path, labels, cpu_milli, memory_mib, cpu_used_milli, "
    "memory_used_mib, device_count, is_available, unavailable_reason, unknown_resources, fingerprint"
)
DEVICE_COLUMNS: Final = (
    "id, node_id, capacity_id, seq, ref, index, vendor, model_id, model_text, profile, uuid, serial, pci_id, "
    "pci_address, memory_mib, total_milli, shadow_milli, shadow_mib, own_milli, own_mib, health, health_reason, "
    "link_group, numa_node, uses, attributes"
)
COUNTER_COLUMNS: Final = (
    "id, node_id, resource, model_id, profile, unit_milli, units, total_milli, total_mib, shadow_milli, shadow_mib, "
    "own_milli, own_mib, faulty_milli, faulty_mib, uses"
)

_json = msgspec.json.Encoder()


def _text(value: Any) -> str:
    return _json.encode(value).decode()


@dataclass(slots=True)
class Rows:
    """Rows of one batch, in the order of the columns above."""

    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    devices: list[tuple[Any, ...]] = field(default_factory=list)
    counters: list[tuple[Any, ...]] = field(default_factory=list)


def rows(
    nodes: Sequence[tuple[NodeFact, int]],
    recorded: Mapping[str, Recorded],
    resolver: Resolver,
    explained: Collection[str] = frozenset(),
) -> Rows:
    """Return the rows of nodes given with their fingerprints; ``recorded`` says which are known and as what.

    ``explained`` are the markers of claims that live: use that carries one is theirs.
    """
    out = Rows()
    for fact, fingerprint in nodes:
        known = recorded.get(fact.ref)
        node_id = str(known.id) if known else ids.new_id_text()
        counted = [counter for counter in fact.counters if counter.unit_milli > 0]
        unknown = {counter.ref: counter.total_units for counter in fact.counters if counter.unit_milli == 0}
        out.nodes.append(
            (
                node_id,
                known is None,
                fact.ref,
                fact.name,
                fact.uuid,
                fact.serial,
                _text(fact.topology),
                observation.topology_path(fact.topology),
                _text(fact.labels),
                fact.cpu_milli,
                fact.memory_mib,
                fact.cpu_used_milli,
                fact.memory_used_mib,
                len(fact.devices),
                fact.is_available,
                fact.unavailable_reason[:500],
                _text(unknown),
                fingerprint,
            )
        )
        capacity_ids: dict[tuple[UUID, str | None], str] = {}
        for seq, device in enumerate(fact.devices):
            out.devices.append(_device(node_id, seq, device, resolver, capacity_ids, explained))
        out.counters.extend(_counter(node_id, counter, resolver, explained) for counter in counted)
    return out


def _device(
    node_id: str,
    seq: int,
    fact: DeviceFact,
    resolver: Resolver,
    capacity_ids: dict[tuple[UUID, str | None], str],
    explained: Collection[str],
) -> tuple[Any, ...]:
    model_id = resolver.model_id(fact.vendor, fact.model, fact.pci_id, fact.memory_mib)
    key = (model_id, fact.profile)
    if key not in capacity_ids:
        capacity_ids[key] = ids.new_id_text()
    return (
        ids.new_id_text(),
        node_id,
        capacity_ids[key],
        seq,
        fact.ref,
        fact.index,
        fact.vendor[:63],
        str(model_id),
        fact.model,
        fact.profile,
        fact.uuid,
        fact.serial,
        fact.pci_id,
        fact.pci_address,
        fact.memory_mib,
        fact.total_milli,
        *attribution.shares(fact.uses, fact.total_milli, fact.memory_mib, explained),
        fact.health,
        fact.health_reason[:500],
        fact.link_group,
        fact.numa_node,
        _text(fact.uses) if fact.uses else "[]",
        _text(_attributes(fact)) if fact.attributes or fact.resource else "{}",
    )


def _attributes(fact: DeviceFact) -> Mapping[str, str]:
    """What the platform tells beside, with the resource by which the card is given out."""
    return {**fact.attributes, "resource": fact.resource} if fact.resource else fact.attributes


def _counter(node_id: str, fact: CounterFact, resolver: Resolver, explained: Collection[str]) -> tuple[Any, ...]:
    model_id = (
        str(resolver.model_id(fact.vendor, fact.model, fact.pci_id, 0, fact.ref)) if fact.model or fact.pci_id else None
    )
    milli, mib = fact.total_units * fact.unit_milli, fact.total_units * fact.unit_memory_mib
    return (
        ids.new_id_text(),
        node_id,
        fact.ref,
        model_id,
        fact.profile,
        fact.unit_milli,
        fact.total_units,
        milli,
        mib,
        *attribution.shares(fact.uses, milli, mib, explained),
        min(fact.faulty_units, fact.total_units) * fact.unit_milli,
        min(fact.faulty_units, fact.total_units) * fact.unit_memory_mib,
        _text(fact.uses),
    )
