"""External names: what an object on a platform is called that ocenter made, the same whenever it is asked for."""

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

PREFIX: Final = "oc-"
_NAME: Final = re.compile(r"\boc-[a-z2-7]{20}\b")
_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"  # of base32, RFC 4648
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]


def of_member(installation: str, allocation_id: UUID | str, index: int) -> str:
    """Return the name of one member of an allocation: ``oc-`` and 20 lower-case letters and digits of base32.

    Another installation gives another name, so that two on one platform leave each other's objects alone.
    """
    return of_key(installation, f"{allocation_id}/{index}")


def of_key(installation: str, key: str) -> str:
    """Return the name of what has a key of its own, such as the object that carries the orders of several members."""
    hashed = _hashed(installation).copy()
    hashed.update(key.encode())
    bits = int.from_bytes(hashed.digest()) >> 4
    # A digit is five of them. base64.b32encode takes five times as long, and a batch names a thousand.
    return (
        f"{PREFIX}{_PAIRS[bits >> 90]}{_PAIRS[bits >> 80 & 1023]}{_PAIRS[bits >> 70 & 1023]}"
        f"{_PAIRS[bits >> 60 & 1023]}{_PAIRS[bits >> 50 & 1023]}{_PAIRS[bits >> 40 & 1023]}"
        f"{_PAIRS[bits >> 30 & 1023]}{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"
    )


@lru_cache(4)
def _hashed(installation: str) -> Any:
    return blake2b(f"{installation}/".encode(), digest_size=13)


def named_in(text: str) -> set[str]:
    """Return the external names that a text mentions, whoever gave them."""
    return set(_NAME.findall(text))
