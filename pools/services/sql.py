"""The set-based statements of pools/sql, read once a process."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.db.backends.utils import CursorWrapper

FOLDER = Path(__file__).resolve().parent.parent / "sql"


@cache
def statements(name: str) -> tuple[str, ...]:
    """Return the statements of ``<name>.sql``, in their order. A statement ends with a semicolon at a line's end."""
    pieces = (FOLDER / f"{name}.sql").read_text().split(";\n")
    return tuple(piece.strip() for piece in pieces if piece.strip())


def run(cursor: CursorWrapper, name: str, params: Mapping[str, Any] | None = None) -> None:
    """Execute all statements of ``<name>.sql``; the cursor then holds the result of the last one."""
    for statement in statements(name):
        cursor.execute(statement, params)
