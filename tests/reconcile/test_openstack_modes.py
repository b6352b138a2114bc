"""From a request to real cards on OpenStack and back, in both modes of a pool: on the live double."""

import pytest

from connectors.openstack import marks
from pools.domain.request import Choice
from pools.models import Allocation, ChipModel, Claim, Member, PoolSync, Target
from pools.reconcile import allocations, targets
from pools.services import allocations as services
from pools.services import bootstrap, claims
from tests.connectors.openstack.live import living
from tests.connectors.openstack.nova import HYPERVISOR, LiveWithNova
from tests.factories import ALICE, Clock, granted, project
from tests.reconcile.test_platforms import activated
from tests.services.asking import PLENTY, asked, quota

pytestmark = pytest.mark.django_db(transaction=True)
IMAGE = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def lived():
    bootstrap.load_catalogue()
    with living(LiveWithNova()) as both:
        yield both


@pytest.fixture
def ask(lived):
    """Register a pool in a mode, ask for two H100s, and let the loop carry them out."""
    _, cloud = lived
    clock = Clock()

    def ask(mode):
        fields = {"settings": {**cloud.settings, "server_image": IMAGE}, "credential": cloud.credential}
        pool, _ = activated(clock, name="cloud", kind="openstack", mode=mode, **fields)
        team = project("acme/vision")
        granted(pool, team)
        model = ChipModel.objects.filter(devices__pool=pool).distinct().get()
        quota(team, model, PLENTY, quota(team.parent, model, PLENTY))
        PoolSync.objects.update(health="online", observed_at=clock())
        (answer,) = claims.submit([asked(team, 2, any_of=(Choice(model=model.slug),))], now=clock())
        assert isinstance(answer, claims.Made), answer
        advance(pool)
        return Allocation.objects.get(id=answer.allocation_id)

    def advance(pool):
        allocations.advance(clock=clock)
        targets.run(pool_id=pool.id, clock=clock)
        allocations.advance(clock=clock)

    def give_back(allocation):
        services.release(allocation_id=allocation.id, actor=ALICE, now=clock())
        advance(Member.objects.get(allocation_id=allocation.id).pool)
        allocation.refresh_from_db()

    ask.give_back = give_back
    return ask


class TestAPool:
    def test_in_the_mode_nova_gives_a_server_with_cards_of_the_model(self, ask, lived):
        double, _ = lived

        allocation = ask("nova")

        (server,) = double.servers.values()
        member = Member.objects.select_related("node").get(allocation_id=allocation.id)
        assert allocation.state == "active" and server[HYPERVISOR] == member.node.name
        bound = {each["device_rp_uuid"] for each in double.requests if each["instance_uuid"] == server["id"]}
        assert len(bound) == len(member.binding["places"]) == 2

        ask.give_back(allocation)

        assert allocation.state == "released" and not Claim.objects.filter(released_at=None).exists()
        assert (double.servers, double.flavors, double.profiles, double.requests) == ({}, {}, [], [])

    def test_in_the_mode_placement_gives_the_very_cards_that_were_claimed(self, ask, lived):
        double, _ = lived

        allocation = ask("placement")

        (consumer,) = double.consumers.values()
        assert allocation.state == "active" and Target.objects.get().kind == "consumer"
        assert marks.read(consumer["user_id"]).allocation == str(allocation.id)
        assert {each["device_rp_uuid"] for each in double.requests} == set(consumer["allocations"])

        ask.give_back(allocation)

        assert allocation.state == "released" and double.consumers == {} and double.servers == {}
