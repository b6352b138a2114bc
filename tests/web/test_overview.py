"""The fleet at a glance: what it sums, what it does not know, and what it costs."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pools.models import CapacityRollup, Device, Pool
from pools.selectors import fleet as selector
from tests import factories
from tests.factories import Shows, node
from tests.web.conftest import observed

pytestmark = pytest.mark.django_db


class TestSums:
    def test_count_every_device_once(self, fleet, clock):
        found = selector.overview(clock.now)

        live = Device.objects.filter(retired_at=None).exclude(pool__state="registering")
        assert found["totals"]["devices"] == live.count()
        assert found["totals"]["devices"] == sum(len(cells) for cells in found["cells"].values())

    def test_add_up(self, fleet, clock):
        totals = selector.overview(clock.now)["totals"]

        parts = ("claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli")
        assert totals["total_milli"] == sum(totals[part] for part in parts) > 0

    def test_say_how_much_of_them_is_old(self, fleet, clock):
        totals = selector.overview(clock.now)["totals"]

        assert totals["stale_devices"] == 2  # of the pool that was seen an hour ago
        assert totals["stale_pools"] == 2  # that one and the one that was never seen

    def test_put_the_pools_that_are_not_shown_into_one_line(self, fleet, clock, monkeypatch):
        monkeypatch.setattr(selector, "SHOWN_POOLS", 2)

        found = selector.overview(clock.now)

        assert len(found["pools"]) == 2 and found["others"]["pools"] == found["totals"]["pools"] - 2
        shown = sum(pool["devices"] for pool in found["pools"])
        assert shown + found["others"]["devices"] == found["totals"]["devices"]


class TestPage:
    def test_says_unknown_and_not_zero_of_a_pool_that_was_never_seen(self, console, clock):
        factories.pool("fresh")

        page = console.get("/").content.decode()

        assert page.count("not yet known") >= 2 and "1 pool not yet known" in page

    def test_says_that_numbers_are_not_fresh(self, console, fleet):
        page = console.get("/").content.decode()

        assert "The numbers of 2 pools with 2 devices are not fresh." in page

    def test_names_what_needs_a_person(self, console, fleet):
        page = console.get("/").content.decode()

        assert "lossy: a run waits for your decision" in page and f"/sync-runs/{fleet['held_run']}/" in page
        assert "late is not observed any more" in page
        assert "The platform does not answer." in page
        assert "1 device is seen in two pools" in page
        assert "not in the catalogue" in page

    def test_draws_one_cell_for_each_device(self, console, fleet):
        page = console.get("/").content.decode()

        devices = Device.objects.filter(pool=fleet["lab"], retired_at=None).count()
        assert f'data-count="{devices}"' in page

    def test_draws_a_large_fleet_from_sums_alone(self, console, fleet):
        CapacityRollup.objects.filter(pool=fleet["lab"], kind="cards").update(units=100_000, free_milli=100_000_000)

        with CaptureQueriesContext(connection) as queries:
            page = console.get("/").content.decode()

        assert re.search("One cell stands for [125]00 devices.", page)
        assert not [query for query in queries.captured_queries if "FROM device d" in query["sql"]]

    def test_costs_the_same_for_more_pools(self, console, clock):
        observed(factories.pool("first"), Shows(node("a")), clock)
        console.get("/")
        with CaptureQueriesContext(connection) as few:
            console.get("/")
        for number in range(15):
            observed(factories.pool(f"more-{number}", identity=f"far-{number}"), Shows(node(f"m{number}")), clock)

        with CaptureQueriesContext(connection) as many:
            console.get("/")

        assert len(many) == len(few)

    def test_leaves_drafts_out(self, console, fleet):
        assert ">begun<" not in console.get("/").content.decode()


class TestCell:
    def test_leads_to_the_device_that_is_drawn_there(self, console, fleet, clock):
        letters = selector.cells([fleet["lab"].pk])[fleet["lab"].pk]

        for number, letter in enumerate(letters):
            found = selector.cell(fleet["lab"].pk, number)
            assert found is not None and found["cell"] == letter
        response = console.get(f"/map/{fleet['lab'].pk}/{letters.index('x')}/")
        assert response.status_code == 302
        assert Device.objects.get(pk=response.headers["Location"].split("/")[2]).ref == "sick"

    def test_explains_itself_in_short(self, console, fleet):
        hint = console.get(f"/map/{fleet['lab'].pk}/0/", headers={"X-Fragment": "cell"})

        assert hint.status_code == 200 and len(hint.content) < 400

    def test_past_the_last_one_is_not_there(self, console, fleet):
        assert console.get(f"/map/{fleet['lab'].pk}/100000/").status_code == 404


class TestTimeline:
    def test_shows_the_gravest_of_each_slice(self, fleet, clock):
        found = selector.timeline([fleet["lab"].pk, fleet["broken"].pk, fleet["lossy"].pk], clock.now)

        last = selector.TIMELINE_BUCKETS
        severity = {pool.name: max(found["severities"][pool.pk].values()) for pool in Pool.objects.filter(
            pk__in=found["severities"])}  # fmt: skip
        assert severity == {"lab": 0, "broken": 3, "lossy": 2}
        assert all(bucket in (last - 1, last) for bucket in found["severities"][fleet["lab"].pk])

    def test_forgets_what_is_older(self, fleet, clock):
        found = selector.timeline([fleet["lab"].pk], clock.now + timedelta(hours=7))

        assert found["severities"] == {fleet["lab"].pk: {}}
