"""Who may do what in the database: the owner migrates, the application cannot change what is append-only."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connections
from psycopg import sql

from pools.models import APPEND_ONLY_TABLES


def grant(*, using: str) -> None:
    """Give the application its rights on every table there is. Runs after each migrate, as the owner.

    New tables and partitions begin as append-only by default privileges, so that none is ever open for a moment.
    Where the owner and the application are one role (one external URL) there is nothing to give.
    """
    app = settings.DATABASE_APP["USER"]
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT current_user")
        if cursor.fetchone()[0] == app:
            return
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [app])
        is_missing = cursor.fetchone() is None
        if is_missing:
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            _run(cursor, create, sql.Identifier(app), sql.Literal(settings.DATABASE_APP["PASSWORD"]))
        for statement in _RIGHTS:
            _run(cursor, sql.SQL(statement), sql.Identifier(app))
        for table in _append_only(cursor, APPEND_ONLY_TABLES):
            revoke = sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON {} FROM {}")
            _run(cursor, revoke, sql.SQL(table), sql.Identifier(app))


_RIGHTS = (
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO {}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {}",
    "GRANT USAGE ON SCHEMA public TO {}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
    "REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {}",
)


def _append_only(cursor: Any, parents: Sequence[str]) -> list[str]:
    """Return the tables and all their partitions, quoted."""
    cursor.execute(
        """
        WITH RECURSIVE kept AS (
            SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)
            UNION SELECT inhrelid FROM pg_inherits JOIN kept ON inhparent = kept.oid
        ) SELECT oid::regclass::text FROM kept
        """,
        [list(parents)],
    )
    return [row[0] for row in cursor.fetchall()]


def _run(cursor: Any, statement: sql.SQL, *parts: sql.Composable) -> None:
    cursor.execute(statement.format(*parts))
