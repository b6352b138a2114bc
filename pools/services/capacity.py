"""The capacity rows of nodes, made equal to what is recorded of their devices. Always within a merge's transaction."""

from typing import Any

from django.db.backends.utils import CursorWrapper

from pools.services import sql


def refresh(cursor: CursorWrapper, params: dict[str, Any]) -> None:
    """Bring the capacity rows of the nodes in refresh_node, all of one pool, up to date. The caller has them locked.

    ``params`` are {pool, is_advisory}. At pool grain claims take from the pool's own counters, which are the sums of
    its nodes' rows.
    """
    sql.run(cursor, "refresh_new_cards", params)
    cursor.execute("SELECT bool_or(NOT is_new) FROM refresh_node")
    if cursor.fetchone()[0]:
        sql.run(cursor, "refresh_known_cards", params)
    sql.run(cursor, "refresh_hosts", params)
    if params["is_advisory"]:
        sql.run(cursor, "sum_up_pool", params)
