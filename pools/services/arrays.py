"""Columns of many rows as array literals of PostgreSQL.

A list of a thousand values is one parameter; made by hand its text costs a tenth of adapting each value.
"""

from collections.abc import Iterable, Sequence
from typing import Any


def literal(values: Iterable[Any]) -> str:
    """Return the text of an array, every value quoted but None, which is NULL."""
    return texts([None if value is None else str(value) for value in values])


def texts(values: Sequence[str | None]) -> str:
    """Return the text of an array of texts."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"
    return '{"' + '","'.join(map(_escaped, values)) + '"}' if values else "{}"  # type: ignore[arg-type]  # none is None


def numbers(values: Iterable[int]) -> str:
    """Return the text of an array of whole numbers."""
    return "{" + ",".join(map(str, values)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"') if '"' in value or "\\" in value else value
