"""The frame measures what it says it measures."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from django.db import connection

from tests.bench import accounting, facts, indexes, results
from tests.bench.accounting import Meter, Samples
from tests.bench.fleet import Fleet
from tests.bench.frame import FLEET
from tests.bench.load import COLUMNS, load
from tests.bench.results import Budgets, Results

BURN = "import time\nwhile time.process_time() < {seconds}: pass"
GROUPED = "pool_id, kind, model_id, profile, is_advisory"
SUMMED = (
    "units", "total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli", "free_mib",
    "free_whole",
)  # fmt: skip
NAMED = {
    "sync_first_40k_cpu_s", "sync_nochange_40k_cpu_s", "sync_nochange_40k_rows_written", "sync_1pct_40k_cpu_s",
    "sync_nochange_vs_orm_ratio", "overview_1m_cpu_ms", "sync_worker_rss_mib", "warm_start_cpu_s",
}  # fmt: skip


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class TestMeter:
    def test_counts_the_work_of_its_own_process(self):
        cost = Meter(app=os.getpid()).measure(lambda: burn(0.2))

        assert 0.2 <= cost["app"] < 0.25

    def test_counts_a_child_that_has_ended(self):
        command = [sys.executable, "-S", "-c", BURN.format(seconds=0.3)]

        cost = Meter(app=os.getpid()).measure(lambda: subprocess.run(command, check=True))

        assert 0.28 <= cost["app"] < 0.6

    def test_counts_a_grandchild_that_still_runs(self):
        # The shell waits for another command after it, so it cannot become that command itself.
        inner = f"{sys.executable} -S -c '{BURN.format(seconds=0.2)}\nprint(flush=True); input()'; true"
        with subprocess.Popen(["sh", "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
            assert shell.stdout is not None and shell.stdout.readline()

            seconds = accounting.cpu_seconds([shell.pid])[shell.pid]
            members = accounting.trees([shell.pid])[shell.pid]
            shell.communicate(b"\n")

        assert len(members) == 2 and 0.2 <= seconds < 0.5

    def test_does_not_count_time_that_passes(self):
        cost = Meter(app=os.getpid()).measure(lambda: time.sleep(0.2))

        assert cost["app"] < 0.05

    @pytest.mark.django_db
    def test_counts_what_the_backends_of_postgresql_do(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            postmaster = accounting.parent(cursor.fetchone()[0])

            cost = Meter(app=os.getpid(), postgresql=postmaster).measure(
                lambda: cursor.execute("SELECT sum(sqrt(n)) FROM generate_series(1, 1000000) n")
            )

        assert cost["postgresql"] > 0.05 and cost["app"] < 0.05

    def test_takes_turns(self):
        order: list[str] = []

        samples = Meter(app=os.getpid()).alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)

        assert order == ["a", "b"] * 3 and [len(each.seconds) for each in samples.values()] == [3, 3]

    def test_counts_a_server_that_this_process_started_once(self):
        command = [sys.executable, "-S", "-c", f"input()\n{BURN.format(seconds=0.2)}\nprint(flush=True); input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:

            def ask():
                assert server.stdin is not None and server.stdout is not None
                server.stdin.write(b"\n")
                server.stdin.flush()
                server.stdout.readline()

            cost = Meter(app=os.getpid(), server=server.pid).measure(ask)
            server.communicate(b"\n")

        assert cost["server"] > 0.15 and cost["app"] < 0.05

    def test_says_so_when_the_process_is_elsewhere(self):
        with pytest.raises(accounting.NotOnThisMachine):
            accounting.cpu_seconds([2**22 + 1])


class TestArithmetic:
    def test_growth_of_nothing_something_and_all(self):
        assert accounting.growth_exponent({10: 3, 1000: 3}) == pytest.approx(0)
        assert accounting.growth_exponent({10: 1, 100: 10**0.5, 1000: 10}) == pytest.approx(0.5)
        assert accounting.growth_exponent({10: 1, 100: 10, 1000: 100}) == pytest.approx(1)

    def test_a_ratio_pairs_slices_that_ran_side_by_side(self):
        slow = Samples([{"app": 20.0}, {"app": 300.0}, {"app": 21.0}])
        fast = Samples([{"app": 2.0}, {"app": 30.0}, {"app": 1.0}])

        assert accounting.ratio(slow, fast) == 10

    def test_a_percentile_is_one_of_the_values(self):
        assert accounting.percentile([3, 1, 2], 95) == 3 and accounting.percentile(range(1, 101), 95) == 95


class TestBudgets:
    def test_kept_broken_from_above_and_below_and_forgotten(self):
        allowed: Budgets = {"sync": {"a_s": {"max": 2}, "b_s": {"max": 2}, "c_ratio": {"min": 15}, "d_s": {"max": 1}}}

        sentences = results.over({"a_s": 2.0, "b_s": 2.1, "c_ratio": 14.9}, allowed)

        assert [sentence.split()[0] for sentence in sentences] == ["b_s", "c_ratio", "d_s"]

    def test_the_file_bounds_every_key_that_the_issue_names(self):
        full = results.budgets(is_quick=False, groups=("sync", "pages", "start"))

        assert {key for group in full.values() for key in group} >= NAMED

    def test_results_are_flat_json_and_a_table_with_the_machine(self, tmp_path):
        measured = Results()
        measured.record("a_s", 1.23456, "how")
        measured.record("rows_written", 0)

        results.write(measured, {"sync": {"a_s": {"max": 1}}}, tmp_path, title="t", server="PostgreSQL 18")

        text = (tmp_path / "results.md").read_text()
        assert json.loads((tmp_path / "results.json").read_text()) == {"a_s": 1.235, "rows_written": 0}
        assert "| `a_s` | 1.235 | ≤ 1 | how |" in text and "CPUs" in text and "more than the 1 allowed" in text

    def test_results_of_other_groups_stay_and_those_of_a_group_that_ran_are_new(self, tmp_path):
        for key, value in (("a_s", 1.0), ("b_s", 2.0)):
            before = Results()
            before.record(key, value)
            results.write(before, {}, tmp_path, title="t", server="PostgreSQL 18")

        now_broken = {"a": {"a_s": {"max": 1}, "a_mib": {"max": 1}}}
        measured = Results()
        measured.record("a_mib", 3)
        results.write(measured, now_broken, tmp_path, title="t", server="PostgreSQL 18")

        assert json.loads((tmp_path / "results.json").read_text()) == {"b_s": 2.0, "a_mib": 3}


@pytest.fixture
def cursor(db):
    with connection.cursor() as cursor:
        # psycopg commits by itself what it finds outside a transaction, and Django begins one with the first statement.
        cursor.execute("SELECT 1")
        yield cursor


class TestFleet:
    @pytest.mark.parametrize("devices", [3, 1000])
    def test_its_rollups_are_the_sums_of_its_capacity(self, cursor, devices):
        load(connection.connection, Fleet(devices=devices), datetime.now(UTC))

        sums = ", ".join(f"sum({name})" for name in SUMMED)
        cursor.execute(f"SELECT {GROUPED}, {sums} FROM capacity GROUP BY {GROUPED}")
        summed = set(cursor.fetchall())
        cursor.execute(f"SELECT {GROUPED}, {', '.join(SUMMED)} FROM capacity_rollup")
        kept = set(cursor.fetchall())
        assert summed == kept and sum(row[5] for row in kept if row[1] == "cards") == devices

    def test_the_same_seed_makes_the_same_fleet_and_70_percent_are_taken(self, cursor):
        at, seen = datetime.now(UTC), []

        for _ in range(2):
            load(connection.connection, Fleet(devices=2000), at)
            cursor.execute("SELECT md5(string_agg(d::text, '' ORDER BY id)) FROM device d")
            digest = cursor.fetchone()
            cursor.execute("SELECT sum(claimed_milli), sum(total_milli) FROM capacity WHERE kind = 'cards'")
            seen.append((digest, cursor.fetchone()))
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"TRUNCATE {', '.join(FLEET)} CASCADE")

        claimed, total = seen[0][1]
        assert seen[0] == seen[1] and 0.66 < claimed / total < 0.74

    def test_loading_without_indexes_leaves_the_same_indexes_and_keys(self, cursor):
        names = "SELECT indexdef FROM pg_indexes UNION SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        cursor.execute(names)
        before = set(cursor.fetchall())

        statements = indexes.drop(connection.connection.cursor(), list(COLUMNS))
        cursor.execute(names)
        without = set(cursor.fetchall())
        for statement in statements:
            cursor.execute(statement)

        cursor.execute(names)
        assert set(cursor.fetchall()) == before and len(before) > len(without) + 10


class TestFacts:
    def test_one_percent_is_one_percent(self):
        before, after = list(facts.pages(8000)), list(facts.pages(8000, changed_percent=1))

        changed = sum(
            one != other
            for page, same_page in zip(before, after, strict=True)
            for node, same in zip(page.nodes, same_page.nodes, strict=True)
            for one, other in zip(node.devices, same.devices, strict=True)
        )
        assert changed == 80 and before == list(facts.pages(8000))
