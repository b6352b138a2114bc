"""What needs attention is tried again when a person says so, or given back; both leave nothing behind."""

import pytest

from pools.domain.errors import AllocationChanged, AllocationState
from pools.models import Allocation, AuditEvent, Claim, Operation
from pools.services import binding
from tests.factories import ALICE, Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """Two nodes, and an object for each member."""
    return Lab(tmp_path, Clock(), mode="node", nodes=2)


def retry(lab, id, **fields):
    binding.retry(allocation_id=id, actor=ALICE, now=lab.clock.now, **fields)


def refused(lab, devices=4, members=2):
    """A gang of which the platform refused one member, so that all of it is taken off."""
    lab.store.fail("rejected", call="apply", when="before")
    id = lab.ask(devices, members=members)
    lab.advance()
    assert lab.state(id) == "needs_attention"
    return id


def later(lab):
    lab.clock.forward(seconds=30)
    lab.advance()


class TestARetry:
    @pytest.mark.parametrize("is_taken_off", [True, False])
    def test_orders_all_of_it_anew_at_the_same_place(self, lab, is_taken_off):
        id = refused(lab)
        if is_taken_off:
            later(lab)
            assert lab.there() == {}
        claims = set(Claim.objects.filter(allocation_id=id, released_at=None).values_list("id", flat=True))

        retry(lab, id)
        later(lab)
        later(lab)

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)] * 2
        assert set(Claim.objects.filter(allocation_id=id, released_at=None).values_list("id", flat=True)) == claims
        assert not Operation.objects.filter(allocation_id=id, state__in=("planned", "sent", "unknown")).exists()
        told = AuditEvent.objects.get(action="allocation.retried", object_id=str(id))
        assert (told.actor, told.after) == ("alice", {"state": "binding"})
        lab.check()
        lab.release(id)
        later(lab)
        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()

    def test_that_is_refused_again_needs_attention_again(self, lab):
        id = refused(lab, devices=1, members=1)
        lab.store.fail("rejected", call="apply", when="before")

        retry(lab, id)
        later(lab)
        later(lab)

        assert (lab.state(id), Allocation.objects.get(id=id).reason) == ("needs_attention", "rejected")
        failed = Operation.objects.filter(allocation_id=id, action="apply", state="failed")
        assert failed.count() == 2 and lab.there() == {}

    def test_of_what_has_no_place_looks_for_one_where_there_was_no_room_before(self, lab):
        id = lab.ask(4)
        for _ in range(2):
            lab.store.fail("no_capacity", call="apply", when="before")
            lab.one_turn()
            lab.one_turn()
            lab.clock.forward(seconds=20)
        for _ in range(3):
            later(lab)
        found = Allocation.objects.get(id=id)
        assert (found.state, found.pool_id) == ("needs_attention", None)

        retry(lab, id)
        for _ in range(2):
            later(lab)

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)]
        lab.check()

    def test_again_changes_nothing_and_of_an_older_version_is_refused(self, lab):
        id = refused(lab, devices=1, members=1)
        known = Allocation.objects.get(id=id).generation
        with pytest.raises(AllocationChanged):
            retry(lab, id, generation=known - 1)

        retry(lab, id, generation=known)
        retry(lab, id, generation=known)

        assert AuditEvent.objects.filter(action="allocation.retried", object_id=str(id)).count() == 1
        assert Operation.objects.filter(allocation_id=id, state="planned").count() == 1

    def test_of_what_is_well_or_over_is_refused(self, lab):
        id = lab.ask(1)
        lab.advance()
        with pytest.raises(AllocationState):
            retry(lab, id)
        lab.release(id)
        with pytest.raises(AllocationState):
            retry(lab, id)

    def test_loses_to_a_release(self, lab):
        id = refused(lab)
        retry(lab, id)

        lab.release(id)
        later(lab)
        later(lab)

        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()


class TestARelease:
    @pytest.mark.parametrize("is_taken_off", [True, False])
    def test_of_what_needs_attention_leaves_nothing(self, lab, is_taken_off):
        id = refused(lab)
        if is_taken_off:
            later(lab)

        lab.release(id)
        later(lab)

        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()
