"""Which devices stand on a page: found by bounded walks along indexes, however rare what is asked for.

Devices are listed by pool, node and id. A walk begins behind the cursor and goes along the nodes that are there, or
along a partial index over the few devices in a rare condition. It takes so many steps at most; when it has not filled
the page by then, the page is short and its cursor says where the walk ended.

The walks do not leave their plan to statistics: ``OFFSET 0`` makes each look-up on the way an index scan of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from pools.domain.labels import Requirement
from pools.selectors import references

Key = tuple[UUID, UUID, UUID]

# What a page may cost at most: about 40 ms of CPU, whatever is asked for.
MOST_NODES: Final = 5_000
MOST_NODES_OF_LABELS: Final = 40_000  # it takes less to see that a node has not the label
MOST_DEVICES: Final = 3_000
_LAST: Final = UUID(int=2**128 - 1)


class Asked(msgspec.Struct, kw_only=True):
    """What to look for; None is anything. ``found`` are (device ids, node ids) that a search came up with.

    ``states`` None means every device that is not retired.
    """

    pool_ids: list[UUID] | None = None
    kinds: Sequence[str] | None = None
    model_ids: list[UUID] | None = None
    profiles: Sequence[str] | None = None
    states: Sequence[str] | None = None
    healths: Sequence[str] | None = None
    node_ids: list[UUID] | None = None
    labels: Sequence[Requirement] = ()
    pci_prefix: str | None = None
    found: tuple[list[UUID], list[UUID]] | None = None


class _Walk(msgspec.Struct, frozen=True, kw_only=True):
    """Along which rows of a table to go; ``along`` is the condition of a partial index, or a few ids.

    ``sums`` is what a node's capacity row ({0} = c) and its pool's sums (r) show where a device of the state is. It
    spares the steps where there is none, so it may only demand what follows from the state.
    """

    table: Literal["node", "device"]
    along: str
    sums: str = ""


# domain.devices.state in SQL, in the same order; a test compares the two.
_GIVEN: Final = "coalesce(c.pos_claimed_milli[d.position], 0) + coalesce(c.pos_held_milli[d.position], 0)"
_STATE: Final = f"""CASE
    WHEN d.retired_at IS NOT NULL THEN 'retired'
    WHEN d.missing_since IS NOT NULL OR n.missing_since IS NOT NULL THEN 'missing'
    WHEN d.health = 'faulty' THEN 'faulty'
    WHEN d.total_milli > 0 AND {_GIVEN} >= d.total_milli THEN 'in_use'
    WHEN d.is_elsewhere THEN 'elsewhere'
    WHEN d.total_milli = 0 OR {_GIVEN} > 0 THEN 'partial'
    WHEN d.shadow_milli > 0 THEN 'shadow'
    WHEN d.health = 'unknown' THEN 'unknown'
    WHEN NOT n.is_available THEN 'unavailable'
    ELSE 'free' END"""

_LIVE: Final = "retired_at IS NULL"
_NODES: Final = _Walk(table="node", along=_LIVE)
_OF_HEALTH: Final = {
    health: _Walk(table="device", along=f"health = '{health}' AND {_LIVE}") for health in ("faulty", "unknown")
}
_SOME_GIVEN: Final = "{0}.claimed_milli + {0}.held_milli > 0"
# Where a part of a card is given out, the rest is free without being a whole card, or out of reach.
_SOME_LEFT: Final = "({0}.free_milli > 1000 * {0}.free_whole OR {0}.shadow_milli + {0}.faulty_milli > 0)"
_OF_STATE: Final[Mapping[str, tuple[_Walk, ...]]] = {
    "retired": (_Walk(table="device", along="retired_at IS NOT NULL"),),
    "missing": (
        _Walk(table="device", along=f"missing_since IS NOT NULL AND {_LIVE}"),
        _Walk(table="node", along=f"missing_since IS NOT NULL AND {_LIVE}"),
    ),
    "faulty": (_OF_HEALTH["faulty"],),
    "in_use": (_Walk(table="node", along=_LIVE, sums=_SOME_GIVEN),),
    "elsewhere": (_Walk(table="device", along=f"is_elsewhere AND {_LIVE}"),),
    "partial": (
        _Walk(table="node", along=_LIVE, sums=f"{_SOME_GIVEN} AND {_SOME_LEFT}"),
        _Walk(table="device", along=f"total_milli = 0 AND {_LIVE}"),
    ),
    "shadow": (_Walk(table="node", along=_LIVE, sums="{0}.shadow_milli > 0"),),
    "unknown": (_OF_HEALTH["unknown"],),
    "unavailable": (_Walk(table="node", along=f"NOT is_available AND {_LIVE}"),),
    "free": (_Walk(table="node", along=_LIVE, sums="{0}.free_milli > 0"),),
}


def find(asked: Asked, after: Key | None, count: int) -> tuple[list[Key], Key | None]:
    """Return up to ``count`` keys (pool, node, device) behind ``after``, and the end of the walks when they fell short.

    The end is None when there is no more, or when ``count`` were found. One statement, one more after a short walk.
    """
    walks = _walks(asked)
    params = _params(asked, after, count)
    found: list[list[Key]] = [[] for _ in walks]
    with connection.cursor() as cursor:
        pieces = (f"(SELECT {number}, {_keys(walk, asked, after)})" for number, walk in enumerate(walks))
        cursor.execute(" UNION ALL ".join(pieces), params)
        for number, pool, node, device in cursor.fetchall():
            found[number].append((pool, node, device))
        short = [walk for walk, keys in zip(walks, found, strict=True) if len(keys) < count]
        end = _end(cursor, short, asked, after, params)
    keys = sorted({key for of_walk in found for key in of_walk})[:count]
    if end is None or (len(keys) == count and keys[-1] <= end):
        return keys, None
    return [key for key in keys if key <= end], end


def _walks(asked: Asked) -> list[_Walk]:
    if asked.found is not None:
        return [
            _Walk(table="device", along="id = ANY(%(found_devices)s)"),
            _Walk(table="device", along="node_id = ANY(%(found_nodes)s)"),
        ]
    if asked.node_ids is not None:
        return [_Walk(table="device", along="node_id = ANY(%(nodes)s)")]
    if asked.states is not None:
        return list(dict.fromkeys(walk for state in asked.states for walk in _OF_STATE[state]))
    if asked.healths is not None and "ok" not in asked.healths:
        return [_OF_HEALTH[health] for health in asked.healths]
    return [_NODES]


def _keys(walk: _Walk, asked: Asked, after: Key | None) -> str:
    """What one walk finds: columns, tables and conditions of a SELECT.

    Each look-up refers to the one before, so that what shows soonest that there is nothing comes first.
    """
    where = _conditions(asked)
    if walk.table == "device":
        start = "s"
        tables = f"""({_steps(walk, asked, after)}) s
            CROSS JOIN LATERAL (SELECT * FROM device WHERE id = s.id OFFSET 0) d
            CROSS JOIN LATERAL (SELECT * FROM node WHERE id = d.node_id OFFSET 0) n
            LEFT JOIN LATERAL (SELECT * FROM capacity WHERE id = d.capacity_id OFFSET 0) c ON true"""
    else:
        start = "n"
        tables = f"""({_steps(walk, asked, after, also=", labels, is_available, missing_since")}) n
            CROSS JOIN LATERAL (
                SELECT * FROM capacity WHERE pool_id = n.pool_id AND node_id = n.node_id OFFSET 0) c
            CROSS JOIN LATERAL (SELECT * FROM device WHERE node_id = c.node_id OFFSET 0) d"""
        where += ["c.kind = 'cards'", "d.capacity_id = c.id", *_of_cards("c", asked)]
        where += [walk.sums.format("c")] if walk.sums else []
    if after is not None:
        where.append(f"({start}.pool_id, {start}.node_id, d.id) > (%(after_pool)s, %(after_node)s, %(after_device)s)")
    order = f"{start}.pool_id, {start}.node_id, d.id"
    return f"{order} FROM {tables} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT %(count)s"


def _steps(walk: _Walk, asked: Asked, after: Key | None, *, also: str = "", only_last: bool = False) -> str:
    """The rows that a walk passes: with ``only_last`` the last of all that it may take, if there are so many."""
    columns = ["pool_id", "id"] if walk.table == "node" else ["pool_id", "node_id", "id"]
    names = "pool_id, id AS node_id" if walk.table == "node" else "pool_id, node_id, id"
    where = [walk.along]
    if pools := _pools(walk, asked):
        where.append(f"pool_id = ANY(ARRAY({pools}))")
    if after is not None:
        # A node may have devices on both sides of the cursor.
        bounds = ["%(after_pool)s", "%(after_node)s", "%(after_device)s"][: len(columns)]
        where.append(f"({', '.join(columns)}) >= ({', '.join(bounds)})")
    most = _most_steps(walk, asked)
    cut = f"OFFSET {most - 1} LIMIT 1" if only_last else f"LIMIT {most}"
    return f"SELECT {names}{also} FROM {walk.table} WHERE {' AND '.join(where)} ORDER BY {', '.join(columns)} {cut}"


def _most_steps(walk: _Walk, asked: Asked) -> int:
    if walk.table == "device":
        return MOST_DEVICES
    return MOST_NODES_OF_LABELS if asked.labels and asked.states is None else MOST_NODES


def _end(
    cursor: CursorWrapper, walks: Sequence[_Walk], asked: Asked, after: Key | None, params: Mapping[str, Any]
) -> Key | None:
    """Return where the first of these walks ended because it took all its steps; None when each saw everything."""
    if not walks:
        return None
    device = {"node": "%(last)s", "device": "id"}
    pieces = (
        f"(SELECT pool_id, node_id, {device[walk.table]} FROM ({_steps(walk, asked, after, only_last=True)}) s)"
        for walk in walks
    )
    cursor.execute(" UNION ALL ".join(pieces), params)
    return min(((pool, node, last) for pool, node, last in cursor.fetchall()), default=None)


def _pools(walk: _Walk, asked: Asked) -> str:
    """Which pools can have what is asked for, as a query; the sums by pool say so without a look at any node."""
    where = []
    if asked.pool_ids is not None:
        where.append("p.id = ANY(%(pools)s)")
    if asked.kinds is not None:
        where.append("p.kind = ANY(%(kinds)s)")
    sums = [*_of_cards("r", asked), *([walk.sums.format("r")] if walk.sums else [])]
    if sums and walk.table == "node":
        where.append(
            "EXISTS (SELECT FROM capacity_rollup r WHERE r.pool_id = p.id AND r.kind = 'cards' AND r.units > 0 AND "
            f"{' AND '.join(sums)})"
        )
    return f"SELECT p.id FROM pool p WHERE {' AND '.join(where)}" if where else ""


def _of_cards(row: str, asked: Asked) -> list[str]:
    """What a row of capacity or of its sums shows where devices of the models and profiles are."""
    where = []
    if asked.model_ids is not None:
        where.append(f"{row}.model_id = ANY(%(models)s)")
    if asked.profiles is not None:
        where.append(f"{row}.profile = ANY(%(profiles)s)")
    return where


def _conditions(asked: Asked) -> list[str]:
    """What a device (d) on its node (n), counted in its capacity row (c), must fulfil."""
    where = ["d.retired_at IS NULL"] if asked.states is None else [f"{_STATE} = ANY(%(states)s)"]
    where += _of_cards("d", asked)
    if asked.healths is not None:
        where.append("d.health = ANY(%(healths)s)")
    if asked.node_ids is not None:
        where.append("d.node_id = ANY(%(nodes)s)")
    if asked.pci_prefix is not None:
        where.append("starts_with(d.pci_address, %(pci_prefix)s)")
    return where + [references.labelled_in_sql(number, wanted) for number, wanted in enumerate(asked.labels)]


def _params(asked: Asked, after: Key | None, count: int) -> dict[str, Any]:
    pool, node, device = after or (None, None, None)
    found_devices, found_nodes = asked.found or (None, None)
    params = {
        "pools": asked.pool_ids,
        "kinds": _list(asked.kinds),
        "models": asked.model_ids,
        "profiles": _list(asked.profiles),
        "states": _list(asked.states),
        "healths": _list(asked.healths),
        "nodes": asked.node_ids,
        "pci_prefix": asked.pci_prefix,
        "found_devices": found_devices,
        "found_nodes": found_nodes,
        "after_pool": pool,
        "after_node": node,
        "after_device": device,
        "last": _LAST,
        "count": count,
    }
    return params | references.label_params(asked.labels)


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)
