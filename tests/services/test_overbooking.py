"""Many who want the same at the same moment: nobody gets what another has, and nobody more than the quota."""

import random
from functools import partial

import pytest
from django.db import connection

from pools.domain.errors import DomainError, NoCapacity, QuotaExceeded
from pools.domain.request import Choice, Share
from pools.models import Allocation, Capacity
from pools.services import allocations
from pools.services.claims import Made
from tests.factories import ALICE, node
from tests.services import at_once
from tests.services.asking import H100, World, check_claims, with_host

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 24


def made(answers):
    failures = [each for each in answers if not isinstance(each, Made | DomainError)]
    assert not failures, failures
    return [each for each in answers if isinstance(each, Made)]


def all_at_once(world, count, *kinds, **fields):
    """What so many threads are answered that ask at once, each for one of the kinds."""
    kinds = kinds or ({},)
    return at_once.run(*[partial(world.ask, **(kinds[n % len(kinds)] | fields)) for n in range(count)])


class TestTheLastDevices:
    def test_go_to_as_many_as_the_quota_has_room_for(self):
        world = World(quota_milli=6000)

        answers = all_at_once(world, THREADS)

        assert len(made(answers)) == 6
        assert {type(each) for each in answers} <= {Made, QuotaExceeded, NoCapacity}
        assert world.used_milli() == 6000
        world.check()

    def test_all_go_where_the_quota_is_no_bound(self):
        world = World()

        answers = all_at_once(world, THREADS)

        assert len(made(answers)) == 8
        assert Capacity.objects.get(kind="cards").free_milli == 0
        world.check()

    def test_go_once_whether_held_or_claimed_by_gangs_shares_pieces_or_whole(self):
        world = World(count=2, devices=4)
        world.learn(nodes=1, devices=3, parts=3)
        kinds = (
            {"devices": 1},
            {"devices": 2, "mode": "hold", "hold_seconds": 60},
            {"devices": 1, "share": Share(milli=300)},
            {"devices": 1, "any_of": (Choice(model=H100, profile="3g.40gb"),)},
            {"devices": 2, "members": 2},
            {"devices": 0, "any_of": (), "per_member": with_host(30_000)},
        )

        answers = all_at_once(world, THREADS, *kinds)

        assert made(answers)
        world.check()

    def test_of_a_pool_that_promises_no_node_go_once(self):
        world = World(grain="pool")

        answers = all_at_once(world, THREADS)

        assert len(made(answers)) == 8
        world.check()

    def test_go_round_between_those_who_take_and_give_back_at_once(self):
        world = World(node("n0", devices=4), node("n1", devices=2), quota_milli=5000)
        world.learn(nodes=1, devices=3, parts=3)

        def live(seed):
            dice = random.Random(seed)
            mine = []
            for _ in range(6):
                held = dice.random() < 0.4
                fields = {"mode": "hold", "hold_seconds": 60} if held else {}
                if dice.random() < 0.3:
                    fields["share"] = Share(milli=dice.choice((250, 500)))
                answer = world.ask(1 if "share" in fields else dice.choice((1, 1, 2)), **fields)
                if isinstance(answer, Made):
                    mine.append(answer.allocation_id)
                    if held and dice.random() < 0.5:
                        allocations.confirm(allocation_id=answer.allocation_id, actor=ALICE, now=world.clock.now)
                check_quota(world)
                if mine and dice.random() < 0.7:
                    allocations.release(
                        allocation_id=mine.pop(dice.randrange(len(mine))), actor=ALICE, now=world.clock.now
                    )
            for id in mine:
                allocations.release(allocation_id=id, actor=ALICE, now=world.clock.now)

        answers = at_once.run(*[partial(live, seed) for seed in range(12)])

        assert answers == [None] * 12, answers
        check_claims()
        assert all(row.free_milli == row.total_milli and row.layout == {} for row in Capacity.objects.all())
        assert world.used_milli() == 0
        assert not Allocation.objects.filter(ended_at=None).exists()


def check_quota(world):
    with connection.cursor() as cursor:
        cursor.execute("SELECT used_milli FROM quota WHERE id = %s", [world.quota.id])
        assert 0 <= cursor.fetchone()[0] <= world.quota.nominal_milli
