"""Asking again costs little while nothing has changed, and nobody is told that something is still so when it is not."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import CapacityRollup, Credential, Pool, PoolSync, SyncRun
from pools.services import sync_runs
from tests.factories import Clock, Shows, node, pool, synced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    """A pool "lab" with a finished run."""
    made = synced(pool("lab"), Shows(node("a")), Clock(timezone.now()))
    PoolSync.objects.update(health="online")
    return made


def again(api, address, answer):
    return api.get(address, headers={"If-None-Match": answer["ETag"]})


ADDRESSES = ("/pools", "/pools?q=lab", "/pools/lab", "/sync-runs", "/sync-runs?pool=lab&limit=1")


class TestAskingAgain:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_is_answered_304_while_nothing_has_changed(self, api, run, address):
        first = api.get(address)

        second = again(api, address, first)

        assert (first.status_code, second.status_code, second.content) == (200, 304, b"")
        assert second["ETag"] == first["ETag"] and second["Cache-Control"] == "private, no-cache"
        assert api.get(address, headers={"If-None-Match": f'"other", W/{first["ETag"]}'}).status_code == 304

    def test_of_one_run_is_too(self, api, run):
        address = f"/sync-runs/{run.id}"

        assert again(api, address, api.get(address)).status_code == 304
        assert api.get("/sync-runs/00000000-0000-7000-8000-000000000000").status_code == 404

    @pytest.mark.parametrize(
        "change",
        [
            lambda: Pool.objects.update(region="eu"),
            lambda: PoolSync.objects.update(health="degraded"),
            lambda: PoolSync.objects.update(observed_at=timezone.now() - timedelta(hours=1)),
            lambda: SyncRun.objects.update(state="failed"),
            lambda: CapacityRollup.objects.filter(kind="cards").update(claimed_milli=500),
            lambda: Credential.objects.create(pool=Pool.objects.get(), state="active", created_at=timezone.now()),
        ],
    )
    def test_sees_whatever_has_changed(self, api, run, change):
        listed, one = api.get("/pools"), api.get("/pools/lab")

        change()

        assert again(api, "/pools", listed).status_code == 200
        assert again(api, "/pools/lab", one).status_code == 200

    def test_sees_that_a_pool_became_stale_though_nothing_was_written(self, api, run):
        PoolSync.objects.update(observed_at=timezone.now() - timedelta(seconds=179.5))
        first = api.get("/pools/lab")
        assert first.data["stale"] is False

        time.sleep(0.6)
        second = again(api, "/pools/lab", first)

        assert second.status_code == 200 and second.data["stale"] is True

    def test_sees_new_runs_and_pools_that_came_and_went(self, api, run, admin):
        runs, pools = api.get("/sync-runs"), api.get("/pools")

        api.post("/pools/lab/sync")
        hall = pool("hall")

        assert again(api, "/sync-runs", runs).status_code == 200
        with_hall = again(api, "/pools", pools)
        assert [each["name"] for each in with_hall.data["results"]] == ["hall", "lab"]
        PoolSync.objects.filter(pool=hall).delete()
        hall.delete()
        assert again(api, "/pools", with_hall).status_code == 200
        assert sync_runs.is_queued(run.pool_id)

    def test_costs_less_than_the_answer(self, api, run, django_assert_num_queries):
        first, runs = api.get("/pools/lab"), api.get("/sync-runs")

        with django_assert_num_queries(2):  # the id of the name, the version
            again(api, "/pools/lab", first)
        with django_assert_num_queries(1):  # the version
            again(api, "/sync-runs", runs)


class TestAnETag:
    def test_lets_an_edit_through_that_a_sync_overtook(self, api, run):
        tag = api.get("/pools/lab")["ETag"]
        PoolSync.objects.update(health="degraded")

        first = api("PATCH", "/pools/lab", {"region": "eu"}, headers={"If-Match": tag})
        second = api("PATCH", "/pools/lab", {"region": "us"}, headers={"If-Match": tag})

        assert (first.status_code, second.status_code) == (200, 412)
        assert again(api, "/pools/lab", first).status_code == 304

    def test_that_is_not_ours_is_like_none(self, api, run):
        for header in ("x", '"', "W/", "é".encode().decode("latin-1"), '"1"' * 1000):
            assert api.get("/pools/lab", headers={"If-None-Match": header}).status_code == 200
