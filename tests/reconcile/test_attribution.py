"""Observed use is a claim's own, an orphan's or shadow use, and lowers what is free once (invariant 11)."""

from collections.abc import Sequence

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.contract import UseFact
from pools.models import Allocation, Capacity, Claim, Device, LedgerEvent, Operation, Pool
from pools.services import attribution
from tests.factories import NOW, Clock, Shows, device, holding, pool, project, synced, use
from tests.reconcile.binding import Lab
from tests.reconcile.invariants import check_sums

pytestmark = pytest.mark.django_db(transaction=True)

_numbers = iter(range(10**6))
# What became of the claim that a use carries the marker of, if it carries one.
FATES = ("others", "live", "released", "over", "unknown")
_uses = st.lists(st.tuples(st.sampled_from(FATES), st.sampled_from([100, 250, 500, 1000])), max_size=3)


def claimed(of: Pool, row: Capacity, position: int, fate: str, milli: int) -> str:
    """Make a claim as claiming and giving back write it; return its marker."""
    marker = f"oc-{next(_numbers):020}"
    if fate == "unknown":
        return marker
    allocation = Allocation.objects.create(
        project=project("acme"),
        state="active",
        spec={},
        members=1,
        devices_per_member=1,
        created_at=NOW,
        changed_at=NOW,
    )
    Operation.objects.create(
        pool=of,
        allocation=allocation,
        member_index=0,
        action="apply",
        target_ref=marker,
        created_at=NOW,
        changed_at=NOW,
    )
    Claim.objects.create(
        allocation=allocation, member_index=0, pool=of, capacity=row, positions=[position], milli=milli, memory_mib=0,
        created_at=NOW, released_at=None if fate == "live" else NOW,
    )  # fmt: skip
    if fate == "live":
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE capacity SET pos_claimed_milli[%(p)s] = pos_claimed_milli[%(p)s] + %(n)s,"
                " ceiling_milli = greatest(ceiling_milli, claimed_milli + held_milli + %(n)s) WHERE id = %(id)s",
                {"p": position, "n": milli, "id": row.id},
            )
    return marker


@pytest.mark.parametrize("grain", ["device", "pool"])
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)
@given(uses=st.lists(_uses, min_size=3, max_size=3))
def test_the_parts_add_up_whatever_is_used_by_whom(grain: str, uses: Sequence[Sequence[tuple[str, int]]]) -> None:
    clock, number = Clock(), next(_numbers)
    lab = pool(f"a{number}", grain=grain, mode="pool" if grain == "pool" else "device")
    bare = [device(f"d{number}-{i}", index=i) for i in range(3)]
    synced(lab, Shows(holding("n1", *bare)), clock)
    row = Capacity.objects.get(pool=lab, kind="counter" if grain == "pool" else "cards", is_advisory=False)
    # "over" was given back before a complete observation that is through, "released" after it.
    given_back: dict[str, list[str]] = {"over": [], "released": []}
    marked = []
    for i, each in enumerate(uses):
        found: list[UseFact] = []
        for fate, milli in each:
            marker = None
            if fate != "others":
                marker = claimed(lab, row, 1 if grain == "pool" else i + 1, fate, milli)
                given_back.get(fate, []).append(marker)
            found.append(use(f"h{len(found)}", milli, marker=marker))
        marked.append(device(f"d{number}-{i}", index=i, uses=tuple(found)))
    clock.forward(minutes=1)
    synced(lab, Shows(holding("n1", *bare)), clock)
    of_released = Operation.objects.filter(target_ref__in=given_back["released"]).values("allocation")
    Claim.objects.filter(allocation__in=of_released).update(released_at=clock.now)
    clock.forward(minutes=1)

    synced(lab, Shows(holding("n1", *marked)), clock)

    explained = {"live", "released"}
    shadow = [min(1000, sum(milli for fate, milli in each if fate not in explained)) for each in uses]
    own = [min(1000, sum(milli for fate, milli in each if fate in explained)) for each in uses]
    devices = Device.objects.filter(pool=lab).order_by("index")
    assert list(devices.values_list("shadow_milli", "own_milli")) == list(zip(shadow, own, strict=True))
    for line in Capacity.objects.filter(pool=lab):
        parts = (line.claimed_milli, line.held_milli, line.shadow_milli, line.faulty_milli, line.free_milli)
        positions = zip(line.pos_claimed_milli, line.pos_total_milli, strict=True)
        assert sum(parts) == line.total_milli + sum(max(0, ours - total) for ours, total in positions), line.kind
    check_sums(lab.id)
    row.refresh_from_db()
    if grain == "device":
        assert row.pos_shadow_milli == shadow
    else:
        left = [min(of_others, 1000 - ours) for of_others, ours in zip(shadow, own, strict=True)]
        assert row.pos_shadow_milli == [sum(left)]
        assert Capacity.objects.get(pool=lab, kind="cards").pos_claimed_milli == own, "where a node has room is told"

    # One complete observation more, of which nothing changed: what was given back is explained no longer.
    clock.forward(minutes=1)
    synced(lab, Shows(holding("n1", *marked)), clock)

    explained = {"live"}
    shadow = [min(1000, sum(milli for fate, milli in each if fate not in explained)) for each in uses]
    assert list(devices.values_list("shadow_milli", flat=True)) == shadow
    check_sums(lab.id)


@given(
    uses=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 10**5), st.booleans()), max_size=4),
    total_milli=st.integers(0, 1000),
    total_mib=st.integers(0, 81920),
)
def test_a_share_is_at_most_all_there_is(uses, total_milli, total_mib) -> None:
    facts = [use("h", milli, memory_mib=mib, marker="oc-a" if is_own else None) for milli, mib, is_own in uses]

    found = attribution.shares(facts, total_milli, total_mib, {"oc-a"})

    assert found.shadow_milli == min(total_milli, sum(milli for milli, _, is_own in uses if not is_own))
    assert found.own_milli == min(total_milli, sum(milli for milli, _, is_own in uses if is_own))
    assert 0 <= found.shadow_mib <= total_mib and 0 <= found.own_mib <= total_mib


@pytest.mark.parametrize("mode", ["device", "node", "pool"])
class TestAnAllocationThatIsObserved:
    @pytest.fixture
    def lab(self, mode, tmp_path):
        return Lab(tmp_path, Clock(), mode=mode)

    def sums(self, lab):
        (row,) = Capacity.objects.filter(pool=lab.pool, node=None, is_advisory=False) or [None]
        rows = [row] if row else Capacity.objects.filter(pool=lab.pool, kind="cards")
        return tuple(
            sum(getattr(each, f"{name}_milli") for each in rows) for name in ("total", "claimed", "shadow", "free")
        )

    def test_lowers_what_is_free_once(self, lab):
        id = lab.ask(2)
        lab.advance()

        lab.simulation.sync_now()

        assert lab.state(id) == "active" and self.sums(lab) == (8000, 2000, 0, 6000)
        assert sum(Device.objects.values_list("own_milli", flat=True)) == 2000
        assert not LedgerEvent.objects.filter(kind="shadow", pool_id=lab.pool.id).exists()

    def test_leaves_everything_free_when_it_is_given_back(self, lab):
        id = lab.ask(2)
        lab.advance()
        lab.simulation.sync_now()
        lab.release(id)
        lab.advance()

        lab.clock.forward(minutes=1)
        lab.simulation.sync_now()

        assert lab.state(id) == "released" and self.sums(lab) == (8000, 0, 0, 8000)
        lab.clock.forward(minutes=1)
        assert lab.simulation.sync_now().changed == 0

    def test_is_shadow_use_when_it_is_still_there_long_after(self, lab):
        id = lab.ask(1)
        lab.advance()
        kept = lab.there()
        lab.simulation.sync_now()
        lab.release(id)
        lab.advance()
        with lab.store.changing() as state:
            state.targets |= kept

        for is_over in (False, True, True):
            lab.clock.forward(minutes=1)
            lab.simulation.sync_now()

            assert self.sums(lab) == ((8000, 0, 1000, 7000) if is_over else (8000, 0, 0, 8000))
