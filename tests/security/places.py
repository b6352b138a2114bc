"""Everything that an installation leaves behind: rows, keys of the broker, files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


def rows(connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    """Yield (table, row with all its columns as JSON) of every table there is, and running statements."""
    tables = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND n.nspname NOT LIKE 'pg\\_t%' ORDER BY 1, 2"
    ).fetchall()
    for schema, table in tables:
        name = sql.Identifier(schema, table)
        for (row,) in connection.execute(sql.SQL("SELECT to_jsonb(t)::text FROM {} t").format(name)):
            yield table, row
    for (query,) in connection.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"):
        yield "pg_stat_activity", query


def keys(client: Any) -> Iterator[tuple[str, bytes]]:
    """Yield (key, all that it holds) of one database of Valkey or Redis."""
    readers = {
        b"string": client.get,
        b"list": lambda key: b"\n".join(client.lrange(key, 0, -1)),
        b"set": lambda key: b"\n".join(client.smembers(key)),
        b"hash": lambda key: b"\n".join(each for pair in client.hgetall(key).items() for each in pair),
        b"zset": lambda key: b"\n".join(client.zrange(key, 0, -1)),
    }
    for key in client.scan_iter():
        yield key.decode(errors="replace"), key + b"\n" + (readers[client.type(key)](key) or b"")


def files(folder: Path, *but: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of every file under the folder, through links, without those named in ``but``."""
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():
            yield from files(path.resolve(), *but)
        elif path.is_file() and path.name not in but:
            yield str(path), path.read_bytes()
