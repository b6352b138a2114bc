"""Sixty-four who want the last devices at once, in processes that are killed meanwhile: never one too many is given."""

import ast
import os
import random
import signal
import socket
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from pools.models import Allocation, Capacity, PoolSync
from pools.services import allocations
from tests.crash.site import until
from tests.crash.test_claims import check
from tests.factories import node
from tests.services.asking import World

pytestmark = pytest.mark.crash

PROCESSES, THREADS = 4, 16
REFUSALS = {"quota.exceeded", "allocation.no_capacity"}


class Asking:
    """One process of a rush, reached by its socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0)
        self._line = self._socket.makefile("rw")
        self.pid = int(self._line.readline())

    def go(self, world, kind):
        print(world.project.id, kind, file=self._line, flush=True)

    def answers(self):
        """How often each answer came; None when it was killed before."""
        try:
            line = self._line.readline()
        except ConnectionResetError:
            return None
        return Counter(ast.literal_eval(line)) if line else None


class Rush:
    """Some processes with some threads each, all of which ask at once. Who is killed is replaced."""

    def __init__(self, site):
        self._path = site.folder / "rush"
        site.run("tests.crash.rushing", str(self._path), str(THREADS))
        self._processes = [Asking(self._path) for _ in range(PROCESSES)]
        self._dice = random.Random(11)
        self.killed = 0

    def round(self, world, kind, *, kills=False, meanwhile=None):
        """Return how often each answer came, or None when somebody was killed who tells nothing any more."""
        for process in self._processes:
            process.go(world, kind)
        if kills or meanwhile:
            time.sleep(self._dice.random() * 0.2)
        if meanwhile:
            meanwhile()
        if kills:
            os.kill(self._processes[0].pid, signal.SIGKILL)
        answers = [process.answers() for process in self._processes]
        if kills:
            until(lambda: not is_at_work(self._processes[0].pid))
            self._processes = [*self._processes[1:], Asking(self._path)]
            self.killed += answers[0] is None
        return None if None in answers else sum(answers, Counter())


def is_at_work(pid):
    """Whether the server still does what a killed process asked for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s)", [f"rush-{pid}"])
        return cursor.fetchone()[0]


@pytest.fixture
def rush(site):
    return Rush(site)


def play(rush, world, kind, rounds, milli, count=None):
    """Rush so often; every time just so much is given, whoever is killed."""
    for number in range(rounds):
        PoolSync.objects.filter(pool=world.pool).update(observed_at=timezone.now(), health="online")
        answers = rush.round(world, kind, kills=number % 10 == 0)

        given = Allocation.objects.filter(ended_at=None)
        assert sum(given.values_list("milli", flat=True)) == milli, answers
        assert count is None or len(given) == count, answers
        if answers is not None:
            assert answers["active"] + answers["held"] == len(given)
            assert answers.keys() <= {"active", "held"} | REFUSALS, answers
        world.check()
        later = timezone.now() + timedelta(hours=1)
        allocations.end_leases(now=later)
        allocations.expire_holds(now=later)
    check(world)
    assert all(row.free_milli == row.total_milli for row in Capacity.objects.all()) and world.used_milli() == 0


class TestSixtyFourAtOnce:
    def test_get_six_of_the_last_eight_devices_by_a_quota_of_six(self, rush):
        play(rush, World(quota_milli=6000), "devices", 200, milli=6000, count=6)
        assert rush.killed > 10

    def test_get_all_of_six_where_some_want_one_some_two_and_some_three(self, rush):
        play(rush, World(quota_milli=6000), "sizes", 5, milli=6000)

    def test_get_six_of_the_last_eight_of_a_pool_that_promises_no_node(self, rush):
        play(rush, World(quota_milli=6000, grain="pool"), "devices", 5, milli=6000, count=6)

    def test_get_as_many_shares_as_two_devices_have_room_for(self, rush):
        play(rush, World(devices=2), "shares", 5, milli=1800, count=6)

    def test_get_as_many_pieces_as_a_device_can_be_cut_into(self, rush):
        play(rush, World(devices=1), "profiles", 5, milli=7 * 142, count=7)

    def test_get_three_gangs_of_two_by_a_quota_of_six(self, rush):
        play(rush, World(node("n0", devices=4), node("n1", devices=4), quota_milli=6000), "gangs", 5, 6000, 3)

    def test_get_six_whether_they_hold_or_claim(self, rush):
        play(rush, World(quota_milli=6000), "holds", 5, milli=6000, count=6)


class TestACrashOfTheDatabase:
    def test_in_a_rush_loses_no_claim_that_was_answered_and_leaves_none_by_half(self, rush, site):
        world = World(quota_milli=6000)

        def crash():
            site.stop_postgres(signal.SIGQUIT)
            connection.close()
            site.start_postgres()

        for _ in range(3):
            PoolSync.objects.update(observed_at=timezone.now(), health="online")
            before = set(Allocation.objects.filter(ended_at=None).values_list("id", flat=True))

            answers = rush.round(world, "devices", meanwhile=crash)

            given = Allocation.objects.filter(ended_at=None)
            assert before <= set(given.values_list("id", flat=True))
            assert answers["active"] <= len(given) - len(before) and len(given) <= 6, answers
            check(world)

        rush.round(world, "devices")
        assert Allocation.objects.filter(ended_at=None).count() == 6
        check(world)
