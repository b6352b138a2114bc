"""Loads without indexes: it is faster to fill an empty table and index it after than to keep indexes as it grows."""

from collections.abc import Sequence

import psycopg

_FOREIGN_KEYS = """
SELECT format('ALTER TABLE %%I DROP CONSTRAINT %%I', c.relname, k.conname),
       format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', c.relname, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND c.relname = ANY(%(tables)s) AND c.relnamespace = current_schema()::regnamespace
"""
_INDEXES = """
SELECT format('DROP INDEX %%I', i.relname), pg_get_indexdef(i.oid)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
WHERE c.relname = ANY(%(tables)s) AND c.relnamespace = current_schema()::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
"""


def drop(cursor: psycopg.Cursor, tables: Sequence[str]) -> list[str]:
    """Take the indexes and foreign keys of the tables away; return the statements that make them again.

    In one transaction with the load, so that whatever ends it early leaves everything as it was. The indexes behind
    primary keys and constraints stay.
    """
    changes = [
        change
        for query in (_FOREIGN_KEYS, _INDEXES)
        for change in cursor.execute(query, {"tables": list(tables)}).fetchall()
    ]
    for statement, _ in changes:
        cursor.execute(statement)
    return [statement for _, statement in reversed(changes)]
