"""Signed checkpoints: what an auditor keeps outside, so that nobody can make the logs anew without being found out."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from pools.domain.errors import CheckpointInvalid
from pools.domain.seals import STREAMS, SealHead
from pools.domain.verification import Known
from pools.selectors import seals as sealed
from pools.services import seal_keys


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of all streams at an instant; ``public_key`` is Ed25519, base64url, ``signature`` hexadecimal."""

    ocenter_checkpoint: int = 1
    at: datetime
    heads: dict[str, SealHead]
    key_id: str
    public_key: str
    signature: str = ""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed: a JSON array."""
        heads = [[stream, self.heads[stream].number, self.heads[stream].root] for stream in sorted(self.heads)]
        at = self.at.astimezone(UTC).isoformat()
        return msgspec.json.encode(("ocenter-checkpoint-1", at, heads, self.key_id, self.public_key))


def make(*, now: datetime) -> Checkpoint:
    """Return a signed checkpoint of what is sealed. Raises SealKeysMissing."""
    key_id = seal_keys.signing_id()
    heads = {stream: head for stream in STREAMS if (head := sealed.last(stream)[0])}
    made = Checkpoint(at=now, heads=heads, key_id=key_id, public_key=seal_keys.public_keys()[key_id])
    return msgspec.structs.replace(made, signature=seal_keys.sign(made.statement).hex())


def read(text: bytes) -> Mapping[str, Known]:
    """Return the seals by stream that a checkpoint names, for a verification to look for.

    Raises CheckpointInvalid when it is none, was changed, or was signed by a key that is not known here.
    """
    try:
        given = msgspec.json.decode(text, type=Checkpoint)
        signature = bytes.fromhex(given.signature)
    except ValueError:
        raise CheckpointInvalid from None
    if not seal_keys.has_signed(given.key_id, given.statement, signature):
        raise CheckpointInvalid
    return {stream: Known(head.number, head.root) for stream, head in given.heads.items() if stream in STREAMS}
