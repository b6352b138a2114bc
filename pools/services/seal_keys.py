"""The keys that sign seals (Ed25519): the first signs, all verify. They lie outside of the database on purpose."""

import base64
from functools import cache
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from pools.domain.errors import SealKeysMissing
from pools.domain.seals import Seal

PUBLIC: Final = "public:"
"""Before a key that is there for verifying only, because its private half was destroyed."""


def are_there() -> bool:
    """True when this process can sign."""
    return bool(settings.SEAL_KEYS)


def signing_id() -> str:
    """Return the id of the key that signs. Raises SealKeysMissing."""
    return _id(_public(_first()))


def sign(statement: bytes) -> bytes:
    """Return the signature of the first key. Raises SealKeysMissing."""
    return _private(_first()).sign(statement)


def public_keys() -> dict[str, str]:
    """Return all public keys, base64url by id, the one that signs first."""
    return {_id(key): base64.urlsafe_b64encode(key).decode() for key in map(_public, settings.SEAL_KEYS)}


def has_signed(key_id: str, statement: bytes, signature: bytes) -> bool:
    """True when the key of this id is known and made the signature."""
    key = next((key for key in map(_public, settings.SEAL_KEYS) if _id(key) == key_id), None)
    if key is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def has_sealed(seal: Seal) -> bool:
    """True when a known key signed the seal as it stands there."""
    return has_signed(seal.key_id, seal.statement, seal.signature)


def _first() -> str:
    if not are_there():
        raise SealKeysMissing
    return str(settings.SEAL_KEYS[0])


@cache
def _private(text: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(text))


@cache
def _public(text: str) -> bytes:
    if text.startswith(PUBLIC):
        return base64.urlsafe_b64decode(text.removeprefix(PUBLIC))
    return _private(text).public_key().public_bytes_raw()


@cache
def _id(key: bytes) -> str:
    return blake2b(key, digest_size=8).hexdigest()
