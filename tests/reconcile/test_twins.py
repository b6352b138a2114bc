"""A card that two pools show is given out by one of them, and what another pool gives out counts for nothing."""

from datetime import timedelta

import pytest
from django.db import connection

from connectors.contract import UseFact
from pools.domain.errors import DeviceMissing, DeviceNoTwin, DevicePromised
from pools.models import AuditEvent, Booking, Capacity, CapacityRollup, Device, PoolSync
from pools.selectors import twins as shared
from pools.services import allocations, claims, pools, twins
from tests.factories import ALICE, Shows, device, granted, holding, node, pool, synced, use
from tests.reconcile.invariants import check_sums, written
from tests.reconcile.test_removal import Meeting, until_one_waits
from tests.services import at_once
from tests.services.asking import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    """The pool ``lab`` with a node of two cards, of which a project may have any."""
    return World(node("a"))


def shown_by(world, name="other", *nodes, **fields):
    """Another pool of the same project, observed with these nodes: the one of ``lab`` unless said otherwise."""
    other = granted(pool(name, **fields), world.project)
    synced(other, Shows(*(nodes or [node("a", ref=f"ref-of-{name}")])), world.clock)
    return other


def again(world, of, *nodes):
    world.clock.forward(minutes=1)
    return synced(of, Shows(*(nodes or [node("a", ref=f"ref-of-{of.name}")])), world.clock)


def given_out_by():
    """{uuid: names of pools that count the card}, as capacity rows have it."""
    found = {}
    for card in Device.objects.filter(retired_at=None).select_related("capacity", "pool").order_by("pool__name"):
        total = card.capacity.pos_total_milli[card.position - 1]
        assert total == (0 if card.is_elsewhere else 1000), card
        found.setdefault(card.uuid, []).extend([card.pool.name] if total else [])
    return found


def totals(of):
    rows = CapacityRollup.objects.filter(pool=of, is_advisory=False)
    return {row.kind: (row.total_milli, row.free_milli) for row in rows}


def check(world):
    for each in PoolSync.objects.values_list("pool_id", flat=True):
        check_sums(each)
    world.check()


def card(of, uuid="GPU-a-0"):
    return Device.objects.get(pool=of, uuid=uuid)


def told_of(of, uuid="GPU-a-0"):
    return list(AuditEvent.objects.filter(action="device.given_out", object_id=str(card(of, uuid).id)))


def give_out(of, world, uuid="GPU-a-0"):
    twins.give_out(device_id=card(of, uuid).id, actor=ALICE, now=world.clock.now)


class TestThePoolThatShowsACardLater:
    def test_counts_neither_the_card_nor_the_host_that_has_no_other(self, world):
        other = shown_by(world)

        assert given_out_by() == {"GPU-a-0": ["lab"], "GPU-a-1": ["lab"]}
        assert totals(other) == {"cards": (0, 0), "host": (0, 0)}
        assert totals(world.pool) == {"cards": (2000, 2000), "host": (64000, 64000)}
        check(world)

    def test_counts_the_cards_that_only_it_shows_and_their_host(self, world):
        mixed = holding("b", device("a-0", index=0), device("b-1", index=1))

        other = shown_by(world, "other", mixed)

        assert given_out_by() == {"GPU-a-0": ["lab"], "GPU-a-1": ["lab"], "GPU-b-1": ["other"]}
        assert totals(other) == {"cards": (1000, 1000), "host": (64000, 64000)}
        check(world)

    def test_gives_out_none_so_that_both_together_give_out_what_is_there(self, world):
        shown_by(world)

        answers = [world.ask() for _ in range(3)]

        assert [isinstance(answer, claims.Made) for answer in answers] == [True, True, False]
        assert {world.allocation(answer).pool_id for answer in answers[:2]} == {world.pool.id}
        check(world)

    def test_counts_no_other_when_its_card_changes(self, world):
        other = shown_by(world)

        again(world, other, holding("a", device("a-0", index=0, health="faulty"), device("a-1", index=1)))

        assert totals(other)["cards"] == (0, 0) and given_out_by()["GPU-a-0"] == ["lab"]

    def test_writes_nothing_when_it_shows_the_same_again(self, world):
        other = shown_by(world)
        before = written()

        again(world, other)
        again(world, world.pool, node("a"))

        assert written() == before

    def test_is_one_of_as_many_as_there_are(self, world):
        shown_by(world)
        third = shown_by(world, "third")
        assert given_out_by() == {"GPU-a-0": ["lab"], "GPU-a-1": ["lab"]}

        give_out(third, world)

        assert given_out_by() == {"GPU-a-0": ["third"], "GPU-a-1": ["lab"]}
        check(world)


class TestTwoPoolsAtOnce:
    def test_never_both_count_what_they_show_first_at_the_same_moment(self, world):
        fleet = [node(f"n{number}", devices=4) for number in range(6)]
        both = [pool(name) for name in ("east", "west")]

        outcomes = at_once.run(*(lambda of=of: synced(of, Shows(*fleet, page_size=6), world.clock) for of in both))

        assert [run.state for run in outcomes] == ["succeeded", "succeeded"], outcomes
        fresh = {uuid: names for uuid, names in given_out_by().items() if uuid.startswith("GPU-n")}
        assert len(fresh) == 24 and all(len(names) == 1 for names in fresh.values())
        check(world)

    def test_the_later_waits_for_the_first_to_be_through(self, world):
        meeting, other = Meeting(), pool("other")
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            twins.lock(cursor)
            thread = meeting.start(lambda: synced(other, Shows(holding("b", device("b-0"))), world.clock))
            until_one_waits(thread)
            assert not Device.objects.filter(pool=other).exists()
            cursor.execute("COMMIT")

        meeting.end()
        assert given_out_by()["GPU-b-0"] == ["other"]

    def test_that_move_cards_between_them_and_are_synchronised_do_not_wait_for_each_other(self, world):
        other = shown_by(world)
        turns = [(other, world.pool)[number % 2] for number in range(6)]

        def move():
            for of in turns:
                give_out(of, world)

        def observe(of, ref):
            for number in range(6):
                sick = holding("a", device("a-0", index=0), device(f"{of.name}-{number}"), ref=ref)
                synced(of, Shows(sick, node("a", ref=ref)) if number % 2 else Shows(node("a", ref=ref)), world.clock)

        outcomes = at_once.run(move, lambda: observe(other, "ref-of-other"), lambda: observe(world.pool, "ref-a"))

        assert [each for each in outcomes if each is not None] == []
        assert given_out_by()["GPU-a-0"] == ["lab"]
        check(world)


class TestAnOperatorWhoMovesACard:
    def test_lets_the_other_pool_give_it_out(self, world):
        other = shown_by(world)

        give_out(other, world)

        assert given_out_by() == {"GPU-a-0": ["other"], "GPU-a-1": ["lab"]}
        assert totals(other) == {"cards": (1000, 1000), "host": (64000, 64000)}
        assert totals(world.pool) == {"cards": (1000, 1000), "host": (64000, 64000)}
        (told,) = told_of(other)
        assert (told.actor, told.before, told.after) == (
            "alice", {"given_out_by": ["lab"]}, {"given_out_by": ["other"]},
        )  # fmt: skip
        check(world)

    def test_is_heard_by_all_later_syncs(self, world):
        other = shown_by(world)
        give_out(other, world)

        again(world, other)
        again(world, world.pool, holding("a", device("a-0", index=0, numa_node=1), device("a-1", index=1)))

        assert given_out_by()["GPU-a-0"] == ["other"]

    def test_changes_nothing_the_second_time(self, world):
        other = shown_by(world)
        give_out(other, world)
        before = written()

        give_out(other, world)

        assert written() == before and len(told_of(other)) == 1

    def test_is_refused_while_it_is_claimed_and_told_by_whom(self, world):
        other = shown_by(world)
        made = [world.ask() for _ in range(2)]

        with pytest.raises(DevicePromised) as refused:
            give_out(other, world)

        assert str(refused.value) == (
            'The pool "lab" has given this card out or promised it; release or move that first.'
        )
        assert given_out_by()["GPU-a-0"] == ["lab"]
        for answer in made:
            allocations.release(allocation_id=answer.allocation_id, actor=ALICE, now=world.clock.now)
        give_out(other, world)
        assert given_out_by()["GPU-a-0"] == ["other"]

    def test_may_move_the_card_beside_one_that_is_claimed(self, world):
        other = shown_by(world)
        world.ask()
        row = Capacity.objects.get(pool=world.pool, kind="cards")
        free = Device.objects.get(capacity=row, position=row.pos_claimed_milli.index(0) + 1)

        give_out(other, world, free.uuid)

        assert given_out_by()[free.uuid] == ["other"]
        check(world)

    def test_is_refused_while_it_is_held_booked_or_marked(self, world):
        other = shown_by(world)
        held = world.ask(2, hold_seconds=600)
        with pytest.raises(DevicePromised):
            give_out(other, world)
        allocations.release(allocation_id=held.allocation_id, actor=ALICE, now=world.clock.now)

        waits = world.ask(9, queue=True).allocation_id
        start_at = world.clock.now + timedelta(hours=1)
        at = card(world.pool)
        booking = Booking.objects.create(
            capacity_id=at.capacity_id, position=at.position, allocation_id=waits, milli=1000, memory_mib=0,
            start_at=start_at,
        )  # fmt: skip
        with pytest.raises(DevicePromised):
            give_out(other, world)
        booking.delete()

        marked = device("a-0", index=0, uses=(UseFact(holder="vm", milli=1000, marker="oc-left"),))
        again(world, world.pool, holding("a", marked, device("a-1", index=1)))
        with pytest.raises(DevicePromised):
            give_out(other, world)

    def test_is_told_that_no_other_pool_shows_it(self, world):
        with pytest.raises(DeviceNoTwin, match=r"^No other pool shows this card\.$"):
            give_out(world.pool, world)

    def test_cannot_move_a_card_that_is_gone(self, world):
        gone = card(world.pool)
        Device.objects.filter(pk=gone.pk).update(retired_at=world.clock.now)

        with pytest.raises(DeviceMissing):
            twins.give_out(device_id=gone.pk, actor=ALICE, now=world.clock.now)


class TestAPoolThatIsLeft:
    def test_counts_the_card_again_when_the_other_retires_it(self, world):
        other = shown_by(world)
        rest = [node(f"n{number}") for number in range(12)]
        again(world, world.pool, node("a"), *rest)
        for _ in range(4):
            world.clock.forward(minutes=6)
            synced(world.pool, Shows(*rest), world.clock)
        assert not Device.objects.filter(pool=world.pool, uuid="GPU-a-0", retired_at=None).exists()

        again(world, other)

        assert {given_out_by()[uuid][0] for uuid in ("GPU-a-0", "GPU-a-1")} == {"other"}
        assert totals(other) == {"cards": (2000, 2000), "host": (64000, 64000)}
        again(world, world.pool, node("a"), *rest)
        assert given_out_by()["GPU-a-0"] == ["other"], "what comes back does not take it away"
        check(world)

    def test_counts_the_card_again_when_the_other_pool_is_removed(self, world):
        other = shown_by(world)
        pools.remove(pool_id=world.pool.id, actor=ALICE, now=world.clock.now)

        again(world, other)

        assert given_out_by() == {"GPU-a-0": ["other"], "GPU-a-1": ["other"]}

    def test_counts_it_again_when_the_cards_turn_out_to_be_two(self, world):
        one = pool("one")
        synced(one, Shows(holding("x", device("x", uuid=None, serial="S"))), world.clock)
        other = shown_by(world, "other", holding("y", device("y", uuid="GPU-y", serial="S")))
        assert given_out_by()["GPU-y"] == []

        again(world, one, holding("x", device("x", uuid="GPU-x", serial="S")))
        again(world, other, holding("y", device("y", uuid="GPU-y", serial="S")))

        assert (given_out_by()["GPU-x"], given_out_by()["GPU-y"]) == (["one"], ["other"])


class TestCardsThatSayLaterWhoTheyAre:
    def test_count_where_they_were_shown_first(self, world):
        other = shown_by(world, "other", holding("b", device("b-0", uuid=None)))
        assert totals(other)["cards"] == (1000, 1000)

        again(world, other, holding("b", device("b-0", uuid="GPU-a-0")))

        assert given_out_by()["GPU-a-0"] == ["lab"]
        check(world)

    def test_count_where_they_are_given_out(self, world):
        other = shown_by(world, "other", holding("b", device("b-0", uuid=None)))
        again(world, world.pool, holding("a", device("a-0", uses=(use(),)), device("a-1", uses=(use(),))))
        assert world.allocation(world.ask()).pool_id == other.id

        again(world, other, holding("b", device("b-0", uuid="GPU-a-0")))

        assert given_out_by()["GPU-a-0"] == ["other"]
        check(world)


class TestCardsThatBothPoolsCountedBeforeThisRule:
    @pytest.fixture
    def other(self, world):
        """As an older ocenter left it."""
        other = shown_by(world)
        Device.objects.update(is_elsewhere=False)
        again(world, other, node("a", ref="ref-of-other", labels={"seen": "again"}))
        return other

    def test_are_settled_by_the_next_sync(self, world, other):
        assert given_out_by() == {"GPU-a-0": ["lab"], "GPU-a-1": ["lab"]}
        check(world)

    def test_that_both_gave_out_stay_with_the_first_and_take_nothing_new(self, world, other):
        rows = Capacity.objects.filter(kind="cards")
        rows.update(pos_claimed_milli=[1000, 0], pos_claimed_mib=[1, 0], ceiling_milli=2000)
        Device.objects.update(is_elsewhere=False)

        again(world, other)

        assert given_out_by()["GPU-a-0"] == ["lab"]
        (both,) = [each for each in shared.checked() if each.is_claimed_twice]
        assert (both.name, both.one_pool, both.other_pool) == ("GPU-a-0", "lab", "other")
        assert not both.is_counted_twice
        late = rows.get(pool=other)
        assert (late.total_milli, late.claimed_milli, late.free_milli) == (0, 1000, 0)


class TestAPoolThatPromisesOnlyItsSum:
    def test_has_no_part_in_its_sum_for_what_another_gives_out(self, world):
        other = shown_by(world, "other", node("b"), node("a"), grain="pool", mode="quota")
        row = Capacity.objects.get(pool=other, node=None)

        assert (row.total_milli, row.free_milli) == (2000, 2000)
        give_out(other, world)
        row.refresh_from_db()
        assert (row.total_milli, row.free_milli) == (3000, 3000)
        check(world)

    def test_keeps_all_its_cards_while_it_has_given_anything_out(self, world):
        other = shown_by(world, "other", node("b"), node("a"), grain="pool", mode="quota")
        give_out(other, world)
        row = Capacity.objects.filter(pool=other, node=None)
        row.update(pos_claimed_milli=[1000], pos_claimed_mib=[1])

        with pytest.raises(DevicePromised):
            give_out(world.pool, world)

        row.update(pos_claimed_milli=[0], pos_claimed_mib=[0])
        give_out(world.pool, world)
        assert Capacity.objects.get(pool=other, node=None).total_milli == 2000
