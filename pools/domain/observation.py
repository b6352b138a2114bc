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
    is_loss_accepted: bool


@dataclass(slots=True)
class Sight:
    """What one run has seen so far.

    ``unseen_devices`` are recorded devices of seen nodes that were not there, ``moved_devices`` those that turned up on
    another node: whichever of the two nodes came first, such a device is not missing.
    """

    recorded: Mapping[str, Recorded]
    seen: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unseen_devices: set[UUID] = field(default_factory=set)
    moved_devices: set[UUID] = field(default_factory=set)

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
        """Return the recorded nodes that are not there: all others if it was full, else those said to be gone."""
        if is_full:
            return {ref: node for ref, node in self.recorded.items() if ref not in self.seen}
        return {ref: node for ref, node in self.recorded.items() if ref in self.gone and ref not in self.seen}


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be marked missing, against what is live. Counts leave out what a person accepted before."""

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
