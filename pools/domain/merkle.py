"""A Merkle tree (RFC 6962, SHA-256): one root stands for many leaves, and no leaf can change without it."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

LEAF_BYTES: Final = 32
_LEAF, _NODE = b"\x00", b"\x01"  # so that a node's hash is never taken for a leaf's


def leaf(canonical: bytes) -> bytes:
    """Return the 32 bytes that stand for a row's canonical bytes."""
    return sha256(_LEAF + canonical).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the leaves in their order; of none it is the hash of nothing."""
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = [sha256(_NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]  # one without a partner goes up as it is
    return level[0]


def split(leaves: bytes) -> list[bytes]:
    """Return the leaves that are stored one behind the other."""
    return [leaves[i : i + LEAF_BYTES] for i in range(0, len(leaves), LEAF_BYTES)]
