"""Statements of the path of a claim are planned once a connection."""

import pytest
from django.db import connection, transaction
from django.db.utils import DataError
from django.test.utils import CaptureQueriesContext

from pools.selectors import prepared

pytestmark = pytest.mark.django_db(transaction=True)
STATEMENT = "SELECT id FROM pool WHERE name = ANY(%(names)s::text[])"


def plans():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%%FROM pool%%'"
        )
        return cursor.fetchall()


def ask(names):
    with prepared.cursor() as cursor:
        cursor.execute(STATEMENT, {"names": names})
        return cursor.fetchall()


class TestAStatementThatEveryClaimRuns:
    def test_is_planned_once_whatever_its_values_and_however_often_it_runs(self):
        connection.close()

        for names in (["a"], [], ["b", "c"]):
            ask(names)

        assert plans() == [(3, 0)]

    def test_is_planned_once_also_where_the_connection_began_with_a_transaction_that_was_taken_back(self):
        connection.close()
        with transaction.atomic():
            ask(["a"])
            transaction.set_rollback(True)

        ask(["a"])

        assert plans() == [(1, 0)]  # the driver prepares anew after it, still for all values

    def test_is_counted_like_any_other(self):
        with CaptureQueriesContext(connection) as seen:
            ask(["a"])

        assert len(seen.captured_queries) == 1

    def test_that_fails_raises_what_django_raises(self):
        with pytest.raises(DataError), prepared.cursor() as cursor:
            cursor.execute("SELECT 1 / %(zero)s::integer", {"zero": 0})
