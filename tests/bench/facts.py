"""A pool that answers at once: pages of facts made beforehand, so that a sync costs what ocenter costs and no more."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from connectors import catalog
from connectors.addresses import Outgoing
from connectors.contract import (
    Check,
    Connector,
    Cursor,
    DeviceFact,
    Found,
    Identity,
    Last,
    Manifest,
    Mode,
    NodeFact,
    Order,
    Outcome,
    Page,
    Plan,
    Target,
    Tier,
    UseFact,
)
from tests.bench.fleet import CARDS, NODES_PER_RACK, RACKS_PER_ZONE

NODES_PER_PAGE = 250
BYTES_PER_NODE = 2_000
MODELS_IN_POOL = 4
KIND = "bench"
MANIFEST = Manifest(
    kind=KIND,
    label="Bench",
    summary="Answers at once.",
    settings=(),
    modes=(Mode(name="device", grain="device", target="host", per="node", forms=("whole",)),),
    connector="tests.bench.facts:Prepared",
    capabilities=("observe",),
    is_simulation=True,
)


def pages(devices: int, *, devices_per_node: int = 8, changed_percent: int = 0, seed: int = 1) -> Iterator[Page]:
    """Yield a complete observation of a pool of that many devices, 70 % in use by others, made page by page.

    ``changed_percent`` of the devices differ in their health from a pool made without; they lie spread over the nodes,
    which is the dear case: each of them makes its whole node differ.
    """
    count = devices // devices_per_node
    changed = set(random.Random(seed).sample(range(devices), devices * changed_percent // 100))
    for first in range(0, count, NODES_PER_PAGE):
        end = min(first + NODES_PER_PAGE, count)
        yield Page(
            nodes=[_node(number, devices_per_node, changed, seed) for number in range(first, end)],
            byte_count=(end - first) * BYTES_PER_NODE,
            last=Last(complete=True) if end == count else None,
        )


def make_known() -> None:
    """Have the catalog list the prepared kind, in this process only."""
    cast(dict[str, Manifest], catalog.MANIFESTS)[KIND] = MANIFEST


def _node(number: int, cards: int, changed: set[int], seed: int) -> NodeFact:
    rng = random.Random(f"{seed} {number}")
    rack = number // NODES_PER_RACK
    vendor, model, memory_mib = CARDS[rack % MODELS_IN_POOL]
    first = number * cards
    return NodeFact(
        ref=f"ref-{number:07d}",
        name=f"node-{number:07d}",
        uuid=f"4c4c4544-0000-0000-0000-{number:012x}",
        serial=f"SN{number:09d}",
        topology={"region": "r1", "zone": f"zone-{rack // RACKS_PER_ZONE}", "rack": f"rack-{rack}"},
        labels={"kernel": "6.8.0", "role": "worker"},
        cpu_milli=128_000,
        memory_mib=2_097_152,
        cpu_used_milli=64_000,
        memory_used_mib=1_048_576,
        devices=tuple(
            DeviceFact(
                ref=f"card-{i}",
                vendor=vendor,
                model=model,
                pci_id="10de:2330",
                index=i,
                uuid=f"GPU-{first + i:012x}",
                pci_address=f"0000:{i:02x}:00.0",
                memory_mib=memory_mib,
                health="faulty" if first + i in changed else "ok",
                link_group=f"link-{i // 4}",
                numa_node=i * 2 // cards,
                uses=(UseFact(holder=f"vm-{first + i}", milli=1000),) if rng.random() < 0.7 else (),
            )
            for i in range(cards)
        ),
    )


class Prepared(Connector):
    """Yields the pages that were put into ``shown``. Everything but observing is out of scope here."""

    shown: ClassVar[Iterable[Page]] = ()

    def __init__(
        self, settings: Mapping[str, Any], credential: Mapping[str, Any], outgoing: Outgoing, installation: str
    ) -> None:
        """A connector is made of its pool's settings; this one has none."""

    def identity(self) -> Identity:
        return Identity(key="bench")

    def check(self) -> Check:
        return Check(identity=self.identity(), watch=Tier(ok=True), manage=Tier(ok=False, missing=("all",)))

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        return iter(self.shown)

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        raise NotImplementedError

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        raise NotImplementedError

    def probe(self, target: Target) -> Found:
        raise NotImplementedError
