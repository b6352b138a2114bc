"""Somebody changes on a platform what ocenter made: it is seen, told, and repaired, adopted or ignored."""

import pytest
from django.db import connection

from pools.domain.actors import SYSTEM
from pools.domain.drift import COMPARE_SECONDS, COMPARED_AT_ONCE
from pools.domain.errors import DriftClosed, DriftMissing, DriftNotAdoptable, DriftNotOurs
from pools.models import AuditEvent, Drift, LedgerEvent, Pool, Target
from pools.reconcile import drift as loop
from pools.selectors import drift as seen
from pools.services import drift, pools
from tests.factories import ALICE, EVERYTHING, Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """An object for each member."""
    return Lab(tmp_path, Clock(), mode="node")


@pytest.fixture
def host(tmp_path):
    """One node whose object carries the orders of all."""
    return Lab(tmp_path, Clock(), mode="device", nodes=1)


def carried(lab, devices=1, **fields):
    id = lab.ask(devices, **fields)
    lab.advance()
    assert lab.state(id) == "active"
    return id


def compare(lab):
    """What the sweep leads to after the next complete sync."""
    lab.clock.forward(seconds=COMPARE_SECONDS)
    lab.simulation.sync_now()
    lab.clock.forward(seconds=COMPARE_SECONDS + 1)
    lab.simulation.sync_now()
    assert [pool_id for pool_id, _ in seen.due_pools(lab.clock.now)] in ([], [lab.pool.id])
    return loop.run(pool_id=lab.pool.id, clock=lab.clock)


def tamper(lab):
    """Somebody takes the marker off, as an edit by hand does."""
    with lab.store.changing() as state:
        for target in state.targets.values():
            target.is_marked = False


def rows(**params):
    return seen.page(params=params, cursor=None, limit=50, access=EVERYTHING).rows


def by(lab):
    return {"drift_id": rows()[0].id, "actor": ALICE, "now": lab.clock.now}


class TestAPlatformAsOrdered:
    def test_has_no_drift_and_is_asked_only_now_and_then(self, lab):
        carried(lab)

        assert compare(lab) == 1 and rows() == []
        assert loop.run(pool_id=lab.pool.id, clock=lab.clock) == 0 and seen.due_pools(lab.clock.now) == []
        lab.clock.forward(seconds=COMPARE_SECONDS + 1)
        assert seen.due_pools(lab.clock.now) == [], "nothing new was seen since"
        lab.simulation.sync_now()
        assert seen.due_pools(lab.clock.now) == [(lab.pool.id, "simulated")]

    def test_is_not_compared_while_something_is_to_be_done_there(self, lab):
        id = carried(lab)
        lab.release(id)

        assert compare(lab) == 0
        lab.advance()
        assert compare(lab) == 0, "and nothing is left to compare"

    def test_is_compared_in_pieces(self, lab, monkeypatch):
        for _ in range(3):
            carried(lab)
        monkeypatch.setattr(loop, "COMPARED_AT_ONCE", 2)

        assert COMPARED_AT_ONCE > 2 and compare(lab) == 2
        assert loop.run(pool_id=lab.pool.id, clock=lab.clock) == 1


class TestDrift:
    def test_is_opened_once_with_the_calls_that_would_repair_it(self, lab):
        id = carried(lab)
        tamper(lab)

        compare(lab)

        (row,) = rows()
        assert (row.code, row.state, row.policy, row.pool) == ("differs", "open", "report", "lab")
        assert [call["verb"] for call in row.calls] == ["update"]
        assert [each.id for each in row.allocations] == [id] and row.may_repair
        compare(lab)
        assert [each.id for each in rows()] == [row.id]
        assert next(iter(lab.there().values())).is_marked is False, "nothing was sent"

    def test_is_over_when_the_platform_agrees_again(self, lab):
        carried(lab)
        tamper(lab)
        compare(lab)
        with lab.store.changing() as state:
            next(iter(state.targets.values())).is_marked = True

        compare(lab)

        assert rows() == [] and [row.outcome for row in rows(state="closed")] == ["agrees"]

    def test_tells_which_allocations_are_gone(self, host):
        kept, gone = carried(host), carried(host)
        with host.store.changing() as state:
            (there,) = state.targets.values()
            marker = next(marker for marker, order in there.orders.items() if order.allocation == str(gone))
            del there.orders[marker], there.placed[marker]

        compare(host)

        (row,) = rows()
        assert {each.id: each.is_gone for each in row.allocations} == {kept: False, gone: True}
        assert (row.code, row.may_adopt) == ("differs", True)

    def test_of_a_target_that_is_gone_says_so(self, lab):
        carried(lab)
        with lab.store.changing() as state:
            state.targets.clear()

        compare(lab)

        (row,) = rows()
        assert (row.code, row.may_adopt, row.may_repair) == ("gone", True, True)

    def test_of_what_somebody_else_made_meanwhile_is_left_alone(self, lab):
        carried(lab)
        with lab.store.changing() as state:
            next(iter(state.targets.values())).installation = None

        compare(lab)

        (row,) = rows()
        assert (row.code, row.may_repair) == ("not_ours", False) and row.trouble["message"]
        with pytest.raises(DriftNotOurs):
            drift.repair(**by(lab))

    def test_is_nothing_that_a_late_answer_may_claim(self, lab):
        """The orders changed while the platform was asked: whoever applies them compares too."""
        carried(lab)
        tamper(lab)
        lab.clock.forward(seconds=COMPARE_SECONDS + 1)
        lab.simulation.sync_now()
        compared = drift.next_target(pool_id=lab.pool.id, installation="i", now=lab.clock.now)
        Target.objects.update(generation=2, due_at=lab.clock.now)

        assert drift.store(compared, (), now=lab.clock.now) is None and rows() == []

    def test_is_found_beside_a_host_that_does_not_answer(self, lab):
        """What was seen is compared, what was not is left out until the next time."""
        for _ in range(3):
            carried(lab)
        tamper(lab)
        lab.clock.forward(seconds=COMPARE_SECONDS + 1)
        lab.simulation.sync_now()
        lab.store.fail("unreachable", call="plan", times=1)

        assert loop.run(pool_id=lab.pool.id, clock=lab.clock) == 3

        assert len(rows()) == 2 and seen.due_pools(lab.clock.now) == []
        lab.clock.forward(seconds=COMPARE_SECONDS + 1)
        lab.simulation.sync_now()
        assert loop.run(pool_id=lab.pool.id, clock=lab.clock) == 3 and len(rows()) == 3

    def test_of_what_is_there_and_not_delivered_calls_nothing_gone(self, lab):
        carried(lab)
        tamper(lab)

        compare(lab)

        (row,) = rows()
        assert row.code == "differs" and not row.may_adopt and not any(each.is_gone for each in row.allocations)

    @pytest.mark.parametrize("code", ["unreachable", "timeout", "unauthorized"])
    def test_is_not_concluded_from_a_platform_that_does_not_answer(self, lab, code):
        carried(lab)
        tamper(lab)
        lab.clock.forward(seconds=COMPARE_SECONDS + 1)
        lab.simulation.sync_now()
        lab.store.fail(code, call="identity" if code == "unauthorized" else "plan", times=-1)

        loop.run(pool_id=lab.pool.id, clock=lab.clock)

        assert rows() == [] and seen.due_pools(lab.clock.now) == [], "and it is left in peace"


class TestRepairing:
    def test_makes_it_as_ordered_by_the_worker_that_applies(self, lab):
        id = carried(lab)
        tamper(lab)
        compare(lab)

        drift.repair(**by(lab))

        assert [row.state for row in rows()] == ["repairing"]
        drift.repair(**by(lab))
        assert Target.objects.get().generation == 2, "asking again changes nothing"
        lab.advance()
        assert rows() == [] and [row.outcome for row in rows(state="closed")] == ["repaired"]
        assert next(iter(lab.there().values())).is_marked and lab.state(id) == "active"
        assert AuditEvent.objects.filter(action="drift.repaired", actor="alice").count() >= 1
        lab.check()

    def test_makes_what_is_gone_anew(self, lab):
        id = carried(lab, 2)
        with lab.store.changing() as state:
            state.targets.clear()
        compare(lab)

        drift.repair(**by(lab))
        lab.advance()

        assert lab.orders_there() == [str(id)]
        lab.check()

    def test_comes_by_itself_where_the_pool_wants_it(self, lab):
        pools.edit(
            pool_id=lab.pool.id, changes={"drift_policy": "repair"}, generation=None, actor=ALICE, now=lab.clock.now
        )
        carried(lab)
        tamper(lab)

        compare(lab)
        lab.advance()

        assert rows() == [] and next(iter(lab.there().values())).is_marked
        assert AuditEvent.objects.filter(action="drift.repaired", actor=SYSTEM.name).exists()


class TestAdopting:
    def test_gives_back_what_is_gone_and_keeps_the_rest(self, host):
        kept, gone = carried(host), carried(host)
        with host.store.changing() as state:
            (there,) = state.targets.values()
            marker = next(marker for marker, order in there.orders.items() if order.allocation == str(gone))
            del there.orders[marker], there.placed[marker]
        compare(host)

        drift.adopt(**by(host))
        host.advance()

        assert (host.state(kept), host.state(gone)) == ("active", "released")
        assert rows() == [] and [row.outcome for row in rows(state="closed")] == ["adopted"]
        last = LedgerEvent.objects.filter(allocation_id=gone).latest("id")
        assert (last.kind, last.milli) == ("use", 0)
        host.check()

    def test_locks_targets_in_their_order_and_none_before(self, lab):
        """A group's other targets may have smaller ids; two who lock in different orders wait for each other."""
        carried(lab, 1, members=2)
        with lab.store.changing() as state:
            last = Target.objects.latest("id")
            del state.targets[last.ref]
        compare(lab)
        locked = []

        def note(execute, sql, params, many, context):
            if "target" in sql and "FOR NO KEY UPDATE" in sql:
                locked.append("in order" if "ORDER BY id" in sql else "one")
            return execute(sql, params, many, context)

        given = by(lab)
        with connection.execute_wrapper(note):
            drift.adopt(**given)

        assert locked == ["in order", "one"]

    def test_comes_by_itself_where_the_pool_wants_it(self, lab):
        Pool.objects.update(drift_policy="adopt")
        id = carried(lab)
        with lab.store.changing() as state:
            state.targets.clear()

        compare(lab)
        lab.advance()

        assert lab.state(id) == "released"

    def test_is_refused_where_all_of_it_is_there(self, lab):
        Pool.objects.update(drift_policy="adopt")
        carried(lab)
        with lab.store.changing() as state:
            next(iter(state.targets.values())).is_held = True
        compare(lab)

        assert [row.state for row in rows()] == ["open"], "the policy cannot do it, so people decide"
        with pytest.raises(DriftNotAdoptable):
            drift.adopt(**by(lab))


class TestIgnoring:
    def test_lasts_while_it_stays_the_same(self, lab):
        carried(lab)
        tamper(lab)
        compare(lab)

        drift.ignore(**by(lab))
        compare(lab)
        assert [row.state for row in rows()] == ["ignored"]

        with lab.store.changing() as state:
            state.targets.clear()
        compare(lab)
        assert [row.state for row in rows()] == ["open"]

    def test_is_refused_when_it_is_over(self, lab):
        carried(lab)
        tamper(lab)
        compare(lab)
        given = by(lab)
        Drift.objects.update(state="closed", closed_at=lab.clock.now, outcome="agrees")

        for decide in (drift.ignore, drift.repair, drift.adopt):
            with pytest.raises((DriftClosed, DriftNotAdoptable)):
                decide(**given)
        with pytest.raises(DriftMissing):
            drift.ignore(**given | {"drift_id": lab.pool.id})
