"""Empties the tables after a test that committed.

Django's TRUNCATE makes the files of 50 tables and of 160 indexes anew and then looks up all rights, which takes as long
as most of the tests themselves do. The few rows that a test leaves are deleted in milliseconds.
"""

from functools import cache

from django.db import connection
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission"}
"""What Django writes after migrations; no test changes it."""
MUCH_BYTES = 16 * 2**20
"""Deleted rows keep their room, and the next tests read through it: when it has become this much, it is given back."""


def delete_rows_only() -> None:
    """Do so from now on."""
    setattr(TransactionTestCase, "_fixture_teardown", lambda _case: _empty())  # noqa: B010  # not public


def _empty() -> None:
    deletes, truncate = _statements()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_relation_size(oid)) > %s FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
            [MUCH_BYTES],
        )
        (is_much,) = cursor.fetchone()
        cursor.execute(truncate if is_much else deletes)


@cache
def _statements() -> tuple[str, str]:
    found = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
    tables = [connection.ops.quote_name(table) for table in sorted(found)]
    # Without foreign keys and triggers, so in any order. Several statements at once are one transaction.
    deletes = ["SET LOCAL session_replication_role = replica", *(f"DELETE FROM {table}" for table in tables)]
    return "; ".join(deletes), f"TRUNCATE {', '.join(tables)}"
