"""Processes that claim and are killed at any line: nothing is given twice, nothing is half given, nothing is lost."""

import os
import random
import signal
import time

import pytest
from django.utils import timezone

from pools.models import Allocation, Capacity, Claim, PoolSync
from pools.services import allocations
from tests.crash.site import until
from tests.factories import ALICE
from tests.services.asking import World
from tests.services.test_ledger import check_row

pytestmark = pytest.mark.crash

ROUNDS = 3
PROCESSES = 3


def check(world):
    """Every capacity row, quota and ledger says what the claims say, and each claim is of an allocation that holds."""
    world.check()
    for row in Capacity.objects.all():
        open_now = check_row(row)
        assert open_now["hold"] == row.held_milli and open_now["use"] == row.claimed_milli
    for claim in Claim.objects.filter(released_at=None).select_related("allocation"):
        assert claim.allocation.state == ("held" if claim.is_held else "active")
    holding = Allocation.objects.filter(state__in=("held", "active")).values_list("id", flat=True)
    assert set(holding) == set(Claim.objects.filter(released_at=None).values_list("allocation_id", flat=True))


class TestAKillAtAnyLine:
    def test_leaves_every_claim_whole_or_not_there_at_all(self, site):
        world = World(devices=8, quota_milli=6000)
        PoolSync.objects.filter(pool=world.pool).update(observed_at=timezone.now(), health="online")
        dice = random.Random(7)

        for round in range(ROUNDS):
            running = [
                site.run("tests.crash.claiming", str(world.project.id), str(round * 10 + n), name=f"claiming-{n}")
                for n in range(PROCESSES)
            ]
            for process in running:
                until(lambda process=process: "answered" in process.said() or process._popen.poll() is not None)
            time.sleep(dice.random())
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            until(lambda: not busy())
            check(world)

        for allocation in Allocation.objects.filter(ended_at=None):
            allocations.release(allocation_id=allocation.id, actor=ALICE, now=timezone.now())
        check(world)
        assert all(row.free_milli == row.total_milli for row in Capacity.objects.all()) and world.used_milli() == 0
        assert Allocation.objects.count() > ROUNDS


def busy():
    """Whether the server still does what a killed process asked for."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'ocenter_app'"
            " AND backend_type = 'client backend')"
        )
        return cursor.fetchone()[0]
