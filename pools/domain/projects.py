"""What a project may be called."""

import re
from collections.abc import Mapping
from typing import Final

from pools.domain import filters
from pools.domain import labels as label_rules
from pools.domain.errors import FieldError

DEPTH_MOST: Final = 8
DISPLAY_NAME_LONGEST: Final = 150
_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
# What stands behind a project's path in an address can be no project's name.
RESERVED: Final = frozenset(
    [
        "allocations",
        "archive",
        "audit",
        "bookings",
        "edit",
        "events",
        "grants",
        "invitations",
        "ledger",
        "members",
        "new",
        "pools",
        "projects",
        "quotas",
        "rename",
        "restore",
        "resume",
        "service-accounts",
        "settings",
        "suspend",
        "tokens",
        "usage",
    ]
)


def mistakes(
    *, name: str | None = None, display_name: str | None = None, labels: Mapping[str, str] | None = None
) -> list[FieldError]:
    """Return what is wrong with the given ones of a project's fields; None is not given."""
    wrong = []
    if name is not None:
        if not _NAME.fullmatch(name):
            wrong.append(FieldError("name", "bad_name", "A name has 1 to 63 lower-case letters, digits and hyphens."))
        elif name in RESERVED:
            wrong.append(FieldError("name", "reserved", f'"{name}" is a word of ocenter\'s own; choose another name.'))
        elif filters.as_uuid(name):
            wrong.append(FieldError("name", "bad_name", "This looks like an id; choose another name."))
    if display_name is not None and len(display_name) > DISPLAY_NAME_LONGEST:
        detail = f"At most {DISPLAY_NAME_LONGEST} characters are allowed."
        wrong.append(FieldError("display_name", "too_long", detail))
    return wrong + label_rules.mistakes(labels or {})
