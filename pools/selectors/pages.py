"""Lists in pages: a page ends with a cursor that names its last row, so that page 1000 costs what page 1 does."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet

from pools.domain.errors import FieldError, Invalid

LIMIT_DEFAULT: Final = 50
LIMIT_MOST: Final = 500
Row = TypeVar("Row")


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """Some rows in the list's order; ``next_cursor`` is None on the last page."""

    rows: list[Row]
    next_cursor: str | None


class Order(msgspec.Struct, frozen=True):
    """By which columns a list is sorted; together they are unique. ``shape`` is the type of a cursor's values."""

    columns: tuple[str, ...]
    shape: Any
    is_descending: bool = False


Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
BY_ID = Order(("id",), tuple[UUID])
BY_PLACE = Order(("pool", "node", "id"), tuple[UUID, UUID, UUID])
BY_NAME = Order(("name", "id"), tuple[str, UUID])
BY_SLUG = Order(("slug",), tuple[str])
BY_NUMBER = Order(("id",), tuple[Number])
NEWEST_NUMBER_FIRST = Order(("id",), tuple[Number], is_descending=True)
NEWEST_RUN_FIRST = Order(("queued_at", "id"), tuple[Instant, UUID], is_descending=True)


def cut(query: QuerySet[Any, Any], order: Order, cursor: str | None, limit: int) -> Page[Any]:
    """Return the rows behind the cursor. The query yields dicts that hold the columns of the order.

    Raises Invalid when the cursor is not one of ours.
    """
    if cursor:
        query = query.filter(_behind(order, decode(cursor, order)))
    sign = "-" if order.is_descending else ""
    rows = list(query.order_by(*(sign + column for column in order.columns))[: limit + 1])
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode([last[column] for column in order.columns]))


def mapped(page: Page[Any], make: Callable[[Any], Row]) -> Page[Row]:
    """Return the page with each row turned into its shape."""
    return Page([make(row) for row in page.rows], page.next_cursor)


def _behind(order: Order, values: Sequence[Any]) -> Q:
    beyond = "lt" if order.is_descending else "gt"
    condition = Q(**{f"{order.columns[-1]}__{beyond}": values[-1]})
    if len(order.columns) == 1:
        return condition
    column, value = order.columns[0], values[0]
    # The first part alone tells PostgreSQL where in the index to begin.
    return Q(**{f"{column}__{beyond}e": value}) & (Q(**{f"{column}__{beyond}": value}) | condition)


def encode(values: Sequence[Any]) -> str:
    """Return the cursor that names a row by its values in the list's order."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode(cursor: str, order: Order) -> Any:
    """Return the values that a cursor names. Raises Invalid when it is not one of ours."""
    wrong = Invalid(fields=(FieldError("cursor", "bad_value", "Use the cursor of the page before, unchanged."),))
    try:
        text = base64.urlsafe_b64decode(cursor[:2000] + "=" * (-len(cursor[:2000]) % 4))
        values: Sequence[Any] = msgspec.json.decode(text, type=order.shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise wrong from None
    if any(isinstance(value, str) and "\x00" in value for value in values):
        raise wrong
    return values
