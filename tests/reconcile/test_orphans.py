"""What carries our marker without a claim: found by syncs, reaped by workers, adopted where that makes sense."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from connectors.contract import UseFact
from connectors.simulated.state import Placed, TargetState
from pools.domain import markers
from pools.domain.errors import (
    OrphanClosed,
    OrphanElsewhere,
    OrphanFresh,
    OrphanMissing,
    OrphanNotOurs,
    OrphanOver,
    OrphanUnknown,
)
from pools.domain.orphans import GRACE_SECONDS
from pools.models import Allocation, AuditEvent, Capacity, Claim, Device, Member, Node, Operation, Orphan, Target
from pools.selectors import orphans as seen
from pools.selectors import shadow
from pools.selectors.installation import installation_id
from pools.services import orphans
from tests.factories import ALICE, EVERYTHING, Clock
from tests.reconcile.binding import Lab
from tests.reconcile.invariants import written

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["device", "node", "pool"])
def lab(request, tmp_path):
    return Lab(tmp_path, Clock(), mode=request.param)


@pytest.fixture
def vms(tmp_path):
    """An object for each member."""
    return Lab(tmp_path, Clock(), mode="node")


def later(lab, **delta):
    lab.clock.forward(**(delta or {"minutes": 1}))
    lab.simulation.sync_now()


def left_behind(lab):
    """An allocation that was given back, and is on the platform again: somebody restored a backup there."""
    id = lab.ask(1)
    lab.advance()
    kept = lab.there()
    lab.release(id)
    lab.advance()
    assert lab.state(id) == "released"
    with lab.store.changing() as state:
        state.targets |= kept
        state.removed.clear()
    return id


def unknown_thing(lab, *, installation=None):
    """Something with a marker of which no allocation is known: ocenter's database is older than it."""
    marker = f"oc-{'z' * 20}"
    path = f"{lab.simulation.refs()[0]}/{device_of(lab)}"
    installation = installation_id() if installation is None else installation
    with lab.store.changing() as state:
        state.targets[marker] = TargetState(
            generation=7, placed={marker: [Placed(path, 1000, 0)]}, installation=installation
        )
    return marker


def device_of(lab):
    return Device.objects.filter(pool=lab.pool, node__ref=lab.simulation.refs()[0]).order_by("ref")[0].ref


def rows(**params):
    return seen.page(params=params, cursor=None, limit=50, access=EVERYTHING).rows


class TestAnOrphan:
    def test_is_opened_once_and_closed_when_it_is_gone(self, lab):
        id = left_behind(lab)
        later(lab)
        assert rows() == [], "the claim explains it until the sync after the next"
        later(lab)

        (row,) = rows()
        assert (row.allocation, row.allocation_state, row.project) == (id, "released", "acme/vision")
        assert (row.state, row.origin, row.milli) == ("open", "seen", 1000) and row.places[0]["node"]
        before = written()
        later(lab)
        assert [each.id for each in rows()] == [row.id] and written() == before

        with lab.store.changing() as state:
            state.targets.clear()
        later(lab)

        assert rows() == [] and [each.outcome for each in rows(state="closed")] == ["gone"]

    def test_of_a_marker_that_nobody_knows_is_opened_at_once(self, vms):
        marker = unknown_thing(vms)

        later(vms)

        (row,) = rows()
        assert (row.marker, row.allocation, row.project) == (marker, None, None)
        assert sum(each.shadow_milli for each in Capacity.objects.filter(kind="cards")) == 1000

    def test_is_none_where_another_installation_made_it(self, vms):
        unknown_thing(vms, installation="another")

        later(vms)

        assert rows() == []
        (used,) = shadow.by_pool(EVERYTHING)
        assert (used.pool, used.shadow_milli) == ("lab", 1000)

    def test_stays_open_while_its_node_is_missing_and_after_an_incomplete_look(self, vms):
        unknown_thing(vms)
        later(vms)
        with vms.store.changing() as state:
            state.world.gone = {vms.simulation.refs()[0]}

        later(vms)

        assert len(rows()) == 1


def markers_there(lab):
    return {marker for target in lab.there().values() for marker in target.orders}


def path_of(lab, index):
    """A device of the only node, as the platform names it."""
    node = Node.objects.get(pool=lab.pool)
    return f"{node.ref}/{Device.objects.filter(node=node).order_by('index')[index].ref}"


class TestReaping:
    def test_takes_it_off_and_leaves_what_is_claimed(self, lab):
        id = left_behind(lab)
        for _ in range(2):
            later(lab)
        kept = lab.ask(1)
        lab.advance()
        lab.clock.forward(seconds=GRACE_SECONDS)
        (row,) = rows()

        orphans.reap(orphan_id=row.id, actor=ALICE, now=lab.clock.now)

        (row,) = rows()
        assert row.state == "reaping"
        lab.advance()
        lab.advance()
        assert lab.orders_there() == [str(kept)] and str(id) not in lab.orders_there()
        later(lab)
        assert rows() == [] and [each.outcome for each in rows(state="closed")] == ["reaped"]
        assert AuditEvent.objects.filter(action="orphan.reaped", actor="alice", object_id=str(row.id)).count() == 1
        assert lab.state(kept) == "active"

    def test_of_what_nobody_knows_goes_on_from_the_generation_that_is_there(self, vms):
        unknown_thing(vms)
        later(vms)
        vms.clock.forward(seconds=GRACE_SECONDS)

        orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)

        for _ in range(2):
            vms.advance()
        assert vms.there() == {} and Target.objects.get().found is None

    def test_waits_for_the_end_of_the_grace_time(self, vms):
        unknown_thing(vms)
        later(vms)
        (row,) = rows()

        with pytest.raises(OrphanFresh) as refused:
            orphans.reap(orphan_id=row.id, actor=ALICE, now=row.reapable_at - timedelta(seconds=1))

        assert "may be reaped from" in str(refused.value) and not Target.objects.exists()

    def test_leaves_what_nobody_decided_about_on_the_same_host_whatever_else_happens_there(self, tmp_path):
        lab = Lab(tmp_path, Clock(), mode="device", nodes=1)
        left_behind(lab)
        (target,) = lab.there().values()
        (first,) = target.orders
        with lab.store.changing() as state:
            (there,) = state.targets.values()
            there.orders["oc-stranger"] = replace(there.orders[first], marker="oc-stranger")
            there.placed["oc-stranger"] = [replace(there.placed[first][0], path=path_of(lab, 3))]
        for _ in range(2):
            later(lab)

        kept = lab.ask(1)
        lab.advance()
        assert lab.state(kept) == "active" and {first, "oc-stranger"} < markers_there(lab)
        lab.clock.forward(seconds=GRACE_SECONDS)
        orphans.reap(orphan_id=Orphan.objects.get(marker=first).id, actor=ALICE, now=lab.clock.now)
        for _ in range(3):
            lab.advance()

        assert "oc-stranger" in markers_there(lab) and first not in markers_there(lab)
        lab.release(kept)
        lab.advance()
        assert lab.state(kept) == "released" and markers_there(lab) == {"oc-stranger"}
        orphans.reap(orphan_id=Orphan.objects.get(marker="oc-stranger").id, actor=ALICE, now=lab.clock.now)
        lab.advance()
        later(lab)
        assert lab.there() == {} and not Orphan.objects.filter(closed_at=None)

    def test_never_keeps_what_an_allocation_gives_back(self, tmp_path):
        """It was an orphan until its allocation had its claim again, and no sync has seen that yet."""
        lab = Lab(tmp_path, Clock(), mode="device", nodes=1)
        id = lab.ask(1)
        lab.advance()
        (marker,) = markers_there(lab)
        orphan = {"marker": marker, "node": Node.objects.get(), "opened_at": lab.clock.now}
        Orphan.objects.create(pool=lab.pool, **orphan)

        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released" and lab.there() == {}

    def test_of_a_host_is_kept_on_the_host_where_it_is_seen(self, tmp_path):
        lab = Lab(tmp_path, Clock(), mode="device", nodes=1)
        left_behind(lab)
        for _ in range(2):
            later(lab)
        Orphan.objects.update(node=None)

        later(lab)

        assert Orphan.objects.get().node == Node.objects.get()

    def test_is_asked_for_once_whoever_asks_again(self, vms):
        unknown_thing(vms)
        later(vms)
        vms.clock.forward(seconds=GRACE_SECONDS)

        for _ in range(3):
            orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)

        assert Target.objects.get().generation == 1
        assert AuditEvent.objects.filter(action="orphan.reaped", object_id=str(rows()[0].id)).count() == 1

    def test_may_be_asked_again_when_a_worker_was_at_it_and_it_is_still_there(self, vms):
        """The worker found nothing under its name and was done, and syncs see it all the same."""
        marker = unknown_thing(vms)
        later(vms)
        vms.clock.forward(seconds=GRACE_SECONDS)
        with vms.store.changing() as state:
            state.targets["renamed"] = state.targets.pop(marker)
        orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)
        vms.advance()
        assert [row.state for row in rows()] == ["reaping"] and vms.target().due_at is None
        with vms.store.changing() as state:
            state.targets[marker] = state.targets.pop("renamed")
            state.removed.clear()

        orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)

        vms.advance()
        assert not vms.there()
        later(vms)
        assert [row.outcome for row in rows(state="closed")] == ["reaped"]

    def test_shows_why_a_platform_does_not_do_it(self, vms):
        unknown_thing(vms)
        later(vms)
        vms.clock.forward(seconds=GRACE_SECONDS)
        vms.store.fail("forbidden", call="apply", times=-1)
        orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)

        for _ in range(2):
            vms.advance()

        (row,) = rows()
        assert row.state == "reaping" and row.trouble["code"] == "forbidden"
        vms.simulation.heal()
        vms.clock.forward(minutes=20)
        vms.advance()
        assert vms.there() == {}

    def test_is_refused_for_what_another_installation_made(self, vms):
        marker = unknown_thing(vms)
        later(vms)
        vms.clock.forward(seconds=GRACE_SECONDS)
        Target.objects.create(
            pool=vms.pool, kind="vm", ref=marker, mode="node", created_at=vms.clock.now, trouble={"code": "not_ours"}
        )

        with pytest.raises(OrphanNotOurs):
            orphans.reap(orphan_id=rows()[0].id, actor=ALICE, now=vms.clock.now)

    def test_is_refused_when_it_is_over(self, vms):
        unknown_thing(vms)
        later(vms)
        (row,) = rows()
        with vms.store.changing() as state:
            state.targets.clear()
        later(vms)

        for decide in (orphans.reap, orphans.adopt):
            with pytest.raises(OrphanClosed):
                decide(orphan_id=row.id, actor=ALICE, now=vms.clock.now)
        with pytest.raises(OrphanMissing):
            orphans.reap(orphan_id=vms.pool.id, actor=ALICE, now=vms.clock.now)


class TestAdopting:
    def adopt(self, lab):
        orphans.adopt(orphan_id=rows()[0].id, actor=ALICE, now=lab.clock.now)

    def test_gives_it_back_to_the_allocation_that_has_its_claim_again(self, vms):
        id = vms.ask(1)
        vms.advance()
        long_ago = vms.clock.now - timedelta(hours=1)
        Claim.objects.update(released_at=long_ago)
        Member.objects.update(order_state="gone")
        Target.objects.update(found_at=long_ago)
        vms.clock.forward(minutes=1)
        vms.simulation.sync_now()
        assert len(rows()) == 1
        Claim.objects.update(released_at=None)
        Member.objects.update(order_state="carried")

        self.adopt(vms)

        assert rows() == [] and [each.outcome for each in rows(state="closed")] == ["adopted"]
        vms.advance()
        assert vms.orders_there() == [str(id)] and vms.target().due_at is None
        later(vms)
        assert len(rows(state="open,reaping,closed")) == 1

    def test_is_refused_where_no_allocation_is_known(self, vms):
        unknown_thing(vms)
        later(vms)

        with pytest.raises(OrphanUnknown):
            self.adopt(vms)

    def test_is_refused_where_the_allocation_is_over_or_holds_nothing_here(self, vms):
        id = left_behind(vms)
        for _ in range(2):
            later(vms)

        with pytest.raises(OrphanOver):
            self.adopt(vms)
        other = Allocation.objects.get(id=id)
        again = Allocation.objects.create(
            **{
                field.attname: getattr(other, field.attname)
                for field in Allocation._meta.concrete_fields
                if field.name not in ("id", "state", "ended_at")
            },
            state="needs_attention",
        )
        Operation.objects.filter(allocation=other).update(allocation=again)
        with pytest.raises(OrphanElsewhere):
            self.adopt(vms)


class TestAUseWithOurMarker:
    def test_of_a_target_with_several_orders_belongs_to_whoever_is_on_it(self, tmp_path):
        """Some platforms cannot tell which of the orders on an object uses a device."""
        hosts = Lab(tmp_path, Clock(), mode="device", nodes=1)
        id = hosts.ask(1)
        hosts.advance()
        target = hosts.target()
        path = next(iter(hosts.there().values())).placed[markers.of_member(installation_id(), id, 0)][0].path
        with hosts.store.changing() as state:
            state.targets.clear()
            state.world.uses[path] = UseFact(holder="host", milli=1000, marker=target.ref)

        later(hosts)

        assert rows() == [] and not Capacity.objects.filter(shadow_milli__gt=0).exists()
        hosts.release(id)
        hosts.advance()
        for _ in range(3):
            later(hosts)
        assert [row.marker for row in rows()] == [target.ref]
