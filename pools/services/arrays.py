"""Columns of many rows as array literals of PostgreSQL, for cursors that put their parameters into the statement.

A list of a thousand values is one parameter; made by hand its text costs a tenth of adapting each value. For prepared
statements ``selectors.columns`` is cheaper still.
"""

from collections.abc import Iterable, Sequence
from typing import Any


def literal(values: Iterable[Any]) -> str:
    """Return the text of an array, every value quoted but None, which is NULL."""
    return texts([None if value is None else str(value) for value in values])


def texts(values: Sequence[str | None]) -> str:
    """Return the text of an array of texts."""
    if values and values.count(first := values[0]) == len(values):
        word = "NULL" if first is None else f'"{_escaped(first)}"'
        return "{" + ",".join([word] * len(values)) + "}"
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"
    text = '","'.join(known)
    if "\\" in text or text.count('"') > 2 * (len(known) - 1):
        text = '","'.join(map(_escaped, known))
    return f'{{"{text}"}}' if known else "{}"


def numbers(values: Iterable[int]) -> str:
    """Return the text of an array of whole numbers."""
    return "{" + ",".join(map(str, values)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
