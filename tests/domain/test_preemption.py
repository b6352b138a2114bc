"""Who gives way: in one pool, none too many, nobody who was promised to stay, and the same whatever the order."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pools.domain import overlays
from pools.domain.candidates import End
from pools.domain.decisions import Decision
from pools.domain.planner import plan
from pools.domain.preemption import Victim, may_go
from pools.domain.preemption import choose as choose_of
from pools.domain.quotas import Ask
from tests.domain.views import MIB, node, pool, view, want
from tests.factories import NOW

TENANT, OTHER = UUID(int=7), UUID(int=8)


def victim(number, row, positions, *, of=1, priority=10, **fields):
    """Somebody who has whole cards of a row of ``node``."""
    end = End(capacity_id=UUID(int=1000 + row), in_seconds=0, positions=tuple(positions), milli=1000, mib=MIB)
    defaults = {
        "name": f"v{number}", "project": "acme/team", "root_id": TENANT, "is_preemptible": True, "is_borrowed": False,
        "started_at": NOW - timedelta(hours=number), "min_run_seconds": 0, "notice_seconds": 0,
    }  # fmt: skip
    return Victim(
        allocation_id=UUID(int=number), pool_id=UUID(int=of), priority=priority, milli=1000 * len(positions),
        ask=Ask((TENANT,), None, None, UUID(int=of), 1000 * len(positions), 0), ends=(end,), **(defaults | fields),
    )  # fmt: skip


def choose(read, wanted, victims, has_quota=lambda decision, gone: True):
    return choose_of(read, wanted, victims, has_quota=has_quota)


@st.composite
def fleets(draw):
    """Two pools of full nodes with four cards, whose holders may all give way."""
    rows, victims = [], []
    for row in range(1, draw(st.integers(1, 4)) + 1):
        of = draw(st.sampled_from([1, 2]))
        rows.append(node(row, (0,) * 4, of=of))
        left = [1, 2, 3, 4]
        while left and draw(st.booleans()):
            taken, left = left[: (size := draw(st.integers(1, len(left))))], left[size:]
            number, priority = len(victims) + 1, draw(st.sampled_from([10, 20, 30]))
            victims.append(victim(number, row, taken, of=of, priority=priority))
    return view(*rows, pools=(pool(1), pool(2))), victims


requests = st.builds(want, members=st.integers(1, 3), devices_per_member=st.integers(1, 4))


def fits(read, wanted, gone):
    freed = overlays.freed(read, [end for each in gone for end in each.ends])
    return isinstance(plan(freed, wanted), Decision)


class TestThoseWhoGiveWay:
    @given(fleets(), requests)
    def test_are_enough_and_in_one_pool_and_none_of_them_could_stay(self, fleet, wanted):
        read, victims = fleet
        found = choose(read, wanted, victims)
        if found is None:
            for each in read.pools:
                assert not _fits_in(read, wanted, [one for one in victims if one.pool_id == each.id], each.id)
            return

        gone = found.victims
        assert {each.pool_id for each in gone} == {found.pool_id} == {found.decision.pool_id}
        assert fits(read, wanted, gone)
        for each in gone:
            others = [one for one in gone if one is not each]
            assert not others or not _fits_in(read, wanted, others, found.pool_id)

    @given(fleets(), requests, st.randoms())
    def test_are_the_same_in_whatever_order_they_come(self, fleet, wanted, chance):
        read, victims = fleet
        first = choose(read, wanted, victims)
        chance.shuffle(victims)

        assert choose(read, wanted, victims) == first

    def test_are_one_where_one_is_enough_though_others_are_first_to_go(self):
        victims = [victim(1, 1, [1]), victim(2, 1, [2]), victim(3, 1, [3, 4], priority=20)]

        found = choose(view(node(1, (0,) * 4)), want(devices_per_member=2), victims)

        assert [each.name for each in found.victims] == ["v3"]

    def test_are_of_the_lowest_priority_then_borrowed_then_the_youngest(self):
        victims = [
            victim(1, 1, [1], priority=20),
            victim(2, 1, [2]),
            victim(3, 1, [3]),
            victim(4, 1, [4], is_borrowed=True),
        ]
        read = view(node(1, (0,) * 4))

        for size, names in ((1, ["v4"]), (2, ["v4", "v2"]), (3, ["v4", "v2", "v3"])):
            found = choose(read, want(members=size), victims)
            assert [each.name for each in found.victims] == names

    def test_are_nobody_where_all_of_them_would_not_do(self):
        assert choose(view(node(1, (0,) * 4)), want(devices_per_member=3), [victim(1, 1, [1, 2])]) is None

    def test_have_their_longest_notice(self):
        victims = [victim(1, 1, [1, 2], notice_seconds=60), victim(2, 1, [3, 4], notice_seconds=600)]

        assert choose(view(node(1, (0,) * 4)), want(devices_per_member=4), victims).notice_seconds == 600


def _fits_in(read, wanted, gone, pool_id):
    rows = [row for row in read.candidates if row.pool_id == pool_id]
    return fits(view(*rows, pools=tuple(each for each in read.pools if each.id == pool_id)), wanted, gone)


class TestWhoMayGo:
    def test_is_preemptible_and_of_a_lower_priority(self):
        assert may_go(victim(1, 1, [1], priority=49), 50, OTHER, NOW, reclaims=False)
        assert not may_go(victim(1, 1, [1], priority=50), 50, OTHER, NOW, reclaims=True)
        assert not may_go(victim(1, 1, [1], is_preemptible=False), 50, OTHER, NOW, reclaims=True)

    def test_or_has_borrowed_of_the_tenant_that_wants_its_own_back(self):
        borrowed = victim(1, 1, [1], priority=50, is_preemptible=False, is_borrowed=True)

        assert may_go(borrowed, 50, TENANT, NOW, reclaims=True)
        assert not may_go(borrowed, 49, TENANT, NOW, reclaims=True)
        assert not may_go(borrowed, 50, OTHER, NOW, reclaims=True)
        assert not may_go(borrowed, 50, TENANT, NOW, reclaims=False)

    def test_once_it_ran_as_long_as_it_was_promised(self):
        promised = victim(1, 1, [1], started_at=NOW - timedelta(seconds=59), min_run_seconds=60)

        assert not may_go(promised, 50, OTHER, NOW, reclaims=False)
        assert may_go(promised, 50, OTHER, NOW + timedelta(seconds=1), reclaims=False)
