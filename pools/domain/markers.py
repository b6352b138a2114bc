"""External names: what an object on a platform is called that ocenter made, the same whenever it is asked for."""

import re
from base64 import b32encode
from hashlib import blake2b
from typing import Final
from uuid import UUID

PREFIX: Final = "oc-"
_NAME: Final = re.compile(r"\boc-[a-z2-7]{20}\b")


def of_member(installation: str, allocation_id: UUID | str, index: int) -> str:
    """Return the name of one member of an allocation: ``oc-`` and 20 lower-case letters and digits of base32.

    Another installation gives another name, so that two on one platform leave each other's objects alone.
    """
    return of_key(installation, f"{allocation_id}/{index}")


def of_key(installation: str, key: str) -> str:
    """Return the name of what has a key of its own, such as the object that carries the orders of several members."""
    digest = blake2b(f"{installation}/{key}".encode(), digest_size=13).digest()
    return PREFIX + b32encode(digest).decode()[:20].lower()


def named_in(text: str) -> set[str]:
    """Return the external names that a text mentions, whoever gave them."""
    return set(_NAME.findall(text))
