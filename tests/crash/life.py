"""Allocations that come and go on a pool that answers slowly, while real workers let its platform know."""

from collections import Counter
from pathlib import Path
from uuid import UUID

from django.utils import timezone

from pools.models import Allocation, Capacity, Drift, Operation, Orphan, Pool, PoolSync, SyncRun, Target
from tests.crash.site import Process, Site, until
from tests.reconcile.binding import Lab
from tests.reconcile.invariants import check_sums
from tests.services.asking import check_claims

LATENCY_MS = 60
SIZES = (1, 2, 1, 3, 1, 2, 1, 4)
SYNC_SECONDS = 5


class Life:
    """Allocations by the state that each shall come to, and the workers that see to it.

    ``mode`` is how the platform carries orders: those of a host in one document (``device``), each in a VM of its own
    (``node``).
    """

    def __init__(self, site: Site, folder: Path, mode: str) -> None:
        self.lab = Lab(folder, timezone.now, mode=mode, nodes=4, devices_per_node=8, latency_ms=LATENCY_MS)
        Pool.objects.update(sync_interval_seconds=SYNC_SECONDS)
        PoolSync.objects.update(next_at=timezone.now())
        self._site = site
        self.wanted: dict[UUID, str] = {}
        self.workers: list[Process] = []

    def work(self, count=1, **odd):
        """So many workers and beats."""
        for _ in range(count):
            self.workers.append(self._site.worker(**odd))
            self._site.beat()

    def live(self, during=lambda: None):
        """Make, make and give back while it happens, give back."""
        self._ask(*SIZES)
        self._ask(1, members=2)
        self._meanwhile(during)

        self._release(5)
        self._ask(1, 2, 1)
        self._meanwhile(during)

        self.leave()

    def leave(self):
        """Give all back; nothing is left, on the platform and in the rows."""
        self._release(len(self.wanted))
        self.arrive()
        assert self.lab.there() == {} and not Target.objects.filter(due_at__isnull=False).exists()
        self._look()
        assert not Orphan.objects.exists() and not Drift.objects.filter(closed_at=None).exists()
        assert all(row.free_milli == row.total_milli for row in Capacity.objects.all())

    def arrive(self):
        """Everything comes to where it shall; then all that there is says the same."""
        until(lambda: self._states() == self.wanted, self._said)
        until(lambda: not Operation.objects.filter(state__in=("planned", "sent", "unknown")).exists(), self._said)
        self.lab.check()
        check_claims()
        check_sums(self.lab.pool.id)

    def _ask(self, *sizes, **fields):
        self.wanted |= {self.lab.ask(size, lease_seconds=1800, **fields): "active" for size in sizes}

    def _release(self, number):
        for id in [id for id, state in self.wanted.items() if state == "active"][:number]:
            self.lab.release(id)
            self.wanted[id] = "released"

    def _meanwhile(self, during):
        until(is_at_work, self._said)
        during()
        self.arrive()

    def _look(self):
        """The schedule looks once more."""
        since = timezone.now()
        until(lambda: SyncRun.objects.filter(state="succeeded", started_at__gte=since).exists(), self._said)

    def _states(self):
        return dict(Allocation.objects.filter(id__in=self.wanted).values_list("id", "state"))

    def _said(self):
        return "\n".join([str(Counter(self._states().values())), *(worker.said() for worker in self.workers)])


def is_at_work():
    """Whether a call is on its way."""
    return Operation.objects.filter(state="sent").exists()


def attempts():
    return set(Operation.objects.values_list("attempts", flat=True))
