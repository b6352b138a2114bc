"""What an observation means against what is recorded: what to write, what is lost, and what a person must decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from connectors.contract import NodeFact

# Part of every fingerprint: raise it when the merge writes other values for the same facts.
MERGE_VERSION: Final = 1

LOSS_NODES_FEW: Final = 5
LOSS_SHARE: Final = 0.20
MISSES_TO_RETIRE: Final = 3
MISSING_SECONDS_TO_RETIRE: Final = 15 * 60

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def salt(catalogue_digest: str) -> bytes:
    """Return what makes fingerprints of another catalogue or another merge differ, so that all is merged again."""
    return blake2b(f"{MERGE_VERSION}:{catalogue_digest}".encode(), digest_size=16).digest()


def fingerprint(fact: NodeFact, salt: bytes) -> int:
    """Return 64 bits, as PostgreSQL's signed bigint, over the node with its devices, counters and their use."""
    digest = blake2b(_encoder.encode(fact), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big", signed=True)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A live node as the last merge left it."""

    id: UUID
    fingerprint: int
    device_count: int
    is_missing: bool


@dataclass(slots=True)
class Sight:
    """What one run has seen so far.

    ``unseen_devices`` are recorded devices of seen nodes that were not there, ``moved_devices`` those that turned up on
    another node: whichever of the two nodes came first, such a device is not missing. ``unsettled`` are the nodes of
    unseen devices with their fingerprints, which are stored when it is decided what becomes of the devices.
    """

    recorded: Mapping[str, Recorded]
    seen: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unseen_devices: set[UUID] = field(default_factory=set)
    moved_devices: set[UUID] = field(default_factory=set)
    unsettled: dict[UUID, int] = field(default_factory=dict)

    def is_repeated(self, ref: str) -> bool:
        """Note that the node was seen; True when it was seen before in this run."""
        if ref in self.seen:
            return True
        self.seen.add(ref)
        return False

    def is_unchanged(self, ref: str, fingerprint: int) -> bool:
        """True when the recorded node is exactly this, and not missing."""
        known = self.recorded.get(ref)
        return known is not None and known.fingerprint == fingerprint and not known.is_missing

    def unseen_nodes(self, *, is_full: bool) -> dict[str, Recorded]:
        """Return the recorded nodes that are not there.

        All others if it was full; else those said to be gone, now or before.
        """
        unseen = {ref: node for ref, node in self.recorded.items() if ref not in self.seen}
        if is_full:
            return unseen
        return {ref: node for ref, node in unseen.items() if ref in self.gone or node.is_missing}

    def seen_nodes(self) -> set[UUID]:
        """Return the ids of the recorded nodes that were seen."""
        return {node.id for ref, node in self.recorded.items() if ref in self.seen}


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nodes, and single devices of other nodes, that an observation did not show."""

    nodes: frozenset[UUID] = frozenset()
    devices: frozenset[UUID] = frozenset()

    @classmethod
    def stored(cls, value: Mapping[str, list[str]] | None) -> "Unseen":
        """Return what ``as_stored`` made."""
        value = value or {}
        return cls(*(frozenset(UUID(text) for text in value.get(key, ())) for key in ("nodes", "devices")))

    def as_stored(self) -> dict[str, list[str]]:
        """Return it in JSON's types."""
        return {"nodes": sorted(map(str, self.nodes)), "devices": sorted(map(str, self.devices))}

    def __or__(self, other: "Unseen") -> "Unseen":
        return Unseen(self.nodes | other.nodes, self.devices | other.devices)

    def __le__(self, other: "Unseen") -> bool:
        return self.nodes <= other.nodes and self.devices <= other.devices

    def __bool__(self) -> bool:
        return bool(self.nodes or self.devices)


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be marked missing, against what is live. Counts leave out what a person accepted before.

    A missing node counts until it is retired, a missing device only when it becomes missing.
    """

    nodes: int
    live_nodes: int
    devices: int
    live_devices: int
    has_claims: bool = False


def needs_person(loss: Loss) -> str | None:
    """Return the reason why a person must approve the loss, as a stable word, or None (design, invariant 5)."""
    if loss.nodes == 0 and loss.devices == 0:
        return None
    if loss.has_claims:
        return "claimed"
    if loss.nodes and loss.nodes == loss.live_nodes:
        return "all_nodes"
    if loss.nodes > LOSS_NODES_FEW and loss.nodes > LOSS_SHARE * loss.live_nodes:
        return "many_nodes"
    if loss.devices > LOSS_SHARE * loss.live_devices:
        return "many_devices"
    return None


def topology_path(topology: Mapping[str, str]) -> str:
    """Return ``region/zone/rack/…`` in the order of the facts, without empty steps."""
    return "/".join(str(step) for step in topology.values() if step)[:500]
