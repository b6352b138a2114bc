"""The application can add to append-only tables and cannot change or remove anything in them."""

from datetime import UTC, datetime

import pytest
from django.db import ProgrammingError, connection, transaction

from ocenter import roles
from ocenter.addresses import APP
from pools.models import PARTITIONED_TABLES


def partitions_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        return [name for (name,) in cursor.fetchall()]


def as_application(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {APP}")
        cursor.execute(statement)


@pytest.mark.django_db
class TestApplication:
    @pytest.mark.parametrize("change", ["UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}"])
    @pytest.mark.parametrize("table", PARTITIONED_TABLES)
    def test_cannot_change_what_is_append_only_nor_any_partition_of_it(self, table, change):
        tables = [table, *partitions_of(table)]

        for name in tables:
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                as_application(change.format(name))

        assert len(tables) > 1

    @pytest.mark.parametrize("table", PARTITIONED_TABLES)
    def test_cannot_change_a_partition_that_was_made_later(self, table):
        with connection.cursor() as cursor:
            cursor.execute("SELECT append_only_partition(%s, '2031-01-01')", [table])

        for change in ("UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                as_application(change.format(f"{table}_y2031m01"))

        as_application(f"SELECT count(*) FROM {table}_y2031m01")

    def test_may_add_to_what_is_append_only(self):
        at = datetime.now(UTC).isoformat()

        as_application(
            "INSERT INTO audit_event (at, actor, action, object_kind, object_id)"
            f" VALUES ('{at}', 'user:1', 'pool.created', 'pool', 'x')"
        )

    def test_may_do_everything_else(self):
        as_application("UPDATE app_user SET display_name = ''")
        as_application("DELETE FROM django_session")

    @pytest.mark.parametrize("statement", ["CREATE TABLE mine (x int)", "DELETE FROM django_migrations"])
    def test_cannot_change_the_schema_nor_say_that_it_was_migrated(self, statement):
        with pytest.raises(ProgrammingError, match="permission denied"):
            as_application(statement)

    def test_may_use_temporary_tables(self):
        as_application("CREATE TEMPORARY TABLE incoming (x int) ON COMMIT DROP")

    def test_gets_the_same_rights_however_often_they_are_given(self):
        roles.grant(using="default")
        roles.grant(using="default")

        with pytest.raises(ProgrammingError, match="permission denied"):
            as_application("DELETE FROM audit_event")
