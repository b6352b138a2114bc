"""What is needed to use an allocation, over HTTP: without secrets, and with them as an act of its own."""

import logging

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pools.models import AuditEvent, Delivery
from pools.reconcile import allocations
from pools.services import credentials
from tests.api.tenants import caller
from tests.factories import Clock, person, project
from tests.reconcile.binding import Lab
from tests.security import places
from tests.security.planted import Planted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """Two nodes, and an object for each member."""
    return Lab(tmp_path, Clock(timezone.now()), mode="node")


@pytest.fixture
def engineer():
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


def listed(api, id):
    answer = api.get(f"/allocations/{id}/delivery")
    assert answer.status_code == 200, answer.data
    return answer.data["results"]


def reveal(api, id, body=None, **headers):
    return api.post(f"/allocations/{id}/delivery/reveal", body, headers=headers)


def secret_of(id):
    return credentials.decrypt(Delivery.objects.get(allocation_id=id))["token"]


class TestADelivery:
    def test_is_prepared_ready_and_over(self, engineer, lab):
        id = lab.ask(1, lease_seconds=3600)
        assert listed(engineer, id) == []
        allocations.advance(clock=lab.clock)
        assert [row["state"] for row in listed(engineer, id)] == ["preparing"]

        lab.advance()

        (row,) = listed(engineer, id)
        assert (row["state"], row["kind"], row["secrets"], row["members"]) == ("ready", "token", ["token"], [0])
        assert row["facts"]["url"].endswith(row["target"]["ref"]) and row["expires_at"] and row["made_at"]
        assert row["trouble"] is None and secret_of(id) not in str(row)

        lab.release(id)
        (row,) = listed(engineer, id)
        assert (row["state"], row["facts"], row["secrets"], row["next_at"]) == ("ended", {}, [], None)

    def test_that_failed_says_why_and_when_it_is_asked_for_again(self, engineer, lab):
        lab.store.fail("forbidden", call="access")
        id = lab.ask(1)
        lab.advance()

        (row,) = listed(engineer, id)

        assert (row["state"], row["kind"], row["facts"]) == ("failed", None, {})
        assert row["trouble"]["code"] == "forbidden" and row["trouble"]["words"] and row["next_at"]

    def test_that_the_platform_ended_says_so(self, engineer, lab):
        id = lab.ask(1)
        lab.advance()
        Delivery.objects.update(expires_at=timezone.now())

        assert [row["state"] for row in listed(engineer, id)] == ["expired"]

    def test_of_a_gang_is_one_for_each_target_and_costs_as_much_as_one(self, engineer, lab):
        id = lab.ask(1, members=4)
        lab.advance()
        listed(engineer, id)

        with CaptureQueriesContext(connection) as queries:
            rows = listed(engineer, id)

        assert [row["state"] for row in rows] == ["ready"] * 4 and len(queries) == 2
        assert sorted(index for row in rows for index in row["members"]) == [0, 1, 2, 3]
        first = engineer.get(f"/allocations/{id}/delivery?limit=3").data
        rest = engineer.get(first["next"]).data
        assert first["results"] + rest["results"] == rows and rest["next"] is None


class TestRevealing:
    def test_gives_the_secrets_to_who_works_there_and_records_who_read_them(self, engineer, lab):
        id = lab.ask(1)
        lab.advance()

        told = reveal(engineer, id)

        assert (told.status_code, told["Cache-Control"]) == (200, "no-store"), told.data
        (each,) = told.data["deliveries"]
        assert each["secrets"] == {"token": secret_of(id)} and each["facts"]["url"]
        event = AuditEvent.objects.get(action="allocation.delivery_revealed", object_id=str(id))
        assert event.actor == "ed" and event.request_id and event.project_id == lab.project.pk
        assert event.after == {"targets": [each["target"]], "secret_names": ["token"]}

    def test_of_one_target_gives_that_one(self, engineer, lab):
        id = lab.ask(1, members=2)
        lab.advance()
        wanted = listed(engineer, id)[1]["target"]["ref"]

        told = reveal(engineer, id, {"target": wanted})

        assert [each["target"] for each in told.data["deliveries"]] == [wanted]
        assert reveal(engineer, id, {"target": "oc-other"}).data["code"] == "allocation.not_delivered"

    def test_is_not_for_those_who_only_look_nor_for_strangers(self, lab):
        id = lab.ask(1)
        lab.advance()
        vera, stranger = person("vera"), person("stranger")
        project("acme/vision", viewer=vera)
        project("umbrella", owner=stranger)

        assert reveal(caller(vera), id).status_code == 403 and listed(caller(vera), id)
        assert reveal(caller(stranger), id).status_code == 404
        assert caller(stranger).get(f"/allocations/{id}/delivery").status_code == 404
        assert not AuditEvent.objects.filter(action="allocation.delivery_revealed", object_id=str(id)).exists()

    def test_before_there_is_something_and_after_the_end_is_refused(self, engineer, lab):
        id = lab.ask(1)
        assert reveal(engineer, id).data["code"] == "allocation.state"
        lab.store.fail("forbidden", call="access")
        lab.advance()
        assert reveal(engineer, id).data["code"] == "allocation.not_delivered"
        lab.clock.forward(minutes=1)
        lab.advance()
        assert reveal(engineer, id).status_code == 200

        lab.release(id)

        assert (reveal(engineer, id).status_code, reveal(engineer, id).data["code"]) == (409, "allocation.state")

    def test_leaves_the_secret_nowhere(self, engineer, lab, caplog):
        caplog.set_level(logging.DEBUG)
        id = lab.ask(1)
        lab.advance()
        planted = Planted(token=secret_of(id))

        first = reveal(engineer, id, {}, **{"Idempotency-Key": "k1"})
        again = reveal(engineer, id, {}, **{"Idempotency-Key": "k1"})
        tried = engineer.post(f"/allocations/{id}/delivery/reveal?dry_run=1", {})
        others = [engineer.get(f"/allocations/{id}{path}") for path in ("", "/events", "/operations", "/delivery")]

        assert planted.found_in(first.content) == {"token"}, "it is what is looked for"
        assert again.data == tried.data == {"deliveries": None}
        assert planted.found_in(*(answer.content for answer in (again, tried, *others))) == set()
        assert planted.found_in(*(row for _, row in places.rows(connection.connection))) == set()
        assert planted.found_in(caplog.text) == set()
