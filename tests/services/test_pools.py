"""Pools from draft to removal: what people may do, what is refused, and what is left behind."""

from datetime import timedelta

import pytest
from django.db import connection

from pools.domain.actors import Actor
from pools.domain.errors import (
    Invalid,
    PoolChanged,
    PoolIdentityTaken,
    PoolInUse,
    PoolMissing,
    PoolModeFixed,
    PoolNameTaken,
    PoolNotChecked,
    PoolReachable,
    PoolState,
)
from pools.models import (
    AuditEvent,
    Capacity,
    CapacityRollup,
    Credential,
    Device,
    LedgerEvent,
    Node,
    Pool,
    PoolSync,
    SyncRun,
)
from pools.selectors import pools as seen
from pools.services import pools, sync_runs
from tests.factories import EVERYTHING, NOW, Clock, Shows, node, pool, synced

pytestmark = pytest.mark.django_db

ALICE = Actor(name="alice", request_id="req-1", reason="a new rack")
SECRET = "right-and-secret"


def draft(name="lab", **fields):
    given = {"kind": "simulated", "settings": {}, "credential": {"token": SECRET}} | fields
    return pools.register(name=name, actor=ALICE, now=NOW, **given)


def checked(made, key="far-end"):
    found = {"reachable": True, "identity": {"key": key, "label": "Lab", "version": "1.2"}}
    pools.store_check(made.pk, found, NOW)
    return made


def active(name="lab", key="far-end"):
    return pools.activate(pool_id=checked(draft(name), key).pk, actor=ALICE, now=NOW)


class TestRegister:
    def test_stores_a_draft_that_nobody_has_touched(self):
        made = draft(labels={"tier": "prod"}, region="eu-1")

        row = seen.one(made.pk, NOW, EVERYTHING)
        assert (row.state, row.health, row.stale, row.identity) == ("registering", "unknown", True, None)
        assert (row.mode, row.grain, row.sync_interval_seconds) == ("device", "device", 60)
        assert row.draft_expires_at == NOW + timedelta(hours=24)
        assert row.settings["nodes"] == 8, "defaults of the manifest are filled in"

    def test_keeps_the_secret_out_of_everything_but_the_ciphertext(self):
        made = draft()

        credential = seen.one(made.pk, NOW, EVERYTHING).credential
        assert credential and credential.fields == ["token"]
        assert SECRET not in str(list(Pool.objects.values())) + str(list(AuditEvent.objects.values()))
        assert SECRET.encode() not in bytes(Credential.objects.get().ciphertext)

    def test_leaves_an_audit_row_with_actor_request_and_reason(self):
        made = draft()

        row = AuditEvent.objects.get()
        assert (row.action, row.actor, row.request_id, row.reason) == (
            "pool.registered",
            "alice",
            "req-1",
            "a new rack",
        )
        assert (row.object_id, row.object_name, row.before) == (str(made.pk), "lab", None)

    def test_names_all_mistakes_at_once_and_writes_nothing(self):
        with pytest.raises(Invalid) as refused:
            draft(
                "Not A Name",
                labels={"-": "x", "ok": "a,b"},
                region="r" * 64,
                sync_interval_seconds=1,
                mode="psychic",
                settings={"nodes": -1, "token": SECRET},
                credential={"tokn": SECRET},
            )

        fields = [wrong.field for wrong in refused.value.fields]
        assert fields[:6] == ["name", "region", "labels.-", "labels.ok", "sync_interval_seconds", "mode"]
        assert set(fields[6:]) == {"settings.nodes", "settings.token", "credential.tokn"}
        assert SECRET not in str(refused.value) + str(refused.value.fields)
        assert not Pool.objects.exists() and not AuditEvent.objects.exists()

    def test_refuses_a_kind_that_does_not_exist(self):
        with pytest.raises(Invalid, match="kind"):
            draft(kind="mainframe")

    def test_refuses_a_name_that_is_taken_until_its_pool_is_removed(self):
        first = draft()

        with pytest.raises(PoolNameTaken, match='"lab"'):
            draft()

        pools.remove(pool_id=first.pk, actor=ALICE, now=NOW)
        assert draft().pk != first.pk


class TestEdit:
    def test_changes_what_is_given_and_records_only_that(self):
        made = draft(labels={"a": "1"})

        edited = pools.edit(
            pool_id=made.pk,
            changes={"labels": {"b": "2"}, "region": "", "settings": {"nodes": 3}},
            generation=1,
            actor=ALICE,
            now=NOW,
        )

        assert (edited.labels, edited.settings["nodes"], edited.settings["seed"]) == ({"b": "2"}, 3, 1)
        assert edited.generation == 2
        row = AuditEvent.objects.get(action="pool.edited")
        assert row.before and row.before["labels"] == {"a": "1"}
        assert row.after and row.after["labels"] == {"b": "2"} and "region" not in row.after

    def test_without_a_difference_writes_nothing(self):
        made = draft()

        pools.edit(pool_id=made.pk, changes={"name": "lab"}, generation=1, actor=ALICE, now=NOW)

        assert Pool.objects.get().generation == 1 and not AuditEvent.objects.filter(action="pool.edited").exists()

    def test_refuses_who_read_an_older_generation(self):
        made = draft()
        pools.edit(pool_id=made.pk, changes={"region": "x"}, generation=1, actor=ALICE, now=NOW)

        with pytest.raises(PoolChanged):
            pools.edit(pool_id=made.pk, changes={"region": "y"}, generation=1, actor=ALICE, now=NOW)

        assert Pool.objects.get().region == "x"

    def test_of_a_drafts_settings_asks_for_another_check(self):
        made = checked(draft())

        pools.edit(pool_id=made.pk, changes={"settings": {"seed": 7}}, generation=None, actor=ALICE, now=NOW)

        with pytest.raises(PoolNotChecked):
            pools.activate(pool_id=made.pk, actor=ALICE, now=NOW)
        assert seen.check(made.pk).state == "idle"

    def test_of_the_mode_is_over_once_the_pool_is_active(self):
        early = pools.edit(pool_id=draft("a").pk, changes={"mode": "pool"}, generation=None, actor=ALICE, now=NOW)
        late = active("b")

        assert early.grain == "pool"
        with pytest.raises(PoolModeFixed):
            pools.edit(pool_id=late.pk, changes={"mode": "pool"}, generation=None, actor=ALICE, now=NOW)

    def test_refuses_what_cannot_be_edited(self):
        with pytest.raises(Invalid, match="identity"):
            pools.edit(pool_id=draft().pk, changes={"identity": "x"}, generation=None, actor=ALICE, now=NOW)


class TestMoves:
    def test_activation_makes_the_pool_due_at_once(self):
        made = active()

        sync = PoolSync.objects.get(pool=made)
        assert (made.state, made.activated_at, made.draft_expires_at, sync.next_at) == ("active", NOW, None, NOW)

    def test_activation_needs_to_know_the_far_end(self):
        with pytest.raises(PoolNotChecked):
            pools.activate(pool_id=draft().pk, actor=ALICE, now=NOW)

    def test_activation_refuses_a_far_end_that_another_pool_stands_for_and_names_it(self):
        active("first")
        second = checked(draft("second"))

        with pytest.raises(PoolIdentityTaken, match='"first"'):
            pools.activate(pool_id=second.pk, actor=ALICE, now=NOW)

        assert Pool.objects.get(pk=second.pk).state == "registering"

    def test_a_paused_pool_is_not_due_until_it_is_resumed(self):
        made = active()

        pools.pause(pool_id=made.pk, actor=ALICE, now=NOW)
        paused = PoolSync.objects.get(pool=made).next_at
        pools.resume(pool_id=made.pk, actor=ALICE, now=NOW + timedelta(hours=1))

        assert paused is None
        assert PoolSync.objects.get(pool=made).next_at == NOW + timedelta(hours=1)

    def test_a_draining_pool_is_still_observed(self):
        made = active()

        drained = pools.drain(pool_id=made.pk, actor=ALICE, now=NOW)

        assert drained.state == "draining" and PoolSync.objects.get(pool=made).next_at is not None
        assert pools.maintenance(pool_id=made.pk, actor=ALICE, now=NOW).state == "maintenance"
        assert pools.resume(pool_id=made.pk, actor=ALICE, now=NOW).state == "active"

    @pytest.mark.parametrize("move", [pools.pause, pools.resume, pools.drain, pools.maintenance])
    def test_a_draft_can_only_be_activated_or_removed(self, move):
        made = checked(draft())

        with pytest.raises(PoolState, match="registering"):
            move(pool_id=made.pk, actor=ALICE, now=NOW)

    def test_each_leaves_its_own_audit_row(self):
        made = active()
        pools.pause(pool_id=made.pk, actor=ALICE, now=NOW)
        pools.resume(pool_id=made.pk, actor=ALICE, now=NOW)

        rows = AuditEvent.objects.order_by("id").values_list("action", "before", "after")
        assert list(rows)[-2:] == [
            ("pool.paused", {"state": "active"}, {"state": "paused"}),
            ("pool.resumed", {"state": "paused"}, {"state": "active"}),
        ]

    def test_of_a_pool_that_is_gone_says_so(self):
        made = active()
        pools.remove(pool_id=made.pk, actor=ALICE, now=NOW)

        with pytest.raises(PoolMissing):
            pools.pause(pool_id=made.pk, actor=ALICE, now=NOW)


class TestCheck:
    def test_is_queued_and_then_answered(self):
        made = draft()

        pools.request_check(pool_id=made.pk, actor=ALICE, now=NOW)
        queued = seen.check(made.pk)
        checked(made)

        assert (queued.state, queued.requested_at, queued.result) == ("queued", NOW, None)
        assert seen.check(made.pk).state == "done" and seen.one(made.pk, NOW, EVERYTHING).identity == "far-end"

    def test_leaves_an_audit_row_when_it_finds_out_whom_the_pool_stands_for_and_none_when_it_is_the_same(self):
        made = draft()

        checked(made)
        checked(made)

        told = AuditEvent.objects.get(action="pool.identified")
        assert (told.actor, told.before["identity"], told.after["identity"]) == ("system", None, "far-end")

    def test_of_an_active_pool_never_changes_whom_it_stands_for(self):
        made = active(key="mine")

        checked(made, key="somebody-else")

        assert Pool.objects.get().identity == "mine"


class TestRemove:
    @pytest.fixture
    def lab(self):
        made = pool()
        fleet = Shows(node("a"), node("b", is_available=False))
        synced(made, fleet, Clock())
        return made

    def test_retires_the_inventory_and_takes_it_out_of_all_sums(self, lab):
        pools.remove(pool_id=lab.pk, actor=ALICE, now=NOW)

        assert not Node.objects.filter(retired_at=None).exists() and not Device.objects.filter(retired_at=None).exists()
        assert [(r.units, r.total_milli, r.free_milli, r.faulty_milli) for r in CapacityRollup.objects.all()] == [
            (0, 0, 0, 0)
        ] * CapacityRollup.objects.count()

    def test_closes_the_ledger(self, lab):
        opened = LedgerEvent.objects.filter(milli__gt=0).values_list("capacity_id", "kind")
        assert opened, "a node takes no work, so its devices are out of reach"

        pools.remove(pool_id=lab.pk, actor=ALICE, now=NOW)

        for capacity_id, kind in opened:
            events = LedgerEvent.objects.filter(capacity_id=capacity_id, kind=kind)
            assert events.latest("id").milli == 0

    def test_forgets_the_secrets(self):
        made = draft()

        pools.remove(pool_id=made.pk, actor=ALICE, now=NOW)

        assert {bytes(c.ciphertext) for c in Credential.objects.all()} == {b""}

    def test_ends_the_runs_and_takes_the_turn_from_a_worker(self, lab):
        SyncRun.objects.create(pool=lab, trigger="manual", state="running", queued_at=NOW)
        SyncRun.objects.create(pool=lab, trigger="manual", state="queued", queued_at=NOW)
        PoolSync.objects.filter(pool=lab).update(turn_token=lab.pk)

        pools.remove(pool_id=lab.pk, actor=ALICE, now=NOW)

        assert set(SyncRun.objects.values_list("state", flat=True)) == {"succeeded", "failed"}
        assert PoolSync.objects.get().turn_token is None

    def test_is_refused_while_somebody_holds_capacity(self, lab):
        claim_one_device()

        with pytest.raises(PoolInUse):
            pools.remove(pool_id=lab.pk, actor=ALICE, now=NOW)

        assert Pool.objects.get().state == "active" and Device.objects.filter(retired_at=None).count() == 4

    def test_by_force_needs_the_name_and_a_pool_that_does_not_answer(self, lab):
        claim_one_device()
        later = NOW + timedelta(hours=1)

        with pytest.raises(Invalid, match="force"):
            pools.remove(pool_id=lab.pk, actor=ALICE, now=later, force_name="bal")
        with pytest.raises(PoolReachable):
            pools.remove(pool_id=lab.pk, actor=ALICE, now=NOW, force_name="lab")
        pools.remove(pool_id=lab.pk, actor=ALICE, now=later, force_name="lab")

        row = Capacity.objects.get(claimed_milli__gt=0)
        assert (row.total_milli, row.free_milli, row.ceiling_milli) == (0, 0, 1000), "the claim stays, nothing is free"
        assert AuditEvent.objects.get(action="pool.removed").after == {"state": "removed", "forced": True}

    def test_of_drafts_left_alone_happens_after_a_day(self):
        old, touched, previewed = draft("old"), draft("touched"), draft("previewed")
        pools.request_check(pool_id=touched.pk, actor=ALICE, now=NOW + timedelta(hours=20))
        sync_runs.request(pool_id=previewed.pk, is_dry_run=True, actor=ALICE, now=NOW + timedelta(hours=20))

        count = pools.remove_expired_drafts(now=NOW + timedelta(hours=25))

        assert count == 1
        left = Pool.objects.filter(state="registering")
        assert old not in left and set(left) == {touched, previewed}

    def test_spares_one_that_somebody_takes_up_in_the_same_moment(self, monkeypatch):
        made, later = draft(), NOW + timedelta(hours=25)
        lock = pools.locked

        def overtaken(pool_id, generation=None):
            Pool.objects.update(draft_expires_at=later + timedelta(hours=24))  # as a check that is asked for does
            return lock(pool_id, generation)

        monkeypatch.setattr(pools, "locked", overtaken)

        assert pools.remove_expired_drafts(now=later) == 0
        assert Pool.objects.get(pk=made.pk).state == "registering"


class TestReplaceCredential:
    def test_waits_for_a_worker_when_the_far_end_is_known(self):
        made = active()

        credential = pools.replace_credential(pool_id=made.pk, values={"token": "next"}, actor=ALICE, now=NOW)

        row = seen.one(made.pk, NOW, EVERYTHING)
        assert row.credential and row.pending_credential
        assert (credential.state, row.credential.state, row.pending_credential.state) == (
            "pending",
            "active",
            "pending",
        )

    def test_of_a_draft_holds_at_once(self):
        made = draft()

        pools.replace_credential(pool_id=made.pk, values={"token": "next"}, actor=ALICE, now=NOW)

        assert list(Credential.objects.order_by("created_at", "pk").values_list("state", flat=True)) == [
            "replaced",
            "active",
        ]

    def test_names_mistakes_and_never_the_value(self):
        made = active()

        with pytest.raises(Invalid) as refused:
            pools.replace_credential(pool_id=made.pk, values={"password": SECRET}, actor=ALICE, now=NOW)

        assert refused.value.fields[0].field == "credential.password" and SECRET not in str(refused.value)


def claim_one_device():
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE capacity SET pos_claimed_milli[1] = 1000 "
            "WHERE id = (SELECT id FROM capacity WHERE kind = 'cards' AND free_milli > 0 LIMIT 1)"
        )
