"""Orders: what members want of their targets. Always under the lock of their allocations, before that of targets."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from connectors import catalog
from pools.domain import targets
from pools.services import arrays, sql

_MEMBERS: Final = """
SELECT m.allocation_id, m.index, m.pool_id, p.kind, p.mode, m.node_id, n.ref, a.project_id
FROM member m JOIN allocation a ON a.id = m.allocation_id JOIN pool p ON p.id = m.pool_id
    LEFT JOIN node n ON n.id = m.node_id
WHERE m.allocation_id = ANY(%s) ORDER BY m.allocation_id, m.index
"""


def want(cursor: Any, allocation_ids: Collection[UUID], installation: str, *, now: datetime) -> None:
    """Let all members of allocations be carried: their targets are made or marked due in the same transaction."""
    cursor.execute(_MEMBERS, [list(allocation_ids)])
    rows = []
    for allocation_id, index, pool_id, kind, mode_name, node_id, node_ref, project_id in cursor.fetchall():
        mode = targets.mode_of(catalog.manifest(kind), mode_name)
        key = targets.key(
            mode, installation, allocation_id=allocation_id, index=index, pool_id=pool_id, node_ref=node_ref
        )
        # What a node has carries the orders of many projects, what an allocation has may lie on many nodes.
        node = None if mode.per == "allocation" else node_id
        project = None if mode.per == "node" else project_id
        rows.append((allocation_id, index, pool_id, key.kind, key.ref, node, project, mode.name))
    names = ("allocations", "indexes", "pools", "kinds", "refs", "nodes", "projects", "modes")
    columns = [arrays.literal(column) for column in zip(*rows, strict=True)]
    if rows:
        sql.run(cursor, "target_want", dict(zip(names, columns, strict=True)) | {"now": now})


def leave(cursor: Any, allocation_ids: Collection[UUID], *, now: datetime) -> None:
    """Let nothing of allocations be carried any more. What was never ordered has nothing to be taken off."""
    sql.run(cursor, "target_leave", {"ids": list(allocation_ids), "now": now})


def ask_again(cursor: Any, allocation_ids: Collection[UUID], *, now: datetime) -> None:
    """Let what is being taken off already be asked for at once, as if nobody had stood in its way. Before ``leave``."""
    if allocation_ids:
        sql.run(cursor, "target_again", {"ids": list(allocation_ids), "now": now})


def call_gone(cursor: Any, allocation_id: UUID, *, now: datetime) -> list[int]:
    """Take somebody's word that nothing is left of members that cannot be taken off; return their indexes."""
    sql.run(cursor, "target_called_gone", {"id": allocation_id, "now": now})
    return [row[0] for row in cursor.fetchall()]


def touch(cursor: Any, allocation_ids: Collection[UUID], *, now: datetime) -> None:
    """Let what is carried be applied anew, because its lease or its keys changed."""
    sql.run(cursor, "target_touch", {"ids": list(allocation_ids), "now": now})
