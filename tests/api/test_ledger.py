"""Who held how much from when to when, over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import PoolSync
from tests.api.tenants import caller
from tests.factories import person, project
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = {"project": "acme/vision", "any_of": [{"model": H100}]}


@pytest.fixture
def engineer():
    World()
    PoolSync.objects.update(observed_at=timezone.now())
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


def rows(answer):
    assert answer.status_code == 200, answer.data
    return answer.data["results"]


class TestLedger:
    def test_tells_each_device_from_its_claim_to_its_release(self, engineer):
        made = engineer.post("/allocations", ASKED | {"devices_per_member": 2, "name": "train-7"}).data

        held = rows(engineer.get("/ledger"))
        engineer.post(f"/allocations/{made['id']}/release")
        given_back = rows(engineer.get("/ledger"))

        assert {row["device"] for row in held} == {device["id"] for device in made["members"][0]["devices"]}
        assert {(row["kind"], row["milli"], row["to_at"], row["certainty"]) for row in held} == {
            ("use", 1000, None, "assigned")
        }
        assert [row["event_id"] for row in given_back] == [row["event_id"] for row in held]
        assert all(row["to_at"] > row["from_at"] for row in given_back)

    def test_tells_a_hold_and_what_became_of_it_apart(self, engineer):
        made = engineer.post("/allocations", ASKED | {"mode": "hold", "hold_seconds": 60}).data
        engineer.post(f"/allocations/{made['id']}/confirm")

        hold, use = rows(engineer.get("/ledger"))

        assert (hold["kind"], use["kind"], use["to_at"]) == ("hold", "use", None) and hold["to_at"] == use["from_at"]

    def test_comes_in_pages_of_devices(self, engineer):
        engineer.post("/allocations", ASKED | {"devices_per_member": 3})
        first = engineer.get("/ledger?limit=2")

        rest = engineer.get(first.data["next"])

        assert (len(rows(first)), len(rows(rest)), rest.data["next"]) == (2, 1, None)

    @pytest.mark.parametrize(
        ("query", "count"),
        [("to={before}", 0), ("from={after}", 1), ("kind=reserve", 0), ("project=acme/vision", 1), ("pool=lab", 1)],
    )
    def test_is_of_a_window_a_project_or_a_pool(self, engineer, query, count):
        now = timezone.now()
        engineer.post("/allocations", ASKED)
        instants = {
            "before": f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "after": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        }

        assert len(rows(engineer.get(f"/ledger?{query.format(**instants)}"))) == count

    def test_of_a_project_is_read_by_its_people(self, engineer):
        engineer.post("/allocations", ASKED)
        stranger = person("stranger")
        project("umbrella", owner=stranger)

        assert rows(caller(stranger).get("/ledger")) == []
