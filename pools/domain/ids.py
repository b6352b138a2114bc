"""Keys of rows."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7: unique without asking the database, and in the order of its making (RFC 9562)."""
    return uuid7()
