"""Watching processes killed in the middle: another takes over at once, and the inventory is what it would have been."""

import signal
import subprocess
import sys
import time

import pytest
from django.utils import timezone

from pools.models import Node, PoolSync
from tests.crash.site import CHECKOUT, until
from tests.reconcile.far_end import Simulation, picture

pytestmark = pytest.mark.crash


@pytest.fixture
def lab(site):
    folder = site.folder / "watched"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    made = Simulation(folder, timezone.now, "watched", nodes=40, devices_per_node=4)
    assert made.sync_now().state == "succeeded"
    return made


def watching(site, name):
    return site.run("manage", "watch", name=name)


def lives(site):
    """What the container's health check finds."""
    asked = [sys.executable, "-m", "ocenter.health", "watch"]
    return subprocess.run(asked, cwd=CHECKOUT, env=site.environment, check=False).returncode == 0


def cordon(lab, ref):
    with lab.changing() as state:
        state.world.cordoned[ref] = "by hand"


def is_cordoned(ref):
    return Node.objects.filter(ref=ref, is_available=False).exists()


def is_at_it(process):
    return '"call": "identity"' in process.said()


class TestAWatchingProcess:
    def test_killed_in_the_middle_loses_nothing_and_another_takes_over(self, site, lab):
        first = watching(site, "watch-1")
        until(lambda: is_at_it(first), first.said)
        second = watching(site, "watch-2")
        refs = lab.refs()
        for ref in refs[:10]:
            cordon(lab, ref)
        until(lambda: Node.objects.filter(is_available=False).exists(), first.said)

        first.ask(signal.SIGKILL)
        for ref in refs[10:20]:
            cordon(lab, ref)

        until(lambda: is_at_it(second), second.said)
        PoolSync.objects.filter(turn_until__isnull=False).update(turn_until=timezone.now())  # at most 45 s, unwaited
        until(lambda: all(map(is_cordoned, refs[:20])), second.said)
        until(lambda: lab.sync.turn_token is None)
        by_watch = picture(lab.pool)
        second.ask(signal.SIGTERM)
        assert second.wait(15) == 0
        assert (lab.sync_now().changed, picture(lab.pool)) == (0, by_watch)

    def test_of_its_own_service_says_that_it_lives_and_a_dead_one_does_not(self, site, lab):
        process = site.run("ocenter.watch", name="watch-4")

        until(lambda: lives(site), process.said)

        process.ask(signal.SIGTERM)
        assert process.wait(15) == 0
        site.broker().flushall()  # its last heartbeat grows old
        assert not lives(site)

    def test_asked_to_stop_ends_within_seconds(self, site, lab):
        process = watching(site, "watch-3")
        until(lambda: is_at_it(process), process.said)
        began = time.monotonic()

        process.ask(signal.SIGTERM)

        assert process.wait(15) == 0 and time.monotonic() - began < 8
