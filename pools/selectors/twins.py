"""Cards that several pools show, and which of the pools gives each out."""

from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

SHOWN: Final = 200

_PAIRS: Final = """
SELECT t.found_at, a.id AS one_id, an.name AS one_node, ap.name AS one_pool, b.id AS other_id, bn.name AS other_node,
       bp.name AS other_pool, coalesce(m.name, a.model_text) AS model, a.vendor, coalesce(a.uuid, b.uuid, '') AS uuid,
       coalesce(a.serial, b.serial, '') AS serial, NOT a.is_elsewhere AS one_gives, NOT b.is_elsewhere AS other_gives
FROM live_twin t JOIN device a ON a.id = t.device_id JOIN device b ON b.id = t.other_id
JOIN node an ON an.id = a.node_id JOIN node bn ON bn.id = b.node_id
JOIN pool ap ON ap.id = a.pool_id JOIN pool bp ON bp.id = b.pool_id LEFT JOIN chip_model m ON m.id = a.model_id
WHERE t.device_id < t.other_id
"""
_COUNTED_TWICE: Final = """
SELECT m.slug, coalesce(a.uuid, b.uuid, a.serial), ap.name, bp.name, (ac.pos_total_milli[a.position] > 0
    AND bc.pos_total_milli[b.position] > 0) AS is_counted, (ac.pos_claimed_milli[a.position] > 0
    AND bc.pos_claimed_milli[b.position] > 0) AND NOT ac.is_advisory AND NOT bc.is_advisory AS is_claimed
FROM live_twin t JOIN device a ON a.id = t.device_id JOIN device b ON b.id = t.other_id
JOIN capacity ac ON ac.id = a.capacity_id JOIN capacity bc ON bc.id = b.capacity_id
JOIN pool ap ON ap.id = a.pool_id JOIN pool bp ON bp.id = b.pool_id LEFT JOIN chip_model m ON m.id = a.model_id
WHERE t.device_id < t.other_id ORDER BY ap.name, bp.name, 2
"""


class Checked(NamedTuple):
    """A card that two pools show: do both count it, and has each given it out?"""

    model: str | None
    name: str
    one_pool: str
    other_pool: str
    is_counted_twice: bool
    is_claimed_twice: bool


def pairs() -> list[dict[str, Any]]:
    """Return pairs of devices that are one piece of hardware in two pools, newest first; SHOWN + 1 at most.

    Shape: {found_at, model, vendor, uuid, serial, one_id, one_node, one_pool, one_gives, other_id, other_node,
    other_pool, other_gives}.
    """
    return _read(f"{_PAIRS} ORDER BY t.id DESC LIMIT %(limit)s", {"limit": SHOWN + 1})


def of_device(device_id: UUID) -> list[dict[str, Any]]:
    """Return the pairs that a device belongs to; see ``pairs``."""
    return _read(f"{_PAIRS} AND %(device)s IN (t.device_id, t.other_id)", {"device": device_id})


def checked() -> list[Checked]:
    """Return all cards that two pools show, as their capacity rows count them. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED_TWICE)
        return [Checked(*row) for row in cursor.fetchall()]


def _read(query: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
