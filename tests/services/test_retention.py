"""What is kept for how long, and who may make it go."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.db import ProgrammingError, connection

from pools.models import PARTITIONED_TABLES, PoolSync, SyncRun
from pools.services import partitions, retention
from tests.factories import NOW, pool

pytestmark = pytest.mark.django_db

FOR_EVER = dict.fromkeys(retention.TABLES, 0)


def months(table):
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        return sorted(name.removeprefix(f"{table}_y") for (name,) in cursor.fetchall())


@pytest.fixture(autouse=True)
def _a_year_of_months():
    for month in range(1, 13):
        partitions.ensure(now=datetime(2025, month, 15, tzinfo=UTC))


class TestPartitions:
    def test_are_there_for_this_month_and_the_next_two(self):
        partitions.ensure(now=datetime(2031, 11, 30, 23, 59, tzinfo=UTC))

        for table in PARTITIONED_TABLES:
            assert {"2031m11", "2031m12", "2032m01"} <= set(months(table))

    def test_are_old_when_their_last_row_is(self):
        old = partitions.older("inventory_change", keep_days=60, now=datetime(2025, 12, 31, tzinfo=UTC))

        assert old == [date(2025, month, 1) for month in range(1, 11)]

    def test_of_a_table_that_is_not_append_only_are_never_old(self):
        with pytest.raises(ValueError, match="pool"):
            partitions.older("pool", keep_days=1, now=NOW)

    def test_cannot_be_dropped_by_the_application(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE ocenter_app")

        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            partitions.drop("audit_event", date(2025, 1, 1), now=NOW)


class TestClean:
    def test_keeps_all_by_zero(self):
        assert retention.clean(keep_days=FOR_EVER, now=NOW) == {} and min(months("audit_event")) == "2025m01"

    @pytest.mark.parametrize("table", PARTITIONED_TABLES)
    def test_drops_months_by_table(self, table):
        gone = retention.clean(keep_days=FOR_EVER | {table: 300}, now=datetime(2026, 1, 1, tzinfo=UTC))

        assert gone == {table: 2} and min(months(table)) == "2025m03"

    def test_deletes_ended_runs_and_keeps_what_is_still_looked_at(self):
        lab = pool()
        ended = {"pool": lab, "trigger": "schedule", "queued_at": NOW, "ended_at": NOW}
        old = [SyncRun.objects.create(state=state, **ended) for state in ("succeeded", "failed", "rejected")]
        held, last = (SyncRun.objects.create(state=state, **ended) for state in ("held", "succeeded"))
        running = SyncRun.objects.create(pool=lab, trigger="manual", state="running", queued_at=NOW)
        PoolSync.objects.filter(pool=lab).update(last_run=last, held_run=held)

        assert retention.clean(keep_days=FOR_EVER | {"sync_run": 90}, now=NOW + timedelta(days=90)) == {"sync_run": 0}
        gone = retention.clean(keep_days=FOR_EVER | {"sync_run": 90}, now=NOW + timedelta(days=91))

        assert gone == {"sync_run": len(old)}
        assert set(SyncRun.objects.values_list("id", flat=True)) == {held.id, last.id, running.id}

    def test_has_a_setting_for_every_table(self):
        assert settings.KEEP_DAYS.keys() == set(retention.TABLES)
