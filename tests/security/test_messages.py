"""What lies in the queue: JSON, and of what it is about nothing but ids."""

import base64
import json
import pickle
from uuid import UUID, uuid4

import pytest
from celery import current_app
from django.core.cache import cache
from django.db import connection
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads, prepare_accept_content

from ocenter.celery import app
from pools import dispatch
from pools.dispatch import Task

POOL = uuid4()
SENT_BY = {
    Task.OBSERVE_POOL: lambda: dispatch.observe(POOL, "kubernetes"),
    Task.CHECK_POOL: lambda: dispatch.check(POOL, "openstack"),
    Task.TELEMETER_POOL: lambda: dispatch.telemeter(POOL, "kubernetes"),
    Task.VERIFY_LOGS: dispatch.verify,
    Task.ADVANCE_QUEUE: dispatch.advance_queue,
    Task.ADVANCE_ALLOCATIONS: dispatch.advance_allocations,
    Task.COMPARE_POOL: lambda: dispatch.compare(POOL, "vsphere"),
    Task.APPLY_POOL: lambda: dispatch.apply(POOL, "vsphere"),
    Task.TICK: lambda: current_app.send_task(Task.TICK.value, kwargs={}),
}


@pytest.fixture
def broker():
    with app.connection() as connected:
        client = connected.default_channel.client
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def sent(broker, db, django_capture_on_commit_callbacks):
    """Return a function that lets a task be sent by the code that sends it and returns its message from the broker."""

    def send(task):
        with django_capture_on_commit_callbacks(execute=True):
            SENT_BY[task]()
        queues = [name for name in broker.scan_iter() if broker.type(name) == b"list"]
        (message,) = [json.loads(raw) for name in queues for raw in broker.lrange(name, 0, -1)]
        return message

    return send


class TestAMessage:
    def test_is_known_here_for_every_task(self):
        app.loader.import_default_modules()

        assert SENT_BY.keys() == set(Task) == {name for name in app.tasks if name.startswith("ocenter.")}

    @pytest.mark.parametrize("task", Task)
    def test_carries_ids_only(self, sent, task):
        message = sent(task)

        positional, named, embedded = json.loads(base64.b64decode(message["body"]))
        assert message["content-type"] == "application/json" and message["headers"]["task"] == task
        assert positional == [] and not any(embedded.values())
        assert all(name.endswith("_id") and UUID(value) for name, value in named.items())

    @pytest.mark.parametrize("task", Task)
    def test_says_nothing_beside_in_its_headers(self, sent, task):
        headers = sent(task)["headers"]

        known = {"lang", "task", "id", "root_id", "parent_id", "group", "shadow", "eta", "expires", "retries"}
        known |= {"timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result", "stamped_headers", "stamps"}
        known |= {"group_index", "replaced_task_nesting", "compression", "__django_structlog__"}
        assert headers.keys() <= known
        assert headers["argsrepr"] == "()" and headers["kwargsrepr"] in ("{}", str({"pool_id": str(POOL)}))
        told = headers.get("__django_structlog__", {})
        assert told.keys() <= {"request_id", "user_id", "parent_task_id", "task_id"}

    def test_is_sent_once_its_row_is_there_and_not_before(self, broker, db):
        dispatch.observe(POOL, "kubernetes")

        assert connection.in_atomic_block and broker.keys() == []


class TestAWorker:
    def test_takes_json_and_nothing_that_runs_code_when_it_is_read(self):
        assert app.conf.accept_content == ["json"] and app.conf.task_serializer == "json"
        assert app.conf.result_serializer == "json" and not app.conf.result_backend
        for kind in ("application/x-python-serialize", "application/x-yaml"):
            with pytest.raises(ContentDisallowed):
                loads(b"", kind, "binary", accept=prepare_accept_content(app.conf.accept_content))


class Opens:
    """Makes a file when somebody reads it as a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


class TestTheCache:
    def test_runs_no_code_that_somebody_put_into_it(self, tmp_path):
        proof = tmp_path / "was-read"
        cache.set("known", 1)
        client = cache._cache.get_client()
        client.set(cache.make_key("known"), pickle.dumps(Opens(proof)))

        with pytest.raises(ValueError):
            cache.get("known")

        assert not proof.exists()
        cache.delete("known")

    @pytest.mark.parametrize("value", [0, 7, -1, 1.5, True, None, "7", "text", [1.5, "a"], {"a": [None, {}]}])
    def test_gives_back_what_it_was_given(self, value):
        cache.set("kept", value, 5)

        assert cache.get("kept", "absent") == value and type(cache.get("kept")) is type(value)
        cache.delete("kept")

    def test_counts(self):
        cache.set("count", 1, 5)

        assert cache.incr("count") == 2 and cache.get("count") == 2
        cache.delete("count")
