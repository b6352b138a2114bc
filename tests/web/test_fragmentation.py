"""The page of fragmentation: how much is of no use, what still fits, and what people of projects see of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import FragmentationDay
from pools.services import fragmentation, pools
from tests import factories
from tests.factories import ALICE, NOW, Shows, node, pool, synced
from tests.services.asking import H100
from tests.web.reading import read
from tests.web.test_allocations import logged_in

pytestmark = pytest.mark.django_db(transaction=True)


def words(client, address="/fragmentation/"):
    return " ".join(read(address, client.get(address).content).texts)


class TestFragmentation:
    def test_shows_the_largest_shape_and_all_others(self, console, world):
        world.show(node("n0", devices=8), node("n2", devices=5))

        shown = words(console)

        assert "1 member × 8" in shown and "3 × 4" in shown and "13 × 1" in shown
        assert "not known before the first requests" in shown

    def test_draws_what_is_of_no_use_once_requests_came(self, console, world):
        world.show(node("n0", devices=8), node("n2", devices=5))
        world.learn(nodes=1)

        page = console.get("/fragmentation/").content.decode()

        assert "38.5%" in page and '<rect class="s-faulty" x="0.00%" width="38.46%"' in page
        assert "5 of 13 free devices" in page

    def test_draws_how_the_days_went(self, console, world):
        world.learn(nodes=1)
        fragmentation.measure(now=NOW - timedelta(days=2))
        world.show(node("n0", devices=8), node("n2", devices=8), node("n3", devices=5))
        fragmentation.measure(now=NOW)
        FragmentationDay.objects.filter(day=NOW.date()).update(day=timezone.now().date())
        FragmentationDay.objects.exclude(day=timezone.now().date()).update(
            day=timezone.now().date() - timedelta(days=2)
        )

        page = console.get("/fragmentation/").content.decode()

        assert 'viewBox="0 0 11 20"' in page and page.count('width="3"') == 2
        assert "From 0.0% to 23.8% in 2" in page or "From 0% to 23.8% in 2" in page

    def test_says_where_nothing_is_taken(self, console, world):
        pools.pause(pool_id=world.pool.pk, actor=ALICE, now=world.clock.now)

        assert "takes no requests now" in words(console)

    def test_keeps_its_filters_in_the_address(self, console, world):
        synced(pool("other"), Shows(node("o1")), world.clock)

        one = words(console, "/fragmentation/?pool=other")
        none = words(console, "/fragmentation/?vendor=huawei")
        wrong = words(console, "/fragmentation/?pool=nowhere")

        assert "2 × 1" in one and "8 × 1" not in one
        assert "Nothing matches" in none and "there is nothing of this name" in wrong

    def test_tells_people_of_projects_what_fits_in_their_pools_and_no_sums(self, world):
        synced(pool("theirs"), Shows(node("o1")), world.clock)
        world.learn(nodes=1)
        ed = logged_in(factories.person("ed"), "acme/vision", "member")

        shown = words(ed)

        assert "lab" in shown and "1 member × 8" in shown and "theirs" not in shown
        assert "Of no use" not in shown and H100 not in shown

    def test_is_empty_for_who_may_use_nothing(self, world):
        fay = logged_in(factories.person("fay"), "beta", "viewer")

        assert "No pool has devices yet" in words(fay)

    def test_costs_as_many_queries_for_many_as_for_few(self, console, world, django_assert_num_queries):
        for name in ("aa", "bb", "cc"):
            synced(pool(name), Shows(node(name)), world.clock)
        console.get("/fragmentation/")

        with django_assert_num_queries(2 + 4):
            console.get("/fragmentation/")
