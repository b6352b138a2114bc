"""A pool's life over HTTP, as a script would lead it."""

import pytest
from django.utils import timezone

from pools.models import ChipModel, Credential, Pool, PoolSync
from pools.services import pools
from tests.factories import Clock, Shows, node, pool, synced

SIMULATED = {"kind": "simulated", "settings": {"nodes": 2}, "credential": {"token": "right"}}
FOUND = {
    "reachable": True,
    "identity": {"key": "far-end", "label": "Lab", "version": "1.2"},
    "version": "1.2",
    "watch": {"ok": True, "missing": []},
    "manage": {"ok": False, "missing": ["pods/create"]},
    "warnings": [],
    "capabilities": ["observe"],
    "error": None,
}


@pytest.fixture
def lab(api):
    answer = api.post("/pools", {"name": "lab", "labels": {"tier": "prod"}, **SIMULATED})
    assert answer.status_code == 201, answer.data
    return answer


@pytest.fixture
def active(api, lab):
    pools.store_check(lab.data["id"], FOUND, timezone.now())
    answer = api.post("/pools/lab/activate")
    assert answer.status_code == 200, answer.data
    return answer.data


class TestRegistering:
    def test_answers_the_draft_with_its_address_and_generation(self, api, lab):
        assert lab["ETag"].startswith('"1.') and lab["Location"].endswith(f"/api/v1/pools/{lab.data['id']}")
        assert lab.data["state"] == "registering" and lab.data["health"] == "unknown" and lab.data["stale"] is True
        assert lab.data["credential"]["fields"] == ["token"] and "right" not in lab.content.decode()
        assert lab.data["capacity"] == [] and lab.data["last_sync_run"] is None
        assert api.get(lab["Location"]).data == lab.data == api.get("/pools/lab").data

    def test_twice_by_one_name_is_a_conflict(self, api, lab):
        answer = api.post("/pools", {"name": "lab", **SIMULATED})

        assert (answer.status_code, answer.data["code"]) == (409, "pool.name_taken")

    def test_tells_all_mistakes_with_the_path_of_each(self, api):
        answer = api.post("/pools", {"name": "A", "kind": "simulated", "settings": {"nodes": -1, "bogus": 1}})

        assert answer.status_code == 422
        assert [error["field"] for error in answer.data["errors"]] == ["name", "settings.nodes", "settings.bogus"]

    def test_every_kind_tells_what_it_needs(self, api):
        kinds = {kind["kind"]: kind for kind in api.get("/kinds").data["results"]}

        assert {"kubernetes", "openstack", "simulated"} <= kinds.keys()
        one = api.get("/kinds/simulated").data
        assert one == kinds["simulated"] and one["is_simulation"] is True
        secret = one["schema"]["properties"]["credential"]["properties"]["token"]
        assert secret["writeOnly"] is True


class TestChecking:
    def test_is_queued_and_then_tells_what_is_missing(self, api, lab):
        asked = api.post("/pools/lab/check")
        pools.store_check(lab.data["id"], FOUND, timezone.now())
        found = api.get("/pools/lab/check").data

        assert (asked.status_code, asked.data["state"], asked.data["reachable"]) == (202, "queued", None)
        assert found["state"] == "done" and found["identity"]["key"] == "far-end"
        assert found["manage"] == {"ok": False, "missing": ["pods/create"]}


class TestActivating:
    def test_before_a_check_is_a_conflict(self, api, lab):
        answer = api.post("/pools/lab/activate")

        assert (answer.status_code, answer.data["code"]) == (409, "pool.not_checked")

    def test_the_same_far_end_twice_names_the_other_pool(self, api, active):
        other = api.post("/pools", {"name": "twin", **SIMULATED})
        pools.store_check(other.data["id"], FOUND, timezone.now())

        answer = api.post("/pools/twin/activate")

        assert (answer.status_code, answer.data["code"]) == (409, "pool.identity_taken")
        assert '"lab"' in answer.data["detail"]

    def test_and_the_other_moves_follow_the_table(self, api, active):
        for verb, state in (("drain", "draining"), ("maintenance", "maintenance"), ("resume", "active")):
            assert api.post(f"/pools/lab/{verb}").data["state"] == state
        assert api.post("/pools/lab/pause").data["state"] == "paused"

        answer = api.post("/pools/lab/drain")

        assert (answer.status_code, answer.data["code"]) == (409, "pool.state")


class TestEditing:
    def test_with_the_generation_read_works_once(self, api, lab):
        first = api("PATCH", "/pools/lab", {"region": "eu"}, headers={"If-Match": lab["ETag"]})
        second = api("PATCH", "/pools/lab", {"region": "us"}, headers={"If-Match": lab["ETag"]})

        assert (first.status_code, first.data["generation"], first.data["region"]) == (200, 2, "eu")
        assert (second.status_code, second.data["code"]) == (412, "pool.changed")

    @pytest.mark.parametrize("etag", ['"x"', "1 2", '"9999999999999999999"'])
    def test_with_an_etag_that_is_none_is_refused(self, api, lab, etag):
        answer = api("PATCH", "/pools/lab", {"region": "eu"}, headers={"If-Match": etag})

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "If-Match")

    def test_says_how_many_changes_a_minute_its_platform_is_sent(self, api, lab):
        answer = api("PATCH", "/pools/lab", {"changes_per_minute": 30})
        wrong = api("PATCH", "/pools/lab", {"changes_per_minute": 0})
        without = api("PATCH", "/pools/lab", {"changes_per_minute": None})

        assert (answer.status_code, answer.data["changes_per_minute"]) == (200, 30)
        assert wrong.status_code == 422 and wrong.data["errors"][0]["field"] == "changes_per_minute"
        assert (without.status_code, without.data["changes_per_minute"]) == (200, None)

    def test_merges_settings_and_replaces_labels(self, api, lab):
        answer = api("PATCH", "/pools/lab", {"settings": {"seed": 9}, "labels": {"rack": "b"}})

        assert answer.data["settings"]["nodes"] == 2 and answer.data["settings"]["seed"] == 9
        assert answer.data["labels"] == {"rack": "b"}

    def test_may_change_the_name_and_what_cannot_change_is_unknown(self, api, lab):
        assert api("PATCH", "/pools/lab", {"name": "hall"}).status_code == 200
        assert api.get("/pools/hall").data["id"] == lab.data["id"]
        for field in ("id", "kind", "state", "identity", "generation", "credential"):
            answer = api("PATCH", "/pools/hall", {field: "x"})
            assert answer.status_code == 422 and answer.data["errors"][0]["code"] == "unknown_field"


class TestReplacingTheCredential:
    def test_answers_that_a_worker_has_to_see_it_first(self, api, active):
        answer = api("PUT", "/pools/lab/credential", {"token": "geheim-2"})

        assert (answer.status_code, answer.data["state"], answer.data["fields"]) == (202, "pending", ["token"])
        shown = api.get("/pools/lab")
        assert shown.data["pending_credential"]["state"] == "pending" and "geheim" not in shown.content.decode()

    def test_with_a_mistake_changes_nothing(self, api, active):
        answer = api("PUT", "/pools/lab/credential", {"tokn": "geheim-2"})

        assert answer.status_code == 422 and answer.data["errors"][0]["field"] == "credential.tokn"
        assert Credential.objects.count() == 1


class TestSyncing:
    def test_answers_the_run_and_asking_again_is_the_same_run(self, api, active):
        first, second = api.post("/pools/lab/sync"), api.post("/pools/lab/sync", {"dry_run": False})

        assert first.status_code == 202 and first.data["id"] == second.data["id"]
        assert (first.data["state"], first.data["trigger"], first.data["actor"]) == ("queued", "manual", "root")
        assert api.get(first["Location"]).data["pool"] == active["id"]

    def test_a_draft_works_as_a_dry_run_only(self, api, lab):
        real, dry = api.post("/pools/lab/sync"), api.post("/pools/lab/sync", {"dry_run": True})

        assert (real.status_code, real.data["code"]) == (409, "pool.state")
        assert (dry.status_code, dry.data["is_dry_run"]) == (202, True)


class TestRemoving:
    def test_frees_the_name_and_keeps_the_pool_readable_by_its_id(self, api, active):
        gone = api("DELETE", "/pools/lab", headers={"If-Match": '"2"'})

        assert (gone.status_code, gone.content) == (204, b"")
        assert api.get("/pools/lab").status_code == 404
        assert api.get(f"/pools/{active['id']}").data["state"] == "removed"
        assert api("DELETE", f"/pools/{active['id']}").status_code == 404
        assert api.get("/pools").data["results"] == []
        assert [p["name"] for p in api.get("/pools?state=removed").data["results"]] == ["lab"]

    def test_by_force_asks_for_the_name(self, api, active):
        answer = api("DELETE", "/pools/lab?force=bal")

        assert answer.status_code == 422 and Pool.objects.get().state == "active"


class TestTheListOfPools:
    @pytest.fixture
    def many(self, db):
        made = []
        for number in range(7):
            region, tier = ("eu", "us")[number % 2], ("prod", "test", "test")[number % 3]
            made.append(pool(f"p{number}", region=region, labels={"tier": tier, f"only-{number}": ""}))
        return made

    def test_goes_on_where_the_page_before_ended(self, api, many):
        names, address = [], "/pools?limit=3&region=eu,us"
        while address:
            answer = api.get(address).data
            names += [row["name"] for row in answer["results"]]
            address = answer["next"]

        assert names == [f"p{number}" for number in range(7)]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("region=us", "p1 p3 p5"),
            ("label=tier=prod", "p0 p3 p6"),
            ("label=tier!=prod,only-4", "p4"),
            ("label=!only-4,tier%3Dtest", "p1 p2 p5"),
            ("q=P3", "p3"),
            ("state=paused", ""),
            ("state=active&state=paused&region=us", "p1 p3 p5"),
            ("health=unknown&region=us", "p1 p3 p5"),
            ("health=online", ""),
            ("kind=kubernetes", ""),
        ],
    )
    def test_can_be_filtered(self, api, many, query, names):
        assert [row["name"] for row in api.get(f"/pools?{query}").data["results"]] == names.split()

    def test_costs_the_same_for_any_number_of_pools(self, api, many, django_assert_num_queries):
        api.get("/pools")

        for limit in (1, 7):
            with django_assert_num_queries(4):  # the version, pools, roll-ups, credentials
                api.get(f"/pools?limit={limit}")

    def test_shows_what_is_there_from_the_rollups(self, api, transactional_db):
        lab, clock = pool("lab"), Clock(timezone.now())
        synced(lab, Shows(node("a", devices=8), node("b", devices=0)), clock)
        PoolSync.objects.filter(pool=lab).update(health="online")

        (row,) = api.get("/pools").data["results"]

        assert (row["nodes"], row["devices"], row["health"], row["stale"]) == (2, 8, "online", False)
        (share,) = row["capacity"]
        assert share["model"] == ChipModel.objects.get(devices__ref="a-0").slug
        assert (share["total_milli"], share["free_milli"], share["free_devices"]) == (8000, 8000, 8)
        assert row["last_sync_run"]["state"] == "succeeded"
