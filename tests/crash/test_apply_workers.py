"""Real workers, beats and a real broker carry orders while they are killed, flushed, stopped and led astray."""

import os
import signal
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from pools import dispatch
from pools.models import PoolSync, Target
from pools.services import targets as turns
from tests.crash.life import attempts

pytestmark = pytest.mark.crash


def free_the_turns():
    """Let the turns of those who are gone run out, which they do within a minute."""
    held = Target.objects.filter(turn_until__isnull=False)
    assert all(each.turn_until - timezone.now() <= timedelta(seconds=turns.TURN_SECONDS) for each in held)
    held.update(turn_until=timezone.now())


class TestEverythingReachesItsEnd:
    @pytest.mark.parametrize("mode", ["node"])
    def test_once_with_two_workers_and_two_beats(self, life):
        life.work(count=2)

        life.live()

        assert attempts() == {1}

    @pytest.mark.parametrize("mode", ["node"])
    def test_though_the_broker_forgets_everything(self, site, life):
        life.work()

        life.live(site.broker().flushall)

    def test_though_the_database_restarts(self, site, life):
        life.work()

        def restart():
            site.stop_postgres()
            connection.close()
            site.start_postgres()
            free_the_turns()

        life.live(restart)

    def test_once_though_each_message_comes_ten_times(self, life, monkeypatch):
        send = dispatch._send
        monkeypatch.setattr(dispatch, "_send", lambda *message: [send(*message) for _ in range(10)])
        life.work(count=2, module="tests.crash.odd", words=("10", "0"))

        life.live()

        assert attempts() == {1}

    @pytest.mark.parametrize("mode", ["node"])
    def test_though_workers_are_killed_in_the_middle(self, site, life):
        life.work()

        def replace():
            worker = life.workers.pop()
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            life.workers.append(site.worker())
            free_the_turns()

        life.live(replace)

    def test_once_while_workers_are_replaced_one_after_the_other(self, site, life):
        """Whoever is asked to stop ends its turn first, so nobody has to find out what came of it."""
        life.work(count=2)

        def roll():
            for _ in range(2):
                worker = life.workers.pop(0)
                worker.ask(signal.SIGTERM)
                life.workers.append(site.worker())
                worker.wait()

        life.live(roll)

        assert attempts() == {1}

    def test_by_the_time_of_the_database_whatever_the_clocks_of_workers_say(self, life):
        """One would end all leases at once and take the turns of others, the other would find nothing due."""
        for ahead_seconds in ("3600", "-3600"):
            life.work(module="tests.crash.odd", words=("1", ahead_seconds))

        life.live()

        assert PoolSync.objects.get().observed_at <= timezone.now()
