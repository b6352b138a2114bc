"""Secrets of pools: encrypted at rest, never read back, replaced only when the same far end accepts them.

What platforms hand over to tenants is encrypted and rotated in the same way.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import CredentialKeysMissing, CredentialMissing, CredentialUnreadable
from pools.models import Credential, Delivery, Pool
from pools.services import audit, writing

_ROTATED_AT_ONCE = 100


def encrypt(values: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return (ciphertext, id of the key). Raises CredentialKeysMissing."""
    keys = _keys()
    return _cipher(keys).encrypt(msgspec.json.encode(values)), _key_id(keys[0])


def decrypt(credential: Credential | Delivery) -> dict[str, Any]:
    """Return the secrets by name: of a pool for the worker that connects and nobody else, of a delivery for its tenant.

    Raises CredentialUnreadable when the key that encrypted them is not there any more.
    """
    try:
        clear = _cipher(_keys()).decrypt(bytes(credential.ciphertext))
    except InvalidToken:
        raise CredentialUnreadable from None
    return msgspec.json.decode(clear, type=dict[str, Any])


def encrypt_text(text: str) -> str:
    """Return the ciphertext of a secret that is no pool's. Raises CredentialKeysMissing."""
    return _cipher(_keys()).encrypt(text.encode()).decode("ascii")


def decrypt_text(ciphertext: str) -> str:
    """Return the secret. Raises CredentialUnreadable when the key that encrypted it is not there any more."""
    try:
        return _cipher(_keys()).decrypt(ciphertext.encode("ascii")).decode()
    except InvalidToken:
        raise CredentialUnreadable from None


def of_pool(pool_id: UUID, *, state: str = "active") -> dict[str, Any]:
    """Return the secrets of a pool by name, none if it has no credential; for the worker that connects.

    Raises CredentialUnreadable.
    """
    credential = Credential.objects.filter(pool_id=pool_id, state=state).first()
    return decrypt(credential) if credential else {}


def store(pool: Pool, values: Mapping[str, Any], *, state: str, now: datetime) -> Credential:
    """Store a credential in the caller's transaction. One of the same state is replaced; its secrets are wiped."""
    given = {name: value for name, value in values.items() if value is not None}
    ciphertext, key_id = encrypt(given)
    _end(pool.credentials.filter(state=state), "replaced", now)
    return Credential.objects.create(
        pool=pool, state=state, ciphertext=ciphertext, key_id=key_id, fields=sorted(given), created_at=now
    )


def wipe(pool: Pool, now: datetime) -> None:
    """Forget all secrets of a pool, in the caller's transaction."""
    _end(pool.credentials.filter(state__in=("active", "pending")), "replaced", now)


@writing.transaction
def accept(credential_id: UUID, now: datetime, actor: Actor = SYSTEM) -> None:
    """Make a pending credential the active one: a worker saw that the same far end accepts it.

    Raises CredentialMissing when it was replaced meanwhile.
    """
    credential = _pending(credential_id)
    _end(Credential.objects.filter(pool=credential.pool_id, state="active"), "replaced", now)
    credential.state = "active"
    credential.save(update_fields=["state"])
    _record(actor, "credential.accepted", credential, now)


@writing.transaction
def refuse(credential_id: UUID, problem: str, now: datetime, actor: Actor = SYSTEM) -> None:
    """Keep the active credential and say why the pending one was refused. Raises CredentialMissing."""
    credential = _pending(credential_id)
    Credential.objects.filter(pk=credential.pk).update(
        state="refused", ciphertext=b"", problem=problem[:500], ended_at=now
    )
    credential.problem = problem[:500]
    _record(actor, "credential.refused", credential, now)


def rotate(now: datetime, actor: Actor = SYSTEM) -> int:
    """Encrypt all that is stored with the first key; after that the older keys may go. Returns how many changed.

    Raises CredentialUnreadable, with everything before it done, when one needs a key that is not there.
    """
    key_id = _key_id(_keys()[0])
    count = 0
    live = Credential.objects.filter(state__in=("active", "pending"))
    for stored in (live, Delivery.objects.exclude(key_id="")):
        while done := _rotate_some(stored.exclude(key_id=key_id)):
            count += done
    if count:
        with transaction.atomic(durable=True):
            audit.record(actor, "credential.rotated", "credential", key_id, "", None, {"count": count}, now)
    return count


@writing.transaction
def _rotate_some(due: QuerySet[Any]) -> int:
    rows = list(due.select_for_update().order_by("pk")[:_ROTATED_AT_ONCE])
    for row in rows:
        row.ciphertext, row.key_id = encrypt(decrypt(row))
    return int(due.model.objects.bulk_update(rows, ["ciphertext", "key_id"]))


def _pending(credential_id: UUID) -> Credential:
    query = Credential.objects.select_for_update(of=("self",)).select_related("pool")
    credential = query.filter(pk=credential_id, state="pending").first()
    if credential is None:
        raise CredentialMissing
    return credential


def _end(credentials: Any, state: str, now: datetime) -> None:
    credentials.update(state=state, ciphertext=b"", ended_at=now)


def _record(actor: Actor, action: str, credential: Credential, now: datetime) -> None:
    after = {"fields": credential.fields, "problem": credential.problem}
    audit.record(actor, action, "pool", credential.pool_id, credential.pool.name, None, after, now)


def _keys() -> tuple[str, ...]:
    keys = tuple(settings.CREDENTIAL_KEYS)
    if not keys:
        raise CredentialKeysMissing
    return keys


@cache
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _key_id(key: str) -> str:
    return blake2b(key.encode(), digest_size=8).hexdigest()
