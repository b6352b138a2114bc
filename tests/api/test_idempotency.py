"""Unsafe requests that come twice, at once, or only to try; and processes that die in the middle of one."""

import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from pools import dispatch
from pools.domain.actors import SYSTEM
from pools.models import AuditEvent, IdempotencyKey, Pool, PoolSync
from pools.services import idempotency, pools, tokens, writing
from tests.api.conftest import Api
from tests.factories import Clock, person, pool

CHECKOUT = Path(__file__).resolve().parents[2]


def draft(name):
    return {"name": name, "kind": "simulated", "credential": {"token": "any"}}


def register(api, name="lab", key="k", query="", **headers):
    return api.post(f"/pools{query}", draft(name), headers={"Idempotency-Key": key} | headers)


def audited(name):
    return AuditEvent.objects.filter(object_name=name, action="pool.registered")


@pytest.mark.django_db
class TestAKey:
    def test_is_answered_as_before_and_does_nothing_again(self, api):
        first = register(api, "twice")

        again = register(api, "twice")

        assert (first.status_code, again.status_code) == (201, 201) and again.content == first.content
        assert [again[name] for name in ("Location", "ETag")] == [first[name] for name in ("Location", "ETag")]
        assert again["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
        assert Pool.objects.filter(name="twice").count() == 1
        assert audited("twice").filter(object_id=first.data["id"]).count() == 1

    def test_of_an_answer_without_a_body_has_none_again(self, api):
        pool("lab")
        gone, again = (api("DELETE", "/pools/lab", headers={"Idempotency-Key": "k"}) for _ in range(2))

        assert (gone.status_code, gone.content) == (again.status_code, again.content) == (204, b"")
        assert again["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [("POST", "/pools", draft("other")), ("POST", "/pools?dry_run=0", draft("lab")), ("PATCH", "/pools/lab", {})],
    )
    def test_of_another_request_is_refused(self, api, method, path, body):
        register(api)

        answer = api(method, path, body, headers={"Idempotency-Key": "k"})

        assert (answer.status_code, answer.data["code"]) == (422, "idempotency.key_reused")

    def test_is_shared_by_the_tokens_of_a_user_and_by_nobody_else(self, api):
        register(api)
        twin = Api(tokens.make(username="root", name="twin", actor=SYSTEM, now=timezone.now()))
        other = Api(tokens.make(username=person("eve", "admin").username, name="x", actor=SYSTEM, now=timezone.now()))

        assert register(twin)["Idempotency-Replayed"] == "true"
        assert register(other).data["code"] == "pool.name_taken"

    def test_of_a_refusal_stands_for_nothing_so_that_a_retry_decides_anew(self, api):
        in_the_way = pool("lab")
        assert register(api).data["code"] == "pool.name_taken"

        Pool.objects.filter(pk=in_the_way.pk).update(name="moved")

        assert register(api).status_code == 201

    @pytest.mark.parametrize("key", ["", "a b", "ü", "k" * 256, "a\tb"])
    def test_is_visible_ascii_of_some_length(self, api, key):
        answer = register(api, key=key)

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "Idempotency-Key")
        assert not Pool.objects.exists()

    def test_of_an_answer_too_long_to_be_kept_tells_the_ids(self, api, monkeypatch):
        monkeypatch.setattr(idempotency, "BODY_MOST_BYTES", 100)
        first = register(api)

        again = register(api)

        assert (again.status_code, again.data) == (200, {"object_ids": [first.data["id"]]})
        assert IdempotencyKey.objects.get().body is None

    def test_stands_for_its_request_for_a_day(self, api):
        pool_id = register(api).data["id"]
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
        Pool.objects.filter(pk=pool_id).update(name="moved")

        anew = register(api)

        assert anew.status_code == 201 and anew.data["id"] != pool_id and "Idempotency-Replayed" not in anew
        assert register(api).data["id"] == anew.data["id"]

    def test_that_is_over_is_swept(self, admin):
        now = timezone.now()
        for key, age in (("old", 25), ("new", 23)):
            IdempotencyKey.objects.create(
                user=admin, key=key, fingerprint=b"", created_at=now - timedelta(hours=age), status=200
            )

        assert idempotency.sweep(now=now) == 1
        assert IdempotencyKey.objects.get().key == "new"


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_with_one_key_have_one_effect_and_one_answer(self, api, token, monkeypatch):
        monkeypatch.setattr(pools.audit, "record", slowly(pools.audit.record))
        answers = []

        def ask():
            answers.append(register(Api(token), "raced"))
            connection.close()

        at_once([ask] * 4)

        assert {answer.status_code for answer in answers} == {201} and len({a.content for a in answers}) == 1
        assert sum("Idempotency-Replayed" in answer for answer in answers) == 3
        assert Pool.objects.filter(name="raced").count() == 1 == audited("raced").count()

    def test_of_which_the_first_is_refused_let_the_second_decide(self, api, token, monkeypatch):
        pool("taken")
        answers = []

        def ask():
            answers.append(register(Api(token), "taken"))
            connection.close()

        at_once([ask] * 2)

        assert [answer.data["code"] for answer in answers] == ["pool.name_taken"] * 2

    def test_do_not_wait_for_each_other_for_ever(self, api, admin, monkeypatch):
        monkeypatch.setattr(idempotency, "_WAITS", "100ms")
        is_held, may_go = threading.Event(), threading.Event()

        def hold():
            with writing.request():
                idempotency.claim(user_id=admin.pk, key="k", fingerprint=b"", now=timezone.now())
                is_held.set()
                may_go.wait(20)
            connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        is_held.wait(20)

        answer = register(api)

        may_go.set()
        holder.join()
        assert (answer.status_code, answer.data["code"]) == (409, "idempotency.in_progress")


@pytest.mark.django_db(transaction=True)
class TestAProcessThatIsKilled:
    def test_before_the_commit_has_done_nothing_and_a_retry_does_it(self, api, token):
        killed("before the commit", token)
        assert not Pool.objects.exists() and not IdempotencyKey.objects.exists()

        retried = register(api, "killed", key="killed")

        assert retried.status_code == 201 and "Idempotency-Replayed" not in retried

    def test_before_the_answer_has_done_it_and_a_retry_gets_the_answer(self, api, token):
        killed("before the answer", token)
        made = Pool.objects.get(name="killed")

        retried = register(api, "killed", key="killed")

        assert (retried.status_code, retried.data["id"]) == (201, str(made.pk))
        assert retried["Idempotency-Replayed"] == "true" and Pool.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestADryRun:
    def test_answers_as_the_real_run_and_writes_nothing(self, api):
        tried = register(api, "tried", query="?dry_run=1")

        assert (tried.status_code, tried["Dry-Run"], tried.data["state"]) == (201, "true", "registering")
        assert "ETag" not in tried
        assert not Pool.objects.exists() and not IdempotencyKey.objects.exists()
        assert not audited("tried").exists()
        real = register(api, "tried")
        assert real.status_code == 201 and "Dry-Run" not in real
        differ = {name for name in real.data if real.data[name] != tried.data[name]}
        assert differ <= {"id", "created_at", "draft_expires_at", "credential"}  # which has an instant too

    def test_sends_no_hint(self, api, monkeypatch):
        sent = []
        monkeypatch.setattr(dispatch, "_send", lambda *args: sent.append(args))
        lab = pool("lab")

        tried = api.post("/pools/lab/check?dry_run=true")
        assert (tried.status_code, tried.data["state"], sent) == (202, "queued", [])
        assert PoolSync.objects.get(pool=lab).check_state == "idle"

        api.post("/pools/lab/check")
        assert len(sent) == 1

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [(draft("lab"), 409, "pool.name_taken"), ({"name": "x"}, 422, "request.invalid")],
    )
    def test_is_refused_as_the_real_run(self, api, body, status, code):
        pool("lab")

        tried, real = (api.post(f"/pools{query}", body) for query in ("?dry_run=1", ""))

        assert (tried.status_code, tried.data["code"]) == (real.status_code, real.data["code"]) == (status, code)
        assert tried.data["errors"] == real.data["errors"]

    def test_that_is_misspelt_does_not_become_a_real_one(self, api):
        for query, field in (("?dryrun=1", "dryrun"), ("?dry_run=perhaps", "dry_run")):
            answer = api.post(f"/pools{query}", draft("lab"))

            assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, field)
        assert not Pool.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestServices:
    def test_are_transactions_of_their_own_that_no_other_may_hold(self):
        now = timezone.now()

        with pytest.raises(RuntimeError, match="durable"), writing.atomic():
            pools.register(**draft("lab"), settings={}, actor=SYSTEM, now=now)

        assert not Pool.objects.exists()

    def test_do_not_call_each_other_in_a_request_either(self):
        now = timezone.now()
        outer = writing.transaction(lambda: pools.register(**draft("lab"), settings={}, actor=SYSTEM, now=now))

        with pytest.raises(RuntimeError, match="durable"), writing.request():
            outer()

    def test_of_one_request_are_written_together_or_not_at_all(self):
        clock = Clock(timezone.now())

        with pytest.raises(ZeroDivisionError), writing.request():
            pools.register(**draft("one"), settings={}, actor=SYSTEM, now=clock())
            pools.register(**draft("two"), settings={}, actor=SYSTEM, now=clock())
            raise ZeroDivisionError

        assert not Pool.objects.exists()


def slowly(real):
    def slow(*args, **kwargs):
        time.sleep(0.2)
        return real(*args, **kwargs)

    return slow


def at_once(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def killed(point, token, *other):
    """Run a request in a process of its own that dies there: to register a pool, or of another path and body."""
    words = [sys.executable, "-m", "tests.api.dying", connection.settings_dict["NAME"], token, "killed", point, *other]
    ended = subprocess.run(words, cwd=CHECKOUT, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
