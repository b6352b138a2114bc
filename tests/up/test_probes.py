"""What a load balancer and an operator ask."""

import json
import time

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from ocenter import health, probes


@pytest.fixture
def beating():
    """Both hearts beat just now."""
    for name in (health.WORKER, health.BEAT):
        health.note(name, settings.CACHE_URL)
    yield
    health._server(settings.CACHE_URL).flushdb()


@pytest.mark.django_db
class TestReady:
    def test_when_everything_is_there(self, client, beating):
        answer = client.get("/readyz")

        assert answer.status_code == 200
        assert {name: check["ok"] for name, check in answer.json()["checks"].items()} == {
            "database": True,
            "broker": True,
            "worker": True,
            "beat": True,
        }

    def test_names_the_heart_that_never_beat(self, client):
        answer = client.get("/readyz")

        assert answer.status_code == 503
        assert answer.json()["checks"]["worker"] == {"ok": False, "detail": "not seen yet"}

    def test_names_the_heart_that_stopped(self, client, beating, time_machine):
        time_machine.move_to(time.time() + health.STALE_SECONDS + 5)

        assert client.get("/readyz").json()["checks"]["beat"] == {"ok": False, "detail": "last seen 35 s ago"}

    def test_names_a_broker_that_is_away_and_tells_no_address(self, client, settings):
        settings.CACHE_URL = "redis://:secret@127.0.0.1:1/0"

        answer = client.get("/readyz")

        assert answer.status_code == 503
        assert answer.json()["checks"]["broker"] == {"ok": False, "detail": "does not answer"}
        assert answer.json()["checks"]["database"]["ok"]
        assert "127.0.0.1" not in answer.content.decode() and "secret" not in answer.content.decode()

    def test_names_a_database_that_is_away(self, client, beating):
        def refuse(*_):
            raise OperationalError("connection to server on socket failed")

        with connection.execute_wrapper(refuse):
            answer = client.get("/readyz")

        assert answer.json()["checks"]["database"] == {"ok": False, "detail": "does not answer"}


class TestAlive:
    def test_needs_neither_database_nor_broker(self, client, settings):
        settings.CACHE_URL = "redis://127.0.0.1:1/0"

        assert client.get("/healthz").content == b"ok\n"

    def test_is_never_cached(self, client):
        assert "no-store" in client.get("/healthz")["cache-control"]


class TestMetrics:
    def test_are_in_the_text_format(self, client):
        answer = client.get("/metrics")

        assert answer["content-type"].startswith("text/plain") and b"process_cpu_seconds_total" in answer.content


class TestHeartbeat:
    def test_that_cannot_be_written_stops_no_heart(self):
        health.note(health.BEAT, "redis://127.0.0.1:1/0")


class TestChildren:
    def test_of_up_are_shown(self, client, settings, tmp_path, db):
        settings.OCENTER_HOME = tmp_path
        (tmp_path / "run").mkdir()
        shown = {"name": "web", "state": "waiting", "restarts": 3, "since": 1.0}
        kept = json.dumps({"children": [{**shown, "pid": 7, "start_time": "1", "ask": "SIGTERM", "last_exit": None}]})
        (tmp_path / "run" / "status.json").write_text(kept)

        assert client.get("/readyz").json()["processes"] == [shown]

    def test_are_none_where_up_does_not_run(self, tmp_path):
        assert health.children(tmp_path) == []


def test_every_check_has_a_name_an_operator_knows():
    assert list(probes._CHECKS) == ["database", "broker", "worker", "beat"]
