"""How broken up what is free is, over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import PoolSync
from pools.services import packing_prices, pools
from tests.api.tenants import caller
from tests.factories import ALICE, Shows, granted, holding, node, person, pool, project, synced
from tests.factories import device as card
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    """A node of eight that are free, in two link groups, and one of which five are."""
    whole = holding("n1", *(card(f"n1-{i}", index=i, link_group=f"g{i // 4}") for i in range(8)))
    made = World(whole, node("n2", devices=5))
    made.clock.now = timezone.now()
    made.observe()
    return made


def shapes(row):
    return {each["devices_per_member"]: each for each in row["largest"]}


class TestFragmentation:
    def test_names_the_largest_shapes_that_fit_now(self, api, world):
        (row,) = api.get("/fragmentation").data["results"]

        found = shapes(row)
        assert (row["pool"], row["model"], row["is_open"]) == ("lab", H100, True)
        assert {size: each["members"] for size, each in found.items()} == {1: 13, 2: 6, 4: 3, 8: 1}
        assert (found[4]["members_in_link_groups"], found[8]["members_in_link_groups"]) == (2, 0)
        assert found[4]["members_in_one_rack"] == 3

    def test_follows_what_is_claimed(self, api, world):
        world.ask(8)

        (row,) = api.get("/fragmentation").data["results"]

        assert {size: each["members"] for size, each in shapes(row).items()} == {1: 5, 2: 2, 4: 1, 5: 1}
        assert row["free_milli"] == 5000

    def test_scores_what_the_requests_that_came_cannot_use(self, api, world):
        before = api.get("/fragmentation").data["results"][0]
        world.learn(nodes=1)

        (row,) = api.get("/fragmentation").data["results"]

        assert (before["score"], before["unusable_milli"]) == (None, None)
        assert (row["free_milli"], row["unusable_milli"]) == (13_000, 5000)
        assert row["score"] == pytest.approx(5 / 13, abs=1e-4)

    def test_counts_nodes_that_are_alike_as_often_as_they_are(self, api):
        packing_prices._noted = packing_prices._Noted()
        made = World(count=5)
        made.clock.now = timezone.now()
        made.observe()

        (row,) = api.get("/fragmentation").data["results"]

        assert shapes(row)[8]["members"] == 5 and row["free_milli"] == 40_000

    def test_names_no_shapes_of_pools_that_take_no_requests(self, api, world):
        pools.pause(pool_id=world.pool.pk, actor=ALICE, now=world.clock.now)
        paused = api.get("/fragmentation").data["results"][0]
        pools.resume(pool_id=world.pool.pk, actor=ALICE, now=world.clock.now)
        PoolSync.objects.update(observed_at=world.clock.now - timedelta(days=1))

        late = api.get("/fragmentation").data["results"][0]

        assert [(row["is_open"], row["largest"], row["free_milli"]) for row in (paused, late)] == [
            (False, [], 13_000)
        ] * 2

    def test_promises_no_more_than_a_pool_has_as_a_whole(self, api):
        made = World(count=2, grain="pool", mode="quota")
        made.clock.now = timezone.now()
        made.observe()
        before = api.get("/fragmentation").data["results"][0]
        made.ask(4)

        (row,) = api.get("/fragmentation").data["results"]

        assert {size: each["members"] for size, each in shapes(before).items()} == {1: 16, 2: 8, 4: 4, 8: 2}
        assert {size: each["members"] for size, each in shapes(row).items()} == {1: 12, 2: 6, 4: 3, 8: 1}

    def test_tells_tenants_of_their_pools_what_fits_and_not_the_sums(self, api, world):
        vera = person("vera")
        granted(world.pool, project("beta", viewer=vera))
        synced(pool("theirs"), Shows(node("n9")), world.clock)

        mine = caller(vera).get("/fragmentation").data["results"]

        assert len(api.get("/fragmentation").data["results"]) == 2
        assert [row["pool"] for row in mine] == ["lab"] and shapes(mine[0])[8]["members"] == 1
        assert mine[0].keys() == {"pool", "pool_id", "model", "vendor", "is_open", "largest", "measured_at"}

    @pytest.mark.parametrize(
        ("query", "count"), [("pool=lab", 1), ("vendor=nvidia", 1), ("vendor=huawei", 0), (f"model={H100}", 1)]
    )
    def test_is_filtered(self, api, world, query, count):
        assert len(api.get(f"/fragmentation?{query}").data["results"]) == count

    def test_goes_on_behind_the_cursor_by_name(self, api, world):
        for name in ("aa", "zz"):
            synced(pool(name), Shows(node(name)), world.clock)

        first = api.get("/fragmentation?limit=2").data
        second = api.get(first["next"].partition("/api/v1")[2]).data

        assert [row["pool"] for row in first["results"] + second["results"]] == ["aa", "lab", "zz"]
        assert second["next"] is None
