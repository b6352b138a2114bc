"""What a seal of a log says. A stream is a log table; its order is (transaction, id), in which it can be complete."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from pools.domain import merkle

STREAMS: Final = ("audit_event", "ledger_event")
NO_ROOT: Final = bytes(merkle.LEAF_BYTES)
"""What the first seal of a stream has as its previous root."""


class Row(NamedTuple):
    """A row of a log: the transaction that wrote it, its id, when it says it was, and its leaf."""

    xid: int
    id: int
    at: datetime
    leaf: bytes


class Seal(Struct, frozen=True, kw_only=True):
    """Rows of one stream and month, in their order; ``leaves`` are 32 bytes a row."""

    stream: str
    number: int
    month: date
    from_xid: int
    to_xid: int
    ids: list[int]
    leaves: bytes
    root: bytes
    previous_root: bytes
    key_id: str
    sealed_at: datetime
    signature: bytes = b""

    @property
    def begin(self) -> tuple[int, int]:
        """Where it begins in the order of the stream."""
        return self.from_xid, self.ids[0]

    @property
    def end(self) -> tuple[int, int]:
        """Where it ends, with this place."""
        return self.to_xid, self.ids[-1]

    @property
    def statement(self) -> bytes:
        """The bytes that are signed: a JSON array of all but the leaves, which the root stands for."""
        ids = sha256(",".join(map(str, self.ids)).encode()).hexdigest()
        parts = (
            "ocenter-seal-1",
            self.stream,
            self.number,
            f"{self.month:%Y-%m}",
            self.from_xid,
            self.to_xid,
            len(self.ids),
            ids,
            self.root.hex(),
            self.previous_root.hex(),
            self.key_id,
            self.sealed_at.astimezone(UTC).isoformat(),
        )
        return msgspec.json.encode(parts)


class SealHead(Struct, frozen=True, kw_only=True):
    """The last seal of a stream by number and root: all that somebody has to keep elsewhere to prove what was there."""

    number: int
    root: str


def made(stream: str, rows: Sequence[Row], previous: SealHead | None, *, key_id: str, now: datetime) -> Seal:
    """Return the unsigned seal of rows of one month, in their order, behind the previous one."""
    leaves = [row.leaf for row in rows]
    return Seal(
        stream=stream,
        number=previous.number + 1 if previous else 1,
        month=month_of(rows[0].at),
        from_xid=rows[0].xid,
        to_xid=rows[-1].xid,
        ids=[row.id for row in rows],
        leaves=b"".join(leaves),
        root=merkle.root(leaves),
        previous_root=bytes.fromhex(previous.root) if previous else NO_ROOT,
        key_id=key_id,
        sealed_at=now,
    )


def month_of(at: datetime) -> date:
    """Return the first day of the month whose partition holds a row of this instant."""
    return at.astimezone(UTC).date().replace(day=1)
