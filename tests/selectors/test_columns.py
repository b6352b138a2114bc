"""Columns arrive as they were sent."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from pools.selectors import columns, prepared

LOW, HIGH = UUID(int=5), UUID(int=2**128 - 1)
BEFORE = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
AFTER = datetime(2026, 7, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=8)))

pytestmark = pytest.mark.django_db


def _asked(casts: str, params: dict[str, Any]) -> Any:
    with prepared.cursor() as cursor:
        cursor.execute(f"SELECT {casts}", params)
        return cursor.fetchone()


class TestAColumn:
    @pytest.mark.parametrize(
        ("make", "kind", "values"),
        [
            (columns.uuids, "uuid", [LOW, HIGH, LOW]),
            (columns.uuids, "uuid", [None, HIGH]),
            (columns.smalls, "smallint", [-(2**15), 2**15 - 1, None]),
            (columns.integers, "integer", [-(2**31), 2**31 - 1, 0, None]),
            (columns.bigints, "bigint", [-(2**63), 2**63 - 1, None]),
            (columns.booleans, "boolean", [True, None, False]),
            (columns.instants, "timestamptz", [BEFORE, AFTER, None]),
            (columns.texts, "text", ["", 'ü "\\{},NULL', None, "NULL"]),
            (columns.blobs, "bytea", [b"\0x\xff", b"", None]),
        ],
    )
    def test_arrives_as_it_was_sent(self, make: Any, kind: str, values: list[Any]) -> None:
        alike = [values[0]] * 3

        found = _asked(f"%(all)s::{kind}[], %(alike)s::{kind}[], %(none)s::{kind}[], %(null)s::{kind}[]", {
            "all": make(values), "alike": make(alike), "none": make([]), "null": make([None])
        })  # fmt: skip

        assert found == (values, alike, [], [None])

    def test_takes_ids_as_bytes(self) -> None:
        found = _asked("%(ids)s::uuid[]", {"ids": columns.keys([LOW.bytes, None, HIGH.bytes])})

        assert found == ([LOW, None, HIGH],)


class TestDocuments:
    STATEMENT = (
        "(SELECT array_agg(coalesce((%(docs_known)s::jsonb[])[number], doc::jsonb)::text) FROM"
        " unnest(%(docs)s::text[], %(docs_number)s::integer[]) each (doc, number))"
    )

    @pytest.mark.parametrize("kinds", [1, 400, 401])
    def test_arrive_each_at_its_row(self, kinds: int) -> None:
        sent = [None if row % kinds == 5 else f'{{"ü": {row % kinds}}}' for row in range(600)]

        found = _asked(
            self.STATEMENT, columns.documents("docs", [None if each is None else each.encode() for each in sent])
        )

        assert found == (sent,)


class TestSlices:
    def test_are_the_lists_of_the_rows(self) -> None:
        lists = [[3, 1], [], None, (7,)]

        params = columns.slices("parts", lists, columns.integers)

        found = _asked(
            "(SELECT array_agg((%(parts)s::integer[])[a:z]::text) FROM"
            " unnest(%(parts_first)s::integer[], %(parts_last)s::integer[]) each (a, z))",
            params,
        )
        assert found == (["{3,1}", "{}", None, "{7}"],)
