"""The sealer: every row gets into one seal, whoever dies and however many seal; what is done to the logs is found."""

import os
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections, transaction

from pools.domain.seals import STREAMS, SealHead
from pools.models import AuditEvent
from pools.reconcile import sweep
from pools.selectors import seals as sealed
from pools.services import partitions, retention, seal_keys, seals, verification
from tests import logs
from tests.factories import ALICE, NOW

LATER = NOW + timedelta(minutes=1)
OTHER_KEY = "b" * 43 + "="


@pytest.fixture
def empty_logs(db):
    logs.empty()


@pytest.fixture
def committed_logs(transactional_db):
    logs.empty()
    yield
    logs.empty()


def verified(**known):
    return verification.run(actor=ALICE, now=LATER, known=known)


def kinds(result) -> set[str]:
    return {finding.kind for stream in result.streams for finding in stream.findings}


def named(result) -> list[tuple[str, int | None, int | None]]:
    return [(each.kind, each.row, each.seal) for stream in result.streams for each in stream.findings]


def dying(statement: bytes) -> bytes:
    """In the place of the signature."""
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


@pytest.mark.usefixtures("empty_logs")
class TestTheSealer:
    @pytest.mark.parametrize("stream", STREAMS)
    def test_seals_each_row_once_and_in_a_chain(self, stream):
        ids = [logs.write(count, xid=xid, stream=stream) for xid, count in ((10, 3), (11, 2))]
        assert seals.seal(now=NOW) == 5
        ids.append(logs.write(4, xid=12, stream=stream))
        assert seals.seal(now=LATER) == 4 and seals.seal(now=LATER) == 0

        with transaction.atomic(), sealed.everything(stream) as (made, rows):
            made, rows = list(made), list(rows)
        assert [seal.ids for seal in made] == [ids[0] + ids[1], ids[2]]
        assert [row.leaf for row in rows] == [leaf for seal in made for leaf in sealed.merkle.split(seal.leaves)]
        assert made[1].previous_root == made[0].root and [seal.number for seal in made] == [1, 2]
        assert all(seal_keys.has_sealed(seal) for seal in made)

    def test_waits_for_the_oldest_transaction_that_runs(self):
        logs.write(xid=10)
        AuditEvent.objects.create(at=NOW, actor="a", action="b", object_kind="c", object_id="d")  # of this one

        assert seals.seal(now=NOW) == 1

    def test_never_mixes_two_months(self):
        for xid, month in ((10, 11), (11, 12), (12, 11)):
            logs.write(2, xid=xid, at=datetime(2026, month, 30, tzinfo=UTC))

        assert [seals.seal(now=NOW) for _ in range(4)] == [2, 2, 2, 0]
        months = logs.run("SELECT month::text FROM seal ORDER BY number")
        assert months == [("2026-11-01",), ("2026-12-01",), ("2026-11-01",)]

    def test_takes_a_backlog_in_pieces_that_may_end_inside_a_transaction(self, monkeypatch):
        monkeypatch.setattr(seals, "ROWS_IN_SEAL", 4)
        monkeypatch.setattr(seals, "SEALS_AT_ONCE", 2)
        logs.write(10, xid=10)

        assert [seals.seal(now=NOW) for _ in range(3)] == [8, 2, 0]
        assert logs.seal_rows() == [(1, 4), (2, 4), (3, 2)] and verified().is_ok

    def test_without_a_key_seals_nothing(self, settings):
        settings.SEAL_KEYS = ()
        logs.write()

        assert seals.seal(now=NOW) == 0 and logs.seal_rows() == []

    def test_goes_on_with_a_new_key_and_the_old_ones_public_half_verifies(self, settings):
        logs.sealed(2)
        (old,) = seal_keys.public_keys().values()
        settings.SEAL_KEYS = (OTHER_KEY, f"public:{old}")
        logs.write(xid=20)
        seals.seal(now=NOW)

        assert verified().is_ok
        settings.SEAL_KEYS = (OTHER_KEY,)
        assert named(verified()) == [("seal_unsigned", None, 1)]

    def test_is_called_by_the_tick(self):
        logs.write(3)

        sweep.sweep(clock=lambda: NOW)

        assert logs.seal_rows() == [(1, 3)]

    def test_asks_the_database_little_when_there_is_nothing(self, django_assert_num_queries):
        logs.sealed(2)

        with django_assert_num_queries(2 * (3 + 2)):  # lock, last seal and rows, inside a savepoint
            assert seals.seal(now=NOW) == 0

    def test_may_only_add_seals(self):
        logs.sealed(2)

        for statement in ("UPDATE seal SET number = 7", "DELETE FROM seal", "TRUNCATE seal"):
            with pytest.raises(Exception, match="permission denied"), transaction.atomic():
                logs.run("SET LOCAL ROLE ocenter_app")
                logs.run(statement)
        logs.run("SET LOCAL ROLE ocenter_app")
        logs.write(xid=20)
        assert seals.seal(now=NOW) == 1


@pytest.mark.usefixtures("committed_logs")
class TestSealers:
    def test_at_once_double_nothing_and_lose_nothing(self, monkeypatch):
        monkeypatch.setattr(seals, "ROWS_IN_SEAL", 3)
        ids = logs.write(60, xid=10)
        start = threading.Barrier(4)

        def seal():
            try:
                start.wait()
                for _ in range(20):
                    seals.seal(now=NOW)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=seal) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seals.seal(now=NOW)

        assert sorted(row_id for (row_id,) in logs.run("SELECT unnest(ids) FROM seal")) == ids
        assert verified().is_ok

    def test_killed_between_reading_and_sealing_double_nothing_and_lose_nothing(self):
        logs.sealed(2)
        logs.write(3, xid=20)
        connections.close_all()
        child = os.fork()
        if child == 0:
            seal_keys.sign = dying
            seals.seal(now=NOW)
            os._exit(0)

        assert os.waitpid(child, 0)[1] == signal.SIGKILL and logs.seal_rows() == [(1, 2)]
        assert seals.seal(now=LATER) == 3 and logs.seal_rows() == [(1, 2), (2, 3)]
        assert verified().is_ok

    def test_remember_the_last_seal_outside_of_the_database(self):
        logs.sealed(2, 3)

        head, _ = sealed.last("audit_event")

        assert seals.noted("audit_event") == head and head.number == 2


@pytest.mark.usefixtures("empty_logs")
class TestVerification:
    def test_of_untouched_logs_is_well_and_leaves_its_result_in_the_audit(self):
        logs.sealed(3, 2)
        logs.sealed(4, stream="ledger_event")
        logs.write(2, xid=50)

        result = verified()

        assert result.is_ok and [stream.rows for stream in result.streams] == [5, 4]
        assert [stream.unsealed_rows for stream in result.streams] == [2, 0]
        row = AuditEvent.objects.get(action="audit.verified")
        assert row.actor == "alice" and row.after["streams"][0]["head"]["number"] == 2

    @pytest.mark.parametrize("stream", STREAMS)
    @pytest.mark.parametrize("change", ["at = at + interval '1 s'", "at = at + interval '30 d'", "xid = '10'"])
    def test_names_a_changed_row(self, stream, change):
        _, ids, _ = logs.sealed(3, 3, 3, stream=stream)

        logs.run(f"UPDATE {stream} SET {change} WHERE id = %s", [ids[1]])

        assert named(verified()) == [("row_changed", ids[1], 2)]

    def test_names_a_row_that_was_given_another_id(self):
        _, ids, _ = logs.sealed(3, 3, 3)

        logs.inserted_in_the_past(800, xid=11)
        logs.run("DELETE FROM audit_event WHERE id = %s", [ids[1]])

        assert named(verified()) == [("row_deleted", ids[1], 2), ("row_inserted", 800, 3)]

    @pytest.mark.parametrize("column", ["actor", "before", "after", "project_id", "request_id", "reason"])
    def test_names_a_row_in_which_any_column_was_changed(self, column):
        (ids,) = logs.sealed(3)
        value = {"before": "'{}'", "after": "'{\"n\": 1.0}'", "project_id": "gen_random_uuid()"}.get(
            column, "'mallory'"
        )

        logs.run(f"UPDATE audit_event SET {column} = {value} WHERE id = %s", [ids[2]])

        assert named(verified()) == [("row_changed", ids[2], 1)]

    def test_names_a_deleted_row(self):
        _, ids = logs.sealed(3, 3)

        logs.run("DELETE FROM audit_event WHERE id = %s", [ids[0]])

        assert named(verified()) == [("row_deleted", ids[0], 2)]

    def test_names_a_row_that_was_inserted_in_the_past(self):
        logs.sealed(3, 3)

        logs.inserted_in_the_past(900)

        assert named(verified()) == [("row_inserted", 900, 2)]

    def test_names_a_seal_with_a_changed_leaf(self):
        (ids, _) = logs.sealed(3, 3)

        logs.run("UPDATE seal SET leaves = overlay(leaves placing %s from 1) WHERE number = 1", [bytes(32)])

        assert named(verified()) == [("seal_changed", None, 1), ("row_changed", ids[0], 1)]

    @pytest.mark.parametrize("change", ["month = '2020-01-01'", "sealed_at = now()", "to_xid = '90'", "key_id = 'x'"])
    def test_names_a_seal_in_which_anything_else_was_changed(self, change):
        logs.sealed(3, 3)

        logs.run(f"UPDATE seal SET {change} WHERE number = 1")

        assert ("seal_unsigned", None, 1) in named(verified())

    def test_names_a_deleted_seal(self):
        logs.sealed(3, 3, 3)

        logs.run("DELETE FROM seal WHERE number = 2")

        assert named(verified()) == [("seal_deleted", None, 2)]

    def test_names_the_last_seal_when_it_was_deleted_though_its_rows_were_sealed_anew(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            *_, last = logs.sealed(3, 3)
        logs.run("DELETE FROM seal WHERE number = 2")
        assert named(verified()) == [("seal_lost", None, 2)]
        logs.run("DELETE FROM audit_event WHERE id = %s", [last[0]])
        with django_capture_on_commit_callbacks(execute=True):
            assert seals.seal(now=LATER) == 2

        assert named(verified()) == [("seal_lost", None, 2)], "the new one is not taken for it"

    def test_accepts_a_restored_backup_when_a_person_says_so(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            logs.sealed(3, 3)
        logs.run("DELETE FROM seal WHERE number = 2")

        verification.accept_restore(actor=ALICE, now=LATER)

        row = AuditEvent.objects.get(action="audit.restored")
        assert verified().is_ok
        assert (row.before["audit_event"]["number"], row.after["audit_event"]["number"]) == (2, 1)

    def test_says_so_when_the_server_counts_transactions_anew(self):
        logs.sealed(2)
        logs.run("UPDATE seal SET to_xid = '9000000000000'")

        assert "counter_behind" in kinds(verified())

    def test_is_not_kept_by_anything_of_which_it_was_not_told(self):
        first = SealHead(number=1, root="00" * 32)

        assert kinds(verified(audit_event=verification.Known(first.number, first.root))) == {"seal_lost"}


class TestRetention:
    FOR_EVER = dict.fromkeys(retention.TABLES, 0)
    AUDIT_ONLY = FOR_EVER | {"audit_event": 60}
    MARCH, APRIL = datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 4, 9, tzinfo=UTC)

    @pytest.fixture(autouse=True)
    def _months(self, empty_logs):
        partitions.ensure(now=self.MARCH)

    def clean(self):
        return retention.clean(keep_days=self.AUDIT_ONLY, now=NOW)

    def test_drops_what_is_sealed_keeps_the_seals_and_says_so(self):
        logs.sealed(3, 2, at=self.MARCH)
        logs.write(2, xid=30)
        seals.seal(now=NOW)

        self.clean()

        result = verified()
        assert result.is_ok and result.streams[0].rows == 2 and len(logs.seal_rows()) == 3
        said = AuditEvent.objects.get(action="audit.month_dropped", object_name="2026-03")
        assert said.after["rows"] == 5 and said.object_id == "audit_event"

    def test_keeps_a_month_with_a_row_that_is_not_sealed_and_all_after_it(self):
        logs.sealed(3, at=self.MARCH)
        logs.write(xid=30, at=self.MARCH)
        logs.write(2, xid=31, at=self.APRIL)

        self.clean()

        assert AuditEvent.objects.filter(at__month__in=(3, 4)).count() == 6 and verified().is_ok

    def test_keeps_a_month_that_was_tampered_with_so_that_it_stays_found(self):
        (ids,) = logs.sealed(3, at=self.MARCH)
        logs.run("UPDATE audit_event SET actor = 'mallory' WHERE id = %s", [ids[0]])

        self.clean()

        assert named(verified()) == [("row_changed", ids[0], 1)]

    def test_without_a_statement_is_found_whoever_dropped_the_month(self):
        ids, _ = logs.sealed(3, 2, at=self.MARCH)

        logs.run("DROP TABLE audit_event_y2026m03")

        assert named(verified()) == [("row_deleted", ids[0], 1)]

    def test_with_a_statement_that_the_database_made_up_is_found(self):
        logs.sealed(3, 2, at=self.MARCH)
        said = '{"stream": "audit_event", "through": "2026-03-01", "rows": 5, "key_id": "x", "signature": "00"}'
        logs.run("DROP TABLE audit_event_y2026m03")
        logs.run(
            "INSERT INTO audit_event (at, actor, action, object_kind, object_id, object_name, after) "
            "VALUES (%s, 'system', 'audit.month_dropped', 'log', 'audit_event', '2026-03', %s)",
            [NOW, said],
        )

        assert {"row_deleted", "drop_unsigned"} == kinds(verified())
