"""External names: what an object on a platform is called that ocenter made, the same whenever it is asked for."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

PREFIX: Final = "oc-"
_NAME: Final = re.compile(r"\boc-[a-z2-7]{20}\b")
_DIGITS: Final = bytes.maketrans(bytes(range(32)), b"abcdefghijklmnopqrstuvwxyz234567")  # of base32, RFC 4648
_LENGTH, _LANE, _THRICE = 20, 24, 1 << 128 | 1 << 64 | 1
# How a digest becomes digits of five bits with a byte each: which bits move to the left, and how far.
_APART: Final = (
    (0xFFFFFFFFFFFFFFFFFFFF << 40, 24),
    (0xFFFFFFFFFF << 104, 24),
    (0x000000FFFFF00000 * _THRICE, 12),
    (0x000FFC00000FFC00 * _THRICE, 6),
    (0x03E003E003E003E0 * _THRICE, 3),
)


def of_member(installation: str, allocation_id: UUID | str, index: int) -> str:
    """Return the name of one member of an allocation: ``oc-`` and 20 lower-case letters and digits of base32.

    Another installation gives another name, so that two on one platform leave each other's objects alone.
    """
    return of_members(installation, [allocation_id], [index])[0]


def of_members(installation: str, allocation_ids: Sequence[UUID | str], indexes: Sequence[int]) -> list[str]:
    """Return the names of many."""
    return _of(installation, [f"{id}/{index}" for id, index in zip(allocation_ids, indexes, strict=True)])


def of_key(installation: str, key: str) -> str:
    """Return the name of what has a key of its own, such as the object that carries the orders of several members."""
    return _of(installation, [key])[0]


def _of(installation: str, keys: Sequence[str]) -> list[str]:
    """Return the names of keys. Their digests are moved apart as one large number: a tenth of base64.b32encode."""
    digests = []
    for key in keys:
        hashed = _hashed(installation).copy()
        hashed.update(key.encode())
        digests.append(hashed.digest())
    bits = int.from_bytes(bytes(9) + bytes(11).join(digests) + bytes(2))  # each in a lane of 24 bytes
    for mask, left in _APART:
        moved = bits & int.from_bytes(mask.to_bytes(_LANE) * len(keys))
        bits = bits ^ moved | moved << left
    size = _LANE * len(keys)
    digits = bits.to_bytes(size).translate(_DIGITS).decode()
    return [PREFIX + digits[start : start + _LENGTH] for start in range(0, size, _LANE)]


@lru_cache(4)
def _hashed(installation: str) -> Any:
    return blake2b(f"{installation}/".encode(), digest_size=13)


def named_in(text: str) -> set[str]:
    """Return the external names that a text mentions, whoever gave them."""
    return set(_NAME.findall(text))
