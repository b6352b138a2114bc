"""The ledger: of every capacity row, at every instant, who had how much, and the rest is idle."""

import random
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from pools.models import Allocation, Capacity, LedgerEvent, Price
from pools.services import allocations, ledger, queue
from pools.services.claims import Made
from tests.factories import ALICE, NOW, device, holding, pool, use
from tests.services.asking import World

pytestmark = pytest.mark.django_db(transaction=True)


def shown(dice, broken):
    """Two nodes, of whose devices some are used by others and some are broken."""
    nodes = []
    for name in ("n0", "n1"):
        cards = []
        for i in range(4):
            fields = {"health": "faulty"} if (name, i) in broken else {}
            uses = (use(milli=dice.choice((300, 1000))),) if dice.random() < 0.2 else ()
            cards.append(device(f"{name}-{i}", index=i, uses=uses, **fields))
        nodes.append(holding(name, *cards))
    return nodes


def live(world, seed, steps=40):
    """Let anything happen for a while."""
    dice, mine = random.Random(seed), []
    for _ in range(steps):
        world.clock.forward(seconds=dice.choice((1, 20)))
        what = dice.choice(("claim", "claim", "hold", "confirm", "release", "sweep", "sync", "queue"))
        if what in ("claim", "hold"):
            fields = (
                {"mode": "hold", "hold_seconds": 45} if what == "hold" else {"lease_seconds": dice.choice((60, 900))}
            )
            answer = world.ask(dice.choice((1, 2, 4)), queue=dice.random() < 0.3, **fields)
            mine += [answer.allocation_id] if isinstance(answer, Made) else []
        elif what == "sync":
            broken = {(f"n{dice.randrange(2)}", dice.randrange(4)) for _ in range(dice.randrange(3))}
            world.show(*shown(dice, broken))
        elif what == "sweep":
            allocations.expire_holds(now=world.clock.now)
            allocations.end_leases(now=world.clock.now)
        elif what == "queue":
            world.observe()
            queue.advance(now=world.clock.now)
        elif mine:
            act = allocations.confirm if what == "confirm" else allocations.release
            try:
                act(allocation_id=dice.choice(mine), actor=ALICE, now=world.clock.now)
            except Exception as error:
                assert type(error).__name__ in ("AllocationState", "HoldExpired"), error


@pytest.mark.parametrize("seed", range(4))
class TestAnyHistory:
    def test_leaves_no_instant_of_any_row_untold_or_told_twice(self, seed):
        world = World(*shown(random.Random(seed), set()))

        live(world, seed)

        world.check()
        for row in Capacity.objects.all():
            open_now = check_row(row)
            assert open_now["shadow"] == row.shadow_milli and open_now["faulty"] == row.faulty_milli
            assert open_now["hold"] == row.held_milli
            assert open_now["reserve"] + open_now["use"] == row.claimed_milli


def check_row(row, most=None):
    """What is open at the end, by kind. At no instant before was more told than there was of the row at most."""
    events = list(LedgerEvent.objects.filter(capacity_id=row.id).order_by("at", "id"))
    assert [e.id for e in events] == sorted(e.id for e in events), "what was written later is not of an earlier instant"
    most = max(most or 0, row.total_milli, row.claimed_milli + row.held_milli)
    open_now = {}
    for number, event in enumerate(events):
        open_now[event.kind, event.allocation_id, event.member_index] = event.milli
        is_last_of_instant = number + 1 == len(events) or events[number + 1].at > event.at
        if is_last_of_instant:
            assert sum(open_now.values()) <= most, (row.kind, event.at, open_now)
    sums = defaultdict(int)
    for (kind, _, _), milli in open_now.items():
        sums[kind] += milli
    return sums


class TestAnAllocation:
    def test_is_told_from_its_claim_to_its_end_without_a_gap(self):
        world = World()
        id = world.ask(2, mode="hold", hold_seconds=60).allocation_id
        allocations.confirm(allocation_id=id, actor=ALICE, now=world.clock.now)
        allocations.release(allocation_id=id, actor=ALICE, now=world.clock.now)

        told = list(LedgerEvent.objects.filter(allocation_id=id).order_by("id"))

        assert [(e.kind, e.milli) for e in told] == [("hold", 2000), ("hold", 0), ("use", 2000), ("use", 0)]
        assert told[1].at == told[2].at and told[0].at < told[1].at < told[3].at
        assert {e.project_id for e in told} == {world.project.id}

    def test_may_only_be_added_to(self):
        world = World()
        world.ask(1)

        with connection.cursor() as cursor:
            cursor.execute("SELECT has_table_privilege('ocenter_app', 'ledger_event', 'UPDATE, DELETE')")
            assert cursor.fetchone() == (False,)


class TestAPrice:
    def test_is_told_with_what_is_held(self):
        world = World()
        price(world, "2.5")

        id = world.ask(2, members=2).allocation_id

        assert Allocation.objects.get(id=id).price_per_hour == 10
        assert {e.price_per_hour for e in LedgerEvent.objects.filter(allocation_id=id)} == {Decimal(5)}

    def test_that_begins_later_splits_what_is_held_at_its_instant_and_once(self):
        world = World()
        price(world, "2")
        id = world.ask(2).allocation_id
        other = world.ask(1, mode="hold", hold_seconds=60).allocation_id
        (first,) = LedgerEvent.objects.filter(allocation_id=id)
        begins = first.at + timedelta(seconds=2)
        price(world, "3", begins)

        assert ledger.follow_prices(now=begins + timedelta(seconds=4)) == 0, "claims on their way come first"
        assert ledger.follow_prices(now=begins + timedelta(seconds=5)) == 1
        assert ledger.follow_prices(now=begins + timedelta(seconds=6)) == 0

        told = LedgerEvent.objects.filter(allocation_id=id).order_by("id").values_list("at", "milli", "price_per_hour")
        assert list(told) == [(first.at, 2000, Decimal(4)), (begins, 2000, Decimal(6))]
        assert Allocation.objects.get(id=id).price_per_hour == 6
        assert LedgerEvent.objects.filter(allocation_id=other).last().price_per_hour == 3

    def test_of_another_pool_changes_nothing(self):
        world = World()
        price(world, "2")
        id = world.ask(1).allocation_id
        (first,) = LedgerEvent.objects.filter(allocation_id=id)
        price(world, "9", first.at + timedelta(seconds=1), pool=pool("other"))

        ledger.follow_prices(now=first.at + timedelta(seconds=60))

        assert LedgerEvent.objects.filter(allocation_id=id).count() == 1


def price(world, per_hour, from_at=NOW - timedelta(days=1), **scope):
    is_old = from_at < NOW
    return Price.objects.create(
        model=world.model, per_hour=Decimal(per_hour), from_at=from_at, created_at=NOW,
        followed_at=NOW if is_old else None, **scope,
    )  # fmt: skip
