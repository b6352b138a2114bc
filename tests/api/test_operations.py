"""What was done on platforms for an allocation, and the exact calls, over HTTP."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pools.reconcile import allocations
from tests.api.tenants import caller
from tests.factories import Clock, person, project
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared(tmp_path):
    """A host whose one object carries the orders of all."""
    return Lab(tmp_path, Clock(), mode="device", nodes=1)


@pytest.fixture
def lab(tmp_path):
    """Two nodes, and an object for each member."""
    return Lab(tmp_path, Clock(), mode="node")


@pytest.fixture
def engineer():
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


def rows(api, id, what):
    answer = api.get(f"/allocations/{id}/{what}")
    assert answer.status_code == 200, answer.data
    return answer.data["results"]


class TestTheOperations:
    def test_tell_what_was_sent_and_what_came_of_it(self, engineer, lab):
        id = lab.ask(1)
        lab.advance()

        (row,) = rows(engineer, id, "operations")

        assert (row["member"], row["action"], row["state"], row["attempts"]) == (0, "apply", "confirmed", 1)
        assert [call["verb"] for call in row["calls"]] == ["create", "place"] and row["calls_state"] == "recorded"
        assert row["target"]["ref"] == row["marker"] == lab.target().ref and row["pool"] == "lab"
        assert row["sent_at"] and row["ended_at"] and row["trouble"] is None

    def test_keep_the_platforms_own_words(self, engineer, lab):
        id = lab.ask(1)
        lab.store.fail("rejected", call="apply", when="before")
        lab.advance()

        (row,) = rows(engineer, id, "operations")

        assert row["state"] == "failed" and set(row["trouble"]) == {"code", "message", "words", "class"}
        assert (row["trouble"]["code"], row["trouble"]["class"]) == ("rejected", "permanent") and row["trouble"][
            "words"
        ]

    def test_that_were_sent_and_never_answered_are_unknown(self, engineer, lab):
        id = lab.ask(1)
        lab.store.fail("timeout", call="apply", when="after")
        lab.advance()

        (row,) = rows(engineer, id, "operations")

        assert (row["state"], row["trouble"]["class"], row["ended_at"]) == ("unknown", "transient", None)

    def test_of_making_and_of_giving_back_come_the_latest_first(self, engineer, lab):
        id = lab.ask(1)
        lab.advance()
        lab.release(id)
        lab.advance()

        assert [row["action"] for row in rows(engineer, id, "operations")] == ["release", "apply"]

    def test_cost_as_much_for_many_as_for_one(self, engineer, lab):
        one, many = lab.ask(1), lab.ask(1, members=4)
        lab.advance()
        counts = set()

        for id in (one, one, many):  # the first one logs in
            for what in ("operations", "plan"):
                with CaptureQueriesContext(connection) as queries:
                    rows(engineer, id, what)
                counts.add((id, len(queries)))

        assert len(rows(engineer, many, "plan")) == 4
        assert {count for id, count in counts if id == many} == {2}

    def test_are_nothing_to_strangers(self, lab):
        id = lab.ask(1)
        stranger = person("stranger")
        project("umbrella", owner=stranger)

        for what in ("operations", "plan"):
            assert caller(stranger).get(f"/allocations/{id}/{what}").status_code == 404


class TestThePlan:
    def test_says_that_nothing_is_worked_out_before_a_worker_came(self, engineer, lab):
        id = lab.ask(1)
        allocations.advance(clock=lab.clock)

        (step,) = rows(engineer, id, "plan")

        assert (step["state"], step["calls"], step["calls_state"]) == ("planned", None, "not_yet")
        assert step["next_at"] and not step["is_current"] and step["worked_out_at"] is None

    def test_has_the_calls_that_were_written_down_before_they_were_sent(self, engineer, lab):
        id = lab.ask(1)
        lab.store.fail("server_error", call="apply", when="before")
        lab.advance()

        (step,) = rows(engineer, id, "plan")

        assert [call["verb"] for call in step["calls"]] == ["create", "place"] and step["is_current"]
        assert step["worked_out_at"] and step["next_at"], "it is asked again"

    def test_says_when_the_target_changed_since(self, engineer, shared):
        id = shared.ask(1)
        shared.store.fail("server_error", call="apply", when="before")
        shared.advance()

        shared.ask(1)
        allocations.advance(clock=shared.clock)

        (step,) = rows(engineer, id, "plan")
        assert not step["is_current"]

    def test_of_giving_back_what_was_never_ordered_is_empty(self, engineer, lab):
        id = lab.ask(1)
        lab.release(id)
        allocations.advance(clock=lab.clock)

        (step,) = rows(engineer, id, "plan")

        assert (step["action"], step["calls_state"], step["next_at"]) == ("release", "none", None)


class TestWhatNeedsAttention:
    def test_says_what_is_left_and_is_tried_again(self, engineer, lab):
        lab.store.fail("rejected", call="apply", when="before")
        id = lab.ask(4, members=2)
        lab.advance()

        seen = engineer.get(f"/allocations/{id}")
        members = seen.data["members"]
        assert seen.data["state"] == "needs_attention" and {each["order_state"] for each in members} <= {
            "leaving",
            "gone",
        }
        assert [each["trouble"]["code"] for each in members if each["trouble"]] == ["rejected"]

        late = engineer.post(f"/allocations/{id}/retry", headers={"If-Match": '"1.0"'})
        tried = engineer.post(f"/allocations/{id}/retry", headers={"If-Match": seen["ETag"]})

        assert (late.status_code, tried.status_code, tried.data["state"]) == (412, 202, "binding"), tried.data
        assert {each["order_state"] for each in tried.data["members"]} == {"wanted"}
        lab.clock.now = timezone.now()  # of the request
        lab.advance()
        assert engineer.get(f"/allocations/{id}").data["state"] == "active"
        assert engineer.post(f"/allocations/{id}/retry").data["code"] == "allocation.state"

    def test_because_somebody_else_stands_there_is_called_gone_by_operators_alone(self, api, engineer, lab):
        id = lab.ask(2)
        lab.advance()
        with lab.store.changing() as state:
            for there in state.targets.values():
                there.installation = "somebody"
        assert engineer.post(f"/allocations/{id}/release").data["state"] == "releasing"
        lab.clock.now = timezone.now()  # of the request
        lab.advance()
        seen = engineer.get(f"/allocations/{id}").data
        assert (seen["state"], seen["reason"]) == ("needs_attention", "user")
        assert [(each["order_state"], each["trouble"]["code"]) for each in seen["members"]] == [("leaving", "not_ours")]

        refused = engineer.post(f"/allocations/{id}/release", {"gone": True})
        retried = engineer.post(f"/allocations/{id}/retry")
        called = api("POST", f"/allocations/{id}/release", {"gone": True})
        lab.advance()

        assert (refused.status_code, retried.data["code"]) == (403, "allocation.lease_over")
        assert (called.status_code, called.data["members"][0]["order_state"]) == (202, "gone")
        assert engineer.get(f"/allocations/{id}").data["state"] == "released"


class TestWhatSeveralProjectsShare:
    def test_shows_a_tenant_no_calls_and_no_words_for_they_are_of_others_too(self, api, engineer, shared):
        id = shared.ask(1)
        shared.store.fail("rejected", call="apply", when="before")
        shared.advance()

        for what in ("operations", "plan"):
            (told,) = rows(engineer, id, what)
            assert (told["calls"], told["calls_state"]) == (None, "withheld")
            (seen,) = rows(api, id, what)
            assert seen["calls"] and seen["calls_state"] == "recorded"
        assert rows(engineer, id, "operations")[0]["trouble"]["words"] == ""
        assert rows(api, id, "operations")[0]["trouble"]["words"]
