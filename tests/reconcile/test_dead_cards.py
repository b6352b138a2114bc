"""A card of one tenant that dies holds up no other tenant of its host."""

import json

import pytest

from pools.domain.errors import NoCapacity
from pools.models import Allocation, Capacity, ChipModel, Delivery, Member, Operation, PoolSync, Target
from pools.services import allocations, bootstrap, claims
from tests.factories import ALICE, Clock, granted, project
from tests.reconcile.test_heirs import _hosts, registered, work
from tests.services.asking import PLENTY, asked, quota

pytestmark = pytest.mark.django_db(transaction=True)


class Host:
    """One host with four cards, and a project that may use them."""

    def __init__(self, site, folder):
        self.clock, self.site, self.folder = Clock(), site, folder
        self.played = site.picture.__self__
        self.pool = registered(site, self.clock, "lab")
        self.team = project("acme/vision")
        granted(self.pool, self.team)
        model = ChipModel.objects.get(slug="nvidia-t4-16gb")
        quota(self.team, model, PLENTY, quota(self.team.parent, model, PLENTY))

    def ask(self):
        PoolSync.objects.update(health="online", observed_at=self.clock())
        (answer,) = claims.submit([asked(self.team, 1, any_of=(self.site.choice,))], now=self.clock())
        assert not isinstance(answer, NoCapacity), answer
        return answer.allocation_id

    def work(self):
        self.clock.forward(minutes=16)
        work(self.pool, self.clock)

    def release(self, id):
        allocations.release(allocation_id=id, actor=ALICE, now=self.clock())

    def state(self, id):
        return Allocation.objects.get(id=id).state

    def lease_of(self, id):
        """What the host's document says of an allocation."""
        (document,) = self.folder.rglob("desired.json")
        (lease,) = [each for each in json.loads(document.read_text())["leases"] if str(id) in each["id"]]
        return lease


@pytest.fixture
def host(tmp_path):
    bootstrap.load_catalogue()
    with _hosts(tmp_path / "far") as site:
        yield Host(site, tmp_path / "far")


def test_others_are_given_back_and_given_out_beside_it(host):
    first, second = host.ask(), host.ask()
    host.work()
    assert host.state(first) == host.state(second) == "active"
    card = host.folder / host.lease_of(second)["devices"][0].lstrip("/")
    text = card.read_bytes()
    card.unlink()

    host.release(first)
    host.work()

    assert host.state(first) == "released" and host.state(second) == "active"
    assert Member.objects.get(allocation_id=first).order_state == "gone"
    assert not Delivery.objects.filter(allocation_id=first).exists()
    assert set(Operation.objects.filter(allocation_id=first).values_list("state", flat=True)) == {"confirmed"}
    assert Target.objects.get().trouble["code"] == "incomplete", "somebody has to see to the card"
    third = host.ask()
    host.work()
    assert host.state(third) == "active" and Delivery.objects.get(allocation_id=third).made_at is not None
    card.write_bytes(text)
    host.work()
    assert Target.objects.get().trouble is None and Target.objects.get().due_at is None


def test_what_a_process_still_holds_is_not_free_while_others_are(host):
    first, second = host.ask(), host.ask()
    host.work()
    lease = host.lease_of(first)
    host.played.start(700, lease["uid"], lease["devices"][0])
    host.played.deathless.add(700)

    host.release(first)
    host.release(second)
    host.work()

    assert (host.state(first), host.state(second)) == ("releasing", "released")
    assert Capacity.objects.get(kind="cards").claimed_milli == 1000
    host.played.deathless.clear()
    host.work()
    assert host.state(first) == "released" and Capacity.objects.get(kind="cards").claimed_milli == 0
