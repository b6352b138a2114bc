"""Hints that many commits give: soon, few, and none without a message behind it."""

import os
import threading
import time
from contextvars import ContextVar
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from redis.exceptions import RedisError

from pools import dispatch
from pools.dispatch import Task

PATIENCE_SECONDS = 10
_request = ContextVar("_request", default="")


@pytest.fixture
def sent(monkeypatch):
    """When each message was sent, and in whose context."""
    sent = []
    monkeypatch.setattr(dispatch, "_send", lambda *_: sent.append((time.monotonic(), _request.get())))
    return sent


@pytest.fixture
def hints(sent, monkeypatch):
    """Hints of which one message goes at most each 50 ms."""
    monkeypatch.setattr(dispatch, "TOGETHER_SECONDS", 0.05)
    return dispatch._Hints(Task.ADVANCE_ALLOCATIONS)


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_goes_at_once_and_those_soon_after_it_as_one(hints, sent):
    hints.give()
    assert len(sent) == 1

    for number in range(20):
        token = _request.set(f"request-{number}")
        hints.give()
        _request.reset(token)
    assert len(sent) == 1
    until(lambda: len(sent) > 1)

    time.sleep(0.1)
    assert len(sent) == 2 and sent[1][0] - sent[0][0] >= 0.04
    assert sent[1][1] == "request-0"


def test_each_is_followed_by_a_message_however_many_give_them_at_once(hints, sent):
    given = []

    def many():
        for _ in range(200):
            given.append(time.monotonic())
            hints.give()
            time.sleep(0.0005)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    until(lambda: sent and sent[-1][0] >= max(given))
    assert len(sent) <= (sent[-1][0] - sent[0][0]) / 0.05 + 2


def test_one_is_sent_at_once_where_no_thread_can_wait_for_it(hints, sent, monkeypatch):
    class NoMore(threading.Timer):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Timer", NoMore)
    for _ in range(3):
        hints.give()

    assert len(sent) == 3


def test_one_of_a_child_does_not_wait_for_the_timer_of_its_parent(hints, sent):
    hints.give()
    hints.give()

    child = os.fork()
    if child == 0:
        hints.give()
        os._exit(len(sent))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


class TestOneThatWaits:
    """Of what is hinted at all the time one message lies in the queue until somebody begins to follow it."""

    @pytest.fixture
    def messages(self, monkeypatch):
        sent = []
        sender = SimpleNamespace(send_task=lambda name, **message: sent.append((name, message["kwargs"])))
        monkeypatch.setattr(dispatch, "current_app", sender)
        monkeypatch.setattr(dispatch, "WAITING_SECONDS", 60)
        cache.clear()
        yield sent
        cache.clear()

    def test_keeps_others_back_until_it_is_followed(self, messages):
        for _ in range(3):
            dispatch._send(Task.ADVANCE_ALLOCATIONS, "default", {})
        assert len(messages) == 1

        dispatch.begun(Task.ADVANCE_ALLOCATIONS)
        dispatch._send(Task.ADVANCE_ALLOCATIONS, "default", {})
        assert len(messages) == 2

    def test_of_a_pool_keeps_none_of_another_back(self, messages):
        for pool_id in ("a", "b", "a"):
            dispatch._send(Task.APPLY_POOL, "observe.simulated", {"pool_id": pool_id})

        assert [kwargs["pool_id"] for _, kwargs in messages] == ["a", "b"]

    def test_keeps_none_back_for_long_for_it_may_be_lost(self, messages, monkeypatch):
        monkeypatch.setattr(dispatch, "WAITING_SECONDS", 1)
        dispatch._send(Task.ADVANCE_QUEUE, "default", {})

        def again():
            dispatch._send(Task.ADVANCE_QUEUE, "default", {})
            return len(messages) == 2

        until(again)

    def test_is_sent_where_nobody_can_tell_what_waits(self, messages, monkeypatch):
        def gone(*_args, **_kwargs):
            raise RedisError

        monkeypatch.setattr(dispatch.cache, "add", gone)
        monkeypatch.setattr(dispatch.cache, "delete", gone)
        for _ in range(2):
            dispatch._send(Task.ADVANCE_QUEUE, "default", {})
        dispatch.begun(Task.ADVANCE_QUEUE)

        assert len(messages) == 2
