"""Statements that rows of a log were dropped because their time was over; signed, so that the database makes none.

Months go oldest first, so one statement stands for all months up to its own.
"""

from datetime import date, datetime
from typing import Final

import msgspec
from django.db.models import QuerySet

from pools.domain.actors import SYSTEM
from pools.domain.seals import STREAMS
from pools.models import AuditEvent
from pools.services import audit, seal_keys

ACTION: Final = "audit.month_dropped"
_KIND: Final = "log"


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table are gone through this month; that month had so many."""

    stream: str
    through: date
    rows: int
    key_id: str = ""
    signature: str = ""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed: a JSON array."""
        parts = ("ocenter-drop-1", self.stream, f"{self.through:%Y-%m}", self.rows, self.key_id)
        return msgspec.json.encode(parts)


def record(said: Dropped, now: datetime) -> None:
    """Leave the statement as an audit row, in the transaction of the drop."""
    if said.stream in STREAMS and seal_keys.are_there():
        said = msgspec.structs.replace(said, key_id=seal_keys.signing_id())
        said = msgspec.structs.replace(said, signature=seal_keys.sign(said.statement).hex())
    name = f"{said.through:%Y-%m}"
    audit.record(SYSTEM, ACTION, _KIND, said.stream, name, None, msgspec.to_builtins(said), now)


def of(stream: str) -> tuple[date | None, list[int]]:
    """Return the last month that may be gone, and the ids of audit rows that say so without a valid signature."""
    through, unsigned = None, []
    for row_id, after in _said(stream).values_list("id", "after"):
        said = _understood(after)
        if said is None or not _is_signed(said, stream):
            unsigned.append(row_id)
        elif through is None or said.through > through:
            through = said.through
    return through, unsigned


def _said(stream: str) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(object_kind=_KIND, object_id=stream, action=ACTION).order_by("id")


def _understood(after: object) -> Dropped | None:
    try:
        return msgspec.convert(after, Dropped)
    except msgspec.ValidationError:
        return None


def _is_signed(said: Dropped, stream: str) -> bool:
    try:
        signature = bytes.fromhex(said.signature)
    except ValueError:
        return False
    return said.stream == stream and seal_keys.has_signed(said.key_id, said.statement, signature)
