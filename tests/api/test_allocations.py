"""Accelerators are asked for, shown and given back, over HTTP."""

from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from pools.api.allocations import BulkResults
from pools.models import Allocation, Flavor, IdempotencyKey, PoolSync, Quota
from pools.selectors.allocations import AllocationRow
from tests.api.tenants import caller
from tests.factories import person, project
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)
ONE = {"project": "acme/vision", "any_of": [{"model": H100}]}


@pytest.fixture
def world():
    world = World()
    PoolSync.objects.update(observed_at=timezone.now())
    return world


@pytest.fixture
def engineer(world):
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


class TestARequest:
    def test_is_answered_with_what_it_got_and_why(self, engineer):
        made = engineer.post("/allocations", ONE | {"devices_per_member": 2, "name": "train-7", "lease_seconds": 3600})

        assert made.status_code == 201, made.data
        (member,) = made.data["members"]
        assert (made.data["state"], made.data["pool"], made.data["model"]) == ("active", "lab", H100)
        assert (member["node"], member["milli"], len(member["devices"])) == ("n0", 2000, 2)
        assert made.data["decision"]["explanation"]["policy"] == "pack" and made.data["queue"] is None
        assert made.data["spec"]["devices_per_member"] == 2 and made.data["asked_by"] == "ed"
        again = engineer.get(made["Location"])
        assert again.data == made.data and again["ETag"] == made["ETag"]

    def test_that_is_sent_twice_with_one_key_gets_one_thing(self, engineer):
        key = {"Idempotency-Key": "k1"}

        first, second = (engineer.post("/allocations", ONE, headers=key) for _ in range(2))

        assert first.data == second.data and second["Idempotency-Replayed"] == "true"
        assert Allocation.objects.count() == 1

    @pytest.mark.parametrize("path, times", [("/allocations", 0), ("/allocations/bulk", 1)])
    def test_is_made_into_json_once_for_its_key_its_version_and_the_answer(self, engineer, monkeypatch, path, times):
        made, encode = [], msgspec.json.encode
        monkeypatch.setattr(msgspec.json, "encode", lambda data, **how: (made.append(data), encode(data, **how))[1])
        key = {"Idempotency-Key": "k1"}

        first = engineer.post(path, ONE if path == "/allocations" else {"items": [ONE, ONE]}, headers=key)

        # The claim makes it of what it wrote.
        assert sum(isinstance(data, AllocationRow | BulkResults | msgspec.Raw) for data in made) == times
        kept = IdempotencyKey.objects.get()
        assert bytes(kept.body) == first.content
        assert set(kept.object_ids) == set(Allocation.objects.values_list("id", flat=True))

    def test_that_only_tries_leaves_nothing(self, engineer):
        tried = engineer.post("/allocations?dry_run=1", ONE)

        assert (tried.status_code, tried["Dry-Run"]) == (201, "true") and not Allocation.objects.exists()

    def test_for_more_than_there_is_or_is_granted_says_which(self, engineer, world):
        engineer.post("/allocations", ONE | {"devices_per_member": 6})

        full = engineer.post("/allocations", ONE | {"devices_per_member": 4})
        assert (full.status_code, full.data["code"]) == (409, "allocation.no_capacity")
        Quota.objects.filter(pk=world.quota.pk).update(nominal_milli=6000)

        over = engineer.post("/allocations", ONE)
        assert (over.status_code, over.data["code"]) == (409, "quota.exceeded")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"any_of": [{"model": "h100"}]}, "any_of[0].model"),
            ({"members": 10**30}, "members"),
            ({"lease_seconds": -1}, "lease_seconds"),
            ({"project": "acme/visions"}, "project"),
            ({"flavor": "smal"}, "flavor"),
            ({"devices": 3}, "devices"),
            ({"consumer_pool": "lab"}, "consumer_pool"),
        ],
    )
    def test_that_is_wrong_is_told_the_field(self, engineer, change, field):
        Flavor.objects.create(name="small", spec={"members": 2}, created_at=timezone.now())

        refused = engineer.post("/allocations", ONE | change)

        assert refused.status_code == 422 and field in {wrong["field"] for wrong in refused.data["errors"]}
        assert not Allocation.objects.exists()

    def test_that_begins_later_is_scheduled_until_somebody_has_it_first(self, engineer):
        later = (timezone.now() + timedelta(hours=1)).isoformat()
        wanted = ONE | {"start_at": later, "lease_seconds": 3600, "devices_per_member": 8, "queue": True}

        made, asked, refused = (
            engineer.post("/allocations", wanted),
            engineer.post("/what-if", wanted),
            engineer.post("/allocations", wanted),
        )

        assert (made.status_code, made.data["state"], made.data["queue"]) == (201, "scheduled", None)
        assert made.data["lease"]["start_at"] and made.data["lease"]["end_at"] and made.data["members"] == []
        assert (asked.data["fits"], asked.data["reason"]) == (False, "no_capacity")
        assert (refused.status_code, refused.data["code"]) == (409, "allocation.no_capacity")

        given_up = engineer.post(f"/allocations/{made.data['id']}/release", {})
        assert (given_up.status_code, given_up.data["state"]) == (202, "released")
        assert engineer.post("/what-if", wanted).data["fits"]

    @pytest.mark.parametrize("fields", [{"mode": "hold", "hold_seconds": 60}, {"start_at": "9999-01-01T00:00:00Z"}])
    def test_that_begins_later_is_no_hold_and_not_in_a_thousand_years(self, engineer, fields):
        later = (timezone.now() + timedelta(hours=1)).isoformat()

        refused = engineer.post("/allocations", ONE | {"start_at": later} | fields)

        assert [wrong["field"] for wrong in refused.data["errors"]] == ["start_at"]

    def test_takes_the_place_of_others_whom_what_if_names_to_operators(self, engineer):
        operator = caller(person("olga", "operator"))
        low = ONE | {"devices_per_member": 8, "priority": 10, "preemptible": True, "notice_seconds": 60}
        first = engineer.post("/allocations", low).data["id"]
        urgent = ONE | {"devices_per_member": 4}

        assert engineer.post("/what-if", urgent).data["preemption"] is None
        told = operator.post("/what-if", urgent).data["preemption"]
        assert (told["pool"], told["notice_seconds"]) == ("lab", 60)
        assert [each["allocation"] for each in told["victims"]] == [first]

        body = {"request": urgent, "victims": [first]}
        assert engineer.post("/allocations/preempt", body).status_code == 403
        held = operator.post("/allocations/preempt", body | {"request": urgent | {"mode": "hold", "hold_seconds": 9}})
        assert held.status_code == 422
        made, again = (operator.post("/allocations/preempt", body) for _ in range(2))
        assert (made.status_code, made.data["state"]) == (201, "scheduled"), made.data
        assert (again.status_code, again.data["code"]) == (409, "allocation.no_capacity")
        assert engineer.get(f"/allocations/{first}").data["reason"] == "preempted"

    def test_that_waits_takes_the_place_of_others_when_an_operator_says_so(self, engineer):
        operator = caller(person("olga", "operator"))
        low = ONE | {"devices_per_member": 8, "priority": 10, "preemptible": True, "notice_seconds": 60}
        first = engineer.post("/allocations", low).data["id"]
        waits = engineer.post("/allocations", ONE | {"devices_per_member": 4, "queue": True}).data["id"]

        address, body = f"/allocations/{waits}/preempt", {"victims": [first]}
        assert engineer.post(address, body).status_code == 403
        assert operator.post(address, {"victims": []}).data["code"] == "allocation.victims_changed"
        told, again = (operator.post(address, body) for _ in range(2))

        assert (told.status_code, told.data["state"]) == (202, "queued") and told.data["queue"]["booked_at"]
        assert (again.status_code, again.data["code"]) == (409, "allocation.room_booked")

    def test_says_when_it_is_saved_before_its_end(self, engineer):
        id = engineer.post("/allocations", ONE | {"lease_seconds": 3600, "before_end_seconds": 600}).data["id"]
        address = f"/allocations/{id}/before-end"

        early = engineer.post(address, {"state": "done"})
        given = engineer.post(f"/allocations/{id}/release")
        wrong = engineer.post(address, {"state": "maybe"})
        failed, done = (engineer.post(address, {"state": state}) for state in ("failed", "done"))

        assert (early.status_code, early.data["code"]) == (409, "allocation.before_end")
        assert (given.data["state"], given.data["before_end_state"], given.data["reason"]) == (
            "active",
            "running",
            "user",
        )
        assert wrong.status_code == 422
        assert [each.data["before_end_state"] for each in (failed, done)] == ["failed", "done"]
        assert engineer.post(f"/allocations/{id}/release", {"force": True}).data["state"] == "released"

    @pytest.mark.parametrize("seconds", [-1, 3601, 61])
    def test_asks_for_no_more_time_to_save_than_an_hour_or_its_lease(self, engineer, seconds):
        asked = engineer.post("/allocations", ONE | {"lease_seconds": 60, "before_end_seconds": seconds})

        assert asked.status_code == 422 and asked.data["errors"][0]["field"] == "before_end_seconds"

    def test_by_a_flavor_is_what_the_flavor_says(self, engineer):
        Flavor.objects.create(name="pair", spec={"devices_per_member": 2}, created_at=timezone.now())

        made = engineer.post("/allocations", ONE | {"flavor": "pair"})
        both = engineer.post("/allocations", ONE | {"flavor": "pair", "devices_per_member": 3})

        assert made.data["members"][0]["milli"] == 2000
        assert both.status_code == 422 and both.data["errors"][0]["code"] == "set_by_flavor"

    def test_is_for_those_who_work_in_the_project(self, world):
        vera, stranger = person("vera"), person("stranger")
        project("acme/vision", viewer=vera)
        project("umbrella", owner=stranger)

        assert caller(vera).post("/allocations", ONE).status_code == 403
        assert caller(stranger).post("/allocations", ONE).status_code == 422

    def test_in_a_suspended_project_is_refused(self, engineer):
        project("acme").__class__.objects.filter(path="acme").update(state="suspended")

        assert engineer.post("/allocations", ONE).data["code"] == "project.suspended"


class TestMany:
    def test_are_answered_one_by_one_and_fail_one_by_one(self, engineer):
        items = [ONE | {"devices_per_member": 6}, ONE | {"devices_per_member": 6}, ONE | {"lease_seconds": 0}, ONE]

        answer = engineer.post("/allocations/bulk", {"items": items})

        assert answer.status_code == 200, answer.data
        assert [each["status"] for each in answer.data["results"]] == [201, 409, 422, 201]
        assert [bool(each["problem"]) for each in answer.data["results"]] == [False, True, True, False]
        assert answer.data["results"][3]["allocation"]["members"][0]["node"] == "n0"

    def test_that_differ_in_their_names_alone_are_read_one_by_one(self, engineer):
        items = [
            ONE | {"name": "a"},
            ONE | {"name": "b"},
            ONE | {"name": "-"},
            ONE | {"name": 7},
            ONE | {"project": "x"},
        ]

        results = engineer.post("/allocations/bulk", {"items": items}).data["results"]

        assert [each["allocation"]["name"] for each in results[:2]] == ["a", "b"]
        wrong = [[field["field"] for field in each["problem"]["errors"]] for each in results[2:]]
        assert wrong == [["name"], ["name"], ["project"]]

    @pytest.mark.parametrize("items", [[], [ONE] * 1001, "no list"])
    def test_are_a_thousand_at_most(self, engineer, items):
        assert engineer.post("/allocations/bulk", {"items": items}).status_code == 422


class TestAnAllocation:
    def test_that_is_held_becomes_a_claim_or_nothing(self, engineer):
        held = engineer.post("/allocations", ONE | {"mode": "hold", "hold_seconds": 60}).data
        assert held["state"] == "held" and held["held_until_at"]

        confirmed = engineer.post(f"/allocations/{held['id']}/confirm")

        assert (confirmed.status_code, confirmed.data["state"]) == (202, "active"), confirmed.data
        assert confirmed.data["members"][0]["devices"] == held["members"][0]["devices"]

    def test_lives_until_it_is_given_back(self, engineer):
        made = engineer.post("/allocations", ONE | {"lease_seconds": 60}).data
        longer = engineer.post(f"/allocations/{made['id']}/extend", {"lease_seconds": 7200})
        assert longer.data["lease"]["end_at"] > made["lease"]["end_at"]

        first, second = (engineer.post(f"/allocations/{made['id']}/release") for _ in range(2))

        assert (first.status_code, first.data["state"], first.data["reason"]) == (202, "released", "user")
        assert second.data == first.data
        events = engineer.get(f"/allocations/{made['id']}/events").data["results"]
        assert [each["action"] for each in events] == [
            "allocation.released",
            "allocation.extended",
            "allocation.claimed",
        ]

    def test_is_changed_in_the_version_that_was_read(self, engineer):
        made = engineer.post("/allocations", ONE | {"lease_seconds": 60})
        engineer.post(f"/allocations/{made.data['id']}/extend", {"lease_seconds": 90})

        late = engineer.post(f"/allocations/{made.data['id']}/release", headers={"If-Match": made["ETag"]})

        assert (late.status_code, late.data["code"]) == (412, "allocation.changed")

    def test_is_seen_by_its_project_alone(self, engineer):
        made = engineer.post("/allocations", ONE).data
        stranger = person("stranger")
        project("umbrella", owner=stranger)

        assert caller(stranger).get(f"/allocations/{made['id']}").status_code == 404
        assert caller(stranger).post(f"/allocations/{made['id']}/release").status_code == 404
        assert caller(stranger).get("/allocations").data["results"] == []

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("project=acme/vision", 1),
            ("under=acme/vision", 1),
            ("state=released", 0),
            ("q=train", 1),
            ("label=tier=prod", 1),
        ],
    )
    def test_is_found(self, engineer, query, count):
        engineer.post("/allocations", ONE | {"name": "train-7", "labels": {"tier": "prod"}})

        found = engineer.get(f"/allocations?{query}")

        assert len(found.data["results"]) == count, found.data
