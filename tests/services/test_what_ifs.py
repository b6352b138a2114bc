"""What would become of a request: what others have is told to nobody who may not know of it."""

import pytest

from pools.domain.access import Access, Binding
from pools.domain.actors import Actor
from pools.domain.errors import NoCapacity
from pools.domain.request import Choice, Share
from pools.models import Quota
from pools.services import what_ifs
from tests.factories import ALICE, granted, node, project
from tests.services.asking import H100, PLENTY, World, asked, quota, with_host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def ed(of):
    """Somebody who may ask in the project and read no node elsewhere."""
    return Actor(name="ed", request_id="r", access=Access(bindings=(Binding("engineer", tuple(of.lineage)),)))


def stranger(world):
    """A project of another tenant that uses the same pool."""
    other = project("umbrella/hive")
    granted(world.pool, other)
    quota(other, world.model, PLENTY, quota(other.parent, world.model, PLENTY))
    return other


def changes(world, devices=8, of=None, actor=ALICE, **fields):
    """The smallest changes by code."""
    world.observe()
    answer = what_ifs.ask(asked(of or world.project, devices, actor=actor, **fields), now=world.clock.now)
    assert answer.decision is None
    return {each.code: each for each in answer.changes}


class TestLeasesThatEnd:
    def test_tell_how_long_to_wait_although_nothing_of_their_cards_is_free(self, world):
        world.ask(6, lease_seconds=600)
        world.ask(2, lease_seconds=60)

        assert "600 s" in changes(world)["wait"].detail
        assert "60 s" in changes(world, 2, lease_seconds=30)["wait"].detail

    def test_of_another_tenant_are_told_to_operators_alone(self, world):
        world.ask(8, lease_seconds=600)
        other = stranger(world)

        assert "wait" in changes(world, of=other, actor=ALICE)
        assert "wait" not in changes(world, of=other, actor=ed(other))
        assert "wait" in changes(world, actor=ed(world.project))

    def test_count_with_the_cpu_that_they_hold(self, world):
        world.show(node("n0", devices=8, cpu_milli=64_000, memory_mib=1000))
        world.ask(1, lease_seconds=600, per_member=with_host(60_000))

        assert "600 s" in changes(world, 1, per_member=with_host(5_000))["wait"].detail

    def test_of_pieces_leave_the_card_whole(self, world):
        world.learn(nodes=1, devices=5, parts=5)
        world.ask(7)
        world.ask(1, any_of=(Choice(model=H100, profile="1g.10gb"),), lease_seconds=600)

        assert "600 s" in changes(world, 1)["wait"].detail

    def test_that_have_no_end_promise_nothing(self, world):
        world.ask(8)

        assert "wait" not in changes(world)


class TestANodeThatLacksSome:
    def test_is_named_to_operators_alone(self, world):
        world.ask(2)

        assert changes(world)["free"].detail == "Free 2 more on node n0."
        assert "free" not in changes(world, actor=ed(world.project))


class TestAQuotaInComputeUnits:
    def test_is_missing_in_compute_units_and_patches_stay_within_it(self, world):
        Quota.objects.exclude(parent=None).delete()
        Quota.objects.all().delete()
        above = quota(world.project.parent, None, PLENTY)
        quota(world.project, None, 12_000, above)

        found = changes(world, 8)

        assert "compute units" in found["quota"].detail
        patch = found["devices"].patch
        fits = asked(world.project, patch["devices_per_member"], members=patch.get("members", 1))
        assert what_ifs.ask(fits, now=world.clock.now).decision is not None


class TestWhatAPlatformGivesOut:
    def test_is_asked_of_its_mode(self):
        world = World(kind="openstack", mode="placement")

        answer = world.ask(1, share=Share(milli=500))

        assert isinstance(answer, NoCapacity) and answer.params["reason"] == "not_offered"
        assert world.ask(1).state == "claimed"


class TestAPoolThatPromisesNoNode:
    def test_packs_what_no_node_shows_yet(self):
        world = World(count=2, mode="pool", grain="pool")
        for _ in range(2):
            assert world.ask(6).state == "active"

        assert world.ask(4).params["reason"] == "too_big"
        assert world.ask(2).state == "active"
