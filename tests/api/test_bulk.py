"""Many requests in one: answered one by one, committed piece by piece, and made once whatever dies in between."""

import json
import threading

import pytest
from django.db import connection
from django.utils import timezone

from pools.models import Allocation, IdempotencyKey, PoolSync
from pools.services import claiming
from tests.api.conftest import Api
from tests.api.test_idempotency import at_once, killed, slowly
from tests.factories import Shows, granted, node, pool, project, synced
from tests.services.asking import H100, PLENTY, World, quota

pytestmark = pytest.mark.django_db(transaction=True)
KEY = {"Idempotency-Key": "killed"}
PATH = "/allocations/bulk"


@pytest.fixture
def items():
    """Requests of two projects, each with a pool of its own: they are claimed one project after the other."""
    world = World()
    other, audio = pool("other"), project("acme/audio")
    synced(other, Shows(node("m0", devices=8)), world.clock)
    granted(other, audio)
    quota(audio, world.model, PLENTY, world.quota.parent)
    PoolSync.objects.update(health="online", observed_at=timezone.now())
    return [{"project": path, "any_of": [{"model": H100}]} for path in ("acme/vision", "acme/audio") for _ in range(3)]


def made(answer):
    assert [each["status"] for each in answer.data["results"]] == [201] * 6, answer.data
    return [each["allocation"]["id"] for each in answer.data["results"]]


class TestAProcessThatDies:
    def test_in_the_middle_has_made_some_and_a_retry_makes_the_others(self, api, token, items):
        killed("in the middle", token, PATH, json.dumps({"items": items}))
        first = {str(id) for id in Allocation.objects.values_list("id", flat=True)}
        assert len(first) == 3 and IdempotencyKey.objects.get().status is None

        retried = api.post(PATH, {"items": items}, headers=KEY)

        ids = made(retried)
        assert set(ids[:3]) == first and len(set(ids)) == 6 == Allocation.objects.count()
        again = api.post(PATH, {"items": items}, headers=KEY)
        assert again["Idempotency-Replayed"] == "true" and again.content == retried.content
        assert Allocation.objects.count() == 6

    def test_before_its_answer_has_made_all_and_a_retry_is_told(self, api, token, items):
        killed("before the answer", token, PATH, json.dumps({"items": items}))
        assert Allocation.objects.count() == 6

        retried = api.post(PATH, {"items": items}, headers=KEY)

        assert retried["Idempotency-Replayed"] == "true" and len(set(made(retried))) == 6 == Allocation.objects.count()

    def test_leaves_its_key_to_nobody_who_wants_something_else(self, api, token, items):
        killed("in the middle", token, PATH, json.dumps({"items": items}))

        answer = api.post(PATH, {"items": items[:1]}, headers=KEY)

        assert (answer.status_code, answer.data["code"]) == (422, "idempotency.key_reused")


class TestTwoAtOnce:
    def test_with_one_key_make_it_once(self, token, items, monkeypatch):
        monkeypatch.setattr(claiming, "attempt", slowly(claiming.attempt))
        answers = []

        def ask():
            answers.append(Api(token).post(PATH, {"items": items}, headers=KEY))
            connection.close()

        at_once([ask] * 3)

        assert len({tuple(made(answer)) for answer in answers}) == 1 and Allocation.objects.count() == 6
        assert sum("Idempotency-Replayed" in answer for answer in answers) == 2

    def test_do_not_wait_for_what_the_other_has_already(self, api, token, items, monkeypatch):
        real, has_some, may_go, answers = claiming.attempt, threading.Event(), threading.Event(), []

        def attempt(*args, **kwargs):
            if threading.current_thread() is many and has_some.is_set():
                may_go.wait(20)
            outcome = real(*args, **kwargs)
            has_some.set()
            return outcome

        def ask():
            answers.append(Api(token).post(PATH, {"items": items}, headers=KEY))
            connection.close()

        many = threading.Thread(target=ask)
        monkeypatch.setattr(claiming, "attempt", attempt)
        many.start()
        has_some.wait(20)
        alone = api.post("/allocations", items[0], headers={"Idempotency-Key": "alone"})
        may_go.set()
        many.join()
        assert alone.status_code == 201 and len(set(made(answers[0]))) == 6 and Allocation.objects.count() == 7


class TestADryRun:
    def test_makes_nothing_of_it(self, api, items):
        tried = api.post(f"{PATH}?dry_run=1", {"items": items}, headers=KEY)

        assert tried["Dry-Run"] == "true" and len(set(made(tried))) == 6
        assert not Allocation.objects.exists() and not IdempotencyKey.objects.exists()
