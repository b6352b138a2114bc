"""Checks: who answers, what is missing, and whether a new credential is accepted by the same far end."""

import threading

import pytest
from django.db import connection, connections

from pools.domain.errors import PoolIdentityTaken
from pools.models import AuditEvent, Credential, PoolSync
from pools.reconcile import checks
from pools.reconcile.lanes import Lane
from pools.selectors import due
from pools.services import credentials, pools
from tests.factories import Clock
from tests.reconcile.far_end import ALICE, TOKEN, Simulation

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "new-and-secret"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def draft(tmp_path, clock):
    return Simulation(tmp_path, clock, is_active=False)


@pytest.fixture
def lab(tmp_path, clock):
    return Simulation(tmp_path, clock)


def check(simulation, **more):
    return checks.run(pool_id=simulation.pool.id, clock=simulation.clock, **more)


class TestACheck:
    def test_tells_who_answers_and_makes_a_draft_that_far_end(self, draft):
        result = check(draft)

        draft.pool.refresh_from_db()
        assert result["reachable"] and result["watch"] == result["manage"] == {"ok": True, "missing": []}
        assert draft.pool.identity == result["identity"]["key"] and draft.pool.version == "1"
        assert (draft.sync.check_state, draft.sync.check_result) == ("done", result)

    def test_names_the_permissions_that_are_missing_by_tier(self, draft):
        draft.knobs(missing_watch=("nodes.list",), missing_manage=("targets.write", "targets.delete"))

        result = check(draft)

        assert result["watch"] == {"ok": False, "missing": ["nodes.list"]}
        assert result["manage"] == {"ok": False, "missing": ["targets.write", "targets.delete"]}

    def test_of_a_dead_far_end_says_so_and_what_to_do(self, draft):
        draft.knobs(unreachable_after_observations=0)

        result = check(draft)

        assert not result["reachable"] and result["error"]["code"] == "unreachable"
        assert "Turn off its fault" in result["error"]["message"]
        draft.pool.refresh_from_db()
        assert draft.pool.identity is None

    def test_warns_of_a_clock_that_is_ahead(self, draft):
        draft.knobs(clock_ahead_seconds=7200)

        assert any("7200 s ahead" in warning for warning in check(draft)["warnings"])

    def test_that_finds_another_far_end_changes_nothing(self, lab):
        before = lab.pool.identity = type(lab.pool).objects.get(id=lab.pool.id).identity
        lab.knobs(identity="another-cluster")

        result = check(lab)

        lab.pool.refresh_from_db()
        assert result["error"]["code"] == "identity_changed" and lab.pool.identity == before

    def test_does_not_let_the_same_far_end_be_registered_twice(self, lab, tmp_path, clock):
        again = Simulation(tmp_path, clock, "again", is_active=False, fleet="lab")
        check(again)

        with pytest.raises(PoolIdentityTaken):
            pools.activate(pool_id=again.pool.id, actor=ALICE, now=clock())

    def test_of_a_removed_pool_is_none(self, lab, clock):
        pools.remove(pool_id=lab.pool.id, actor=ALICE, now=clock())

        assert check(lab) is None

    def test_of_a_pool_that_was_edited_meanwhile_is_made_again(self, draft, clock, monkeypatch):
        pools.request_check(pool_id=draft.pool.id, actor=ALICE, now=clock())
        real = checks._check

        def edited_meanwhile(target):
            found = real(target)
            pools.edit(
                pool_id=draft.pool.id, changes={"settings": {"seed": 7}}, generation=None, actor=ALICE, now=clock()
            )
            pools.request_check(pool_id=draft.pool.id, actor=ALICE, now=clock())
            return found

        with monkeypatch.context() as once:
            once.setattr(checks, "_check", edited_meanwhile)
            assert check(draft) is None

        draft.pool.refresh_from_db()
        assert draft.pool.identity is None, "that of the old settings is not believed"
        assert due.checks() == [(draft.pool.id, "simulated")]
        result = check(draft)
        draft.pool.refresh_from_db()
        assert draft.pool.identity == result["identity"]["key"]

    def test_is_made_once_however_many_hints_come(self, draft, clock):
        draft.knobs(latency_ms=300)
        pools.request_check(pool_id=draft.pool.id, actor=ALICE, now=clock())
        results = []

        def work():
            results.append(check(draft))
            connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(result is not None for result in results) == 1

    def test_shows_that_it_is_on_and_stays_due_until_it_has_ended(self, draft, clock, monkeypatch):
        pools.request_check(pool_id=draft.pool.id, actor=ALICE, now=clock())
        real, seen = checks._check, []

        def watched(target):
            seen.append((draft.sync.check_state, due.checks()))
            return real(target)

        monkeypatch.setattr(checks, "_check", watched)

        check(draft)

        assert seen == [("running", [(draft.pool.id, "simulated")])], "a worker that dies here is followed by another"
        assert draft.sync.check_state == "done" and due.checks() == []

    def test_leaves_no_lock_behind(self, draft):
        check(draft)

        with connection.cursor() as cursor:
            # Of this database: another worker's tests run on the same server.
            cursor.execute(
                """
                SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """
            )
            assert cursor.fetchone()[0] == 0

    def test_stays_due_when_its_lane_is_full(self, draft, clock):
        pools.request_check(pool_id=draft.pool.id, actor=ALICE, now=clock())

        assert check(draft, lane=Lane(0)) is None

        assert due.checks() == [(draft.pool.id, "simulated")]


class TestANewCredential:
    def replaced(self, lab, token=NEW):
        pools.replace_credential(pool_id=lab.pool.id, values={"token": token}, actor=ALICE, now=lab.clock())
        assert due.checks() == [(lab.pool.id, "simulated")]

    def test_takes_over_when_the_same_far_end_accepts_it(self, lab):
        self.replaced(lab)

        check(lab)

        assert credentials.of_pool(lab.pool.id) == {"token": NEW}
        assert (
            list(Credential.objects.order_by("created_at", "state").values_list("state", flat=True)).count("active")
            == 1
        )
        assert AuditEvent.objects.filter(action="credential.accepted", object_id=str(lab.pool.id)).count() == 1
        assert due.checks() == []

    @pytest.mark.parametrize(
        ("knobs", "token", "reason"),
        [
            ({}, "wrong-and-secret", "does not accept the token"),
            ({"identity": "another-cluster"}, NEW, "Another far end answers"),
            ({"missing_watch": ("nodes.list",)}, NEW, "It lacks nodes.list"),
            ({"unreachable_after_observations": 0}, NEW, "cannot be reached"),
        ],
        ids=["wrong", "another far end", "too few permissions", "dead"],
    )
    def test_is_refused_with_the_reason_and_forgotten(self, lab, knobs, token, reason):
        self.replaced(lab, token)
        lab.knobs(**knobs)

        check(lab)

        refused = Credential.objects.get(state="refused")
        assert reason in refused.problem and bytes(refused.ciphertext) == b""
        assert credentials.of_pool(lab.pool.id) == {"token": TOKEN}, "the old one goes on"
        assert AuditEvent.objects.filter(action="credential.refused", object_id=str(lab.pool.id)).count() == 1
        assert due.checks() == []

    def test_that_is_replaced_while_it_is_checked_is_not_taken_for_the_other(self, lab, monkeypatch):
        self.replaced(lab, "first-and-secret")
        real = checks._check

        def replaced_meanwhile(target):
            found = real(target)
            pools.replace_credential(pool_id=lab.pool.id, values={"token": NEW}, actor=ALICE, now=lab.clock())
            return found

        with monkeypatch.context() as once:
            once.setattr(checks, "_check", replaced_meanwhile)
            check(lab)

        assert credentials.of_pool(lab.pool.id) == {"token": TOKEN} and due.checks() == [(lab.pool.id, "simulated")]
        check(lab)
        assert credentials.of_pool(lab.pool.id) == {"token": NEW}


class TestASecret:
    def test_is_in_no_row_but_its_ciphertext_and_in_no_log(self, lab, caplog):
        caplog.set_level("DEBUG")
        lab.sync_now()
        pools.replace_credential(pool_id=lab.pool.id, values={"token": NEW}, actor=ALICE, now=lab.clock())
        check(lab)
        lab.knobs(missing_watch=("nodes.list",))
        lab.sync_now()
        pools.replace_credential(
            pool_id=lab.pool.id, values={"token": "wrong-and-secret"}, actor=ALICE, now=lab.clock()
        )
        check(lab)

        assert "connector.call" in caplog.text and "and-secret" not in caplog.text
        with connection.cursor() as cursor:
            for table in ("pool", "pool_sync", "sync_run", "audit_event", "inventory_change", "node", "device"):
                cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%and-secret%'")
                assert cursor.fetchone()[0] == 0, table
        assert PoolSync.objects.get().check_result["error"]["code"] == "unauthorized"
