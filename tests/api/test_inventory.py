"""Nodes, devices, models, runs and changes over HTTP, after real synchronisations."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connectors.contract import CounterFact
from pools.models import ChipModel, PoolSync
from pools.services.models import load_catalogue
from tests.factories import Clock, Shows, device, holding, node, pool, synced, use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fleet():
    """Two pools: one with four nodes of every sort, one with a node of another vendor."""
    clock = Clock(timezone.now())
    lab, hall = pool("lab", labels={"tier": "prod"}), pool("hall", labels={"tier": "test"}, kind="openstack")
    shown = Shows(
        node("a", devices=4, labels={"zone": "x"}),
        holding("b", device("b-0", uses=(use("ns/pod"),)), device("b-1", health="faulty", health_reason="ECC")),
        node("c", devices=2, is_available=False, unavailable_reason="cordoned"),
        holding("d", counters=(CounterFact(ref="x.com/mig-1g", vendor="nvidia", model="A100", total_units=3),)),
    )
    synced(lab, shown, clock)
    ascend = device("e-0", vendor="huawei", model="Ascend 910B3", pci_id=None, uuid=None, serial="SN-77")
    synced(hall, Shows(holding("e", ascend)), clock)
    PoolSync.objects.update(health="online")
    return lab, hall, shown, clock


def names(answer, key):
    assert answer.status_code == 200, answer.data
    return sorted(row[key] for row in answer.data["results"])


class TestNodes:
    def test_tell_state_and_capacity(self, api, fleet):
        rows = {row["name"]: row for row in api.get("/nodes").data["results"]}

        assert list(rows) == ["a", "b", "c", "d", "e"]
        assert (rows["a"]["state"], rows["a"]["device_count"], rows["a"]["pool_name"]) == ("available", 4, "lab")
        assert (rows["c"]["state"], rows["c"]["unavailable_reason"]) == ("unavailable", "cordoned")
        assert (rows["a"]["capacity"][0]["free_devices"], rows["b"]["capacity"][0]["free_devices"]) == (4, 0)
        assert (rows["d"]["capacity"][0]["kind"], rows["d"]["capacity"][0]["resource"]) == ("counter", "x.com/mig-1g")
        assert rows["a"]["stale"] is False and rows["a"]["observed_at"].endswith("Z")
        assert api.get(f"/nodes/{rows['a']['id']}").data == rows["a"]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("pool=hall", "e"),
            ("pool=hall,lab&state=available", "a b d e"),
            ("kind=openstack", "e"),
            ("vendor=huawei", "e"),
            ("health=faulty", "b"),
            ("state=unavailable", "c"),
            ("state=missing,retired", ""),
            ("label=zone=x", "a"),
            ("label=tier=test", "e"),
            ("label=tier!=test,!zone", "b c d"),
            ("node=a,d", "a d"),
            ("q=ref-b", "b"),
            ("q=C", "c"),
            ("q=%25", ""),
            ("q=_", ""),
            ("project=acme/vision", ""),
            ("allocation=any", ""),
        ],
    )
    def test_can_be_filtered(self, api, fleet, query, found):
        assert names(api.get(f"/nodes?{query}"), "name") == found.split()

    def test_can_be_filtered_by_model(self, api, fleet):
        slug = ChipModel.objects.get(devices__ref="a-0").slug

        assert names(api.get(f"/nodes?model={slug}"), "name") == ["a", "b", "c"]
        assert api.get(f"/nodes?model={slug}x").data["errors"][0]["detail"].endswith(f"Is {slug} meant?")

    def test_cost_the_same_for_any_number(self, api, fleet, django_assert_num_queries):
        api.get("/nodes")

        for limit in (1, 5):
            with django_assert_num_queries(2):  # nodes, capacity
                api.get(f"/nodes?limit={limit}")


class TestDevices:
    def test_tell_what_they_are_and_who_uses_them(self, api, fleet):
        rows = {row["ref"]: row for row in api.get("/devices").data["results"]}

        assert len(rows) == 9
        assert (rows["a-0"]["state"], rows["b-0"]["state"], rows["b-1"]["state"]) == ("free", "shadow", "faulty")
        assert (rows["c-0"]["state"], rows["b-0"]["shadow_milli"]) == ("unavailable", 1000)
        assert rows["b-0"]["uses"][0]["holder"] == "ns/pod" and rows["b-1"]["health_reason"] == "ECC"
        assert (rows["e-0"]["serial"], rows["e-0"]["uuid"], rows["e-0"]["vendor"]) == ("SN-77", None, "huawei")
        assert api.get(f"/devices/{rows['a-0']['id']}").data == rows["a-0"]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("pool=hall", "e-0"),
            ("kind=openstack", "e-0"),
            ("vendor=huawei", "e-0"),
            ("state=faulty", "b-1"),
            ("state=shadow,faulty", "b-0 b-1"),
            ("health=faulty", "b-1"),
            ("node=b", "b-0 b-1"),
            ("label=zone=x", "a-0 a-1 a-2 a-3"),
            ("label=tier=prod,!zone&state=free", ""),
            ("q=GPU-a-1", "a-1"),
            ("q=SN-7", "e-0"),
            ("q=b", "b-0 b-1"),
            ("q=0000:3b:00", ""),
            ("project=acme/vision", ""),
            ("allocation=any", ""),
        ],
    )
    def test_can_be_filtered(self, api, fleet, query, found):
        assert names(api.get(f"/devices?{query}"), "ref") == found.split()

    def test_of_a_late_pool_are_stale_and_the_pool_unknown(self, api, fleet):
        PoolSync.objects.filter(pool=fleet[0]).update(observed_at=timezone.now() - timedelta(minutes=4))

        assert {row["stale"] for row in api.get("/devices?pool=lab").data["results"]} == {True}
        assert {row["stale"] for row in api.get("/devices?pool=hall").data["results"]} == {False}
        assert (api.get("/pools/lab").data["health"], api.get("/pools/hall").data["health"]) == ("unknown", "online")
        assert names(api.get("/pools?health=unknown"), "name") == ["lab"]

    def test_that_are_missing_say_since_when(self, api, fleet):
        lab, _, shown, clock = fleet
        shown.nodes[0] = node("a", devices=3, labels={"zone": "x"})
        clock.forward(seconds=60)
        synced(lab, shown, clock)

        (row,) = api.get("/devices?state=missing").data["results"]

        assert row["ref"] == "a-3" and row["observed_at"] == row["missing_since"] is not None

    def test_cost_the_same_for_any_number_and_go_on_page_by_page(self, api, fleet, django_assert_num_queries):
        api.get("/devices")

        for limit in (1, 9):
            with django_assert_num_queries(2 if limit < 9 else 3):  # which, their rows; where the walk ended
                api.get(f"/devices?limit={limit}")

        refs, address = [], "/devices?limit=4"
        while address:
            answer = api.get(address).data
            refs += [row["ref"] for row in answer["results"]]
            address = answer["next"]
        assert len(refs) == len(set(refs)) == 9


class TestMemory:
    """What no platform tells is what the catalogue knows, else null. It is never 0."""

    @pytest.fixture
    def cards(self, api):
        load_catalogue(now=timezone.now())
        h100 = {"vendor": "nvidia", "model": "NVIDIA H100 80GB HBM3", "pci_id": "10de:2330"}
        unknown = {"vendor": "nobody", "model": "Unheard-of X9", "pci_id": None}
        shown = [
            device("told", **h100, memory_mib=80_000),
            device("of-the-model", **h100, memory_mib=0),
            device("of-the-piece", **h100, memory_mib=0, profile="1g.10gb"),
            device("of-no-known-piece", **h100, memory_mib=0, profile="9g.999gb"),
            device("of-nothing", **unknown, memory_mib=0),
        ]
        synced(pool("lab"), Shows(holding("a", *shown), holding("b", cpu_milli=0, memory_mib=0)), Clock())
        return {row["ref"]: row for row in api.get("/devices").data["results"]}

    def test_of_a_device(self, api, cards):
        profiles = {row["name"]: row for row in api.get("/models/nvidia-h100-80gb").data["profiles"]}

        assert {ref: row["memory_mib"] for ref, row in cards.items()} == {
            "told": 80_000,
            "of-the-model": 81_559,
            "of-the-piece": profiles["1g.10gb"]["memory_mib"],
            "of-no-known-piece": None,
            "of-nothing": None,
        }
        assert api.get(f"/devices/{cards['of-the-model']['id']}").data == cards["of-the-model"]

    def test_of_a_model(self, api, cards):
        assert api.get(f"/models/{cards['of-nothing']['model']}").data["memory_mib"] is None

    def test_of_a_node(self, api, cards):
        known, unknown = api.get("/nodes").data["results"]

        figures = ("cpu_milli", "cpu_used_milli", "memory_mib", "memory_used_mib")
        assert [known[name] for name in figures] == [64_000, 0, 524_288, 0]
        assert [unknown[name] for name in figures] == [None] * 4


class TestModels:
    def test_tell_what_the_fleet_has_of_them(self, api, fleet):
        slug = ChipModel.objects.get(devices__ref="a-0").slug

        row = api.get(f"/models/{slug}").data

        assert row["vendor"] == "nvidia" and row["fleet"]["devices"] == 8 and row["fleet"]["free_milli"] == 4000
        assert api.get(f"/models/{row['id']}").data == row
        assert slug in names(api.get("/models?vendor=nvidia&limit=500"), "slug")
        assert slug not in names(api.get("/models?vendor=huawei&limit=500"), "slug")

    def test_cost_the_same_for_any_number(self, api, fleet, django_assert_num_queries):
        api.get("/models")

        for limit in (1, 100):
            with django_assert_num_queries(3):  # models, profiles, roll-ups
                api.get(f"/models?limit={limit}")


class TestSyncRuns:
    def test_are_listed_the_newest_first_and_can_be_filtered(self, api, fleet):
        lab, _, shown, clock = fleet
        clock.forward(seconds=60)
        synced(lab, shown, clock)

        rows = api.get("/sync-runs").data["results"]

        assert rows[0]["pool_name"] == "lab" and len(rows) == 3
        assert [row["queued_at"] for row in rows] == sorted([row["queued_at"] for row in rows], reverse=True)
        assert len(api.get("/sync-runs?pool=hall").data["results"]) == 1
        assert len(api.get("/sync-runs?state=failed").data["results"]) == 0
        assert len(api.get("/sync-runs?trigger=schedule&kind=full&is_dry_run=false").data["results"]) == 3
        first = api.get("/sync-runs?limit=2").data
        assert len(api.get(first["next"]).data["results"]) == 1 and first["next"].count("cursor=") == 1

    def test_show_their_changes_with_before_and_after(self, api, fleet):
        lab, _, shown, clock = fleet
        shown.nodes[1] = holding("b", device("b-0"), device("b-1", health="ok"))
        clock.forward(seconds=60)
        run = synced(lab, shown, clock)

        changed = api.get(f"/sync-runs/{run.id}/changes").data["results"]

        by_name = {row["object_name"]: row for row in changed if row["object_kind"] == "device"}
        healed = next(row for name, row in by_name.items() if name.endswith("b-1"))
        assert (healed["action"], healed["before"]["health"], healed["after"]["health"]) == ("changed", "faulty", "ok")
        assert healed in api.get(f"/devices/{healed['object_id']}/changes").data["results"]
        assert api.get(f"/sync-runs/{run.id}/changes?action=retired").data["results"] == []

    def test_and_their_changes_cost_the_same_for_any_number(self, api, fleet, django_assert_num_queries):
        run = api.get("/sync-runs?pool=lab").data["results"][0]["id"]

        for limit in (1, 2):
            with django_assert_num_queries(2):  # the version, runs
                api.get(f"/sync-runs?limit={limit}")
        with django_assert_num_queries(2):  # the version, the run
            api.get(f"/sync-runs/{run}")
        for limit in (1, 50):
            with django_assert_num_queries(2):  # whether there is the run, changes
                api.get(f"/sync-runs/{run}/changes?limit={limit}")

    def test_that_are_held_wait_for_a_person(self, api, fleet):
        lab, _, shown, clock = fleet
        shown.nodes = []
        clock.forward(seconds=60)
        run = synced(lab, shown, clock)
        assert api.get("/pools/lab").data["held_sync_run"] == str(run.id)

        rejected = api.post(f"/sync-runs/{run.id}/reject")
        again = api.post(f"/sync-runs/{run.id}/approve")

        assert (rejected.status_code, rejected.data["state"], rejected.data["decided_by"]) == (200, "rejected", "root")
        assert (again.status_code, again.data["code"]) == (409, "sync_run.not_held")
        assert names(api.get("/nodes?pool=lab"), "name") == ["a", "b", "c", "d"]

    def test_that_are_approved_mark_the_loss(self, api, fleet):
        lab, _, shown, clock = fleet
        shown.nodes = []
        clock.forward(seconds=60)
        run = synced(lab, shown, clock)

        approved = api.post(f"/sync-runs/{run.id}/approve")

        assert (approved.status_code, approved.data["state"]) == (200, "succeeded")
        assert names(api.get("/nodes?state=missing"), "name") == ["a", "b", "c", "d"]
