"""Simulated pools that were registered, checked and activated the way a person does it, and what to play on them."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db.models import Q

from connectors.simulated.state import State, Store
from pools.domain.actors import Actor
from pools.models import Capacity, CapacityRollup, Device, Node, Pool, PoolSync, SyncRun
from pools.reconcile import checks, inventory
from pools.services import pools, sync_runs

ALICE = Actor(name="alice", request_id="req-1")
TOKEN = "right-and-secret"  # of a fleet that does not exist


class Simulation:
    """One simulated pool. ``pool`` is its row, ``store`` what its far end remembers."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime],
        name: str = "lab",
        *,
        is_active: bool = True,
        mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock
        self.store = Store(str(folder), settings.get("fleet", name))
        given = {"fleet": name, "state_folder": str(folder), "nodes": 8, "devices_per_node": 4, "page_size": 2}
        self.pool: Pool = pools.register(
            name=name,
            kind="simulated",
            settings=given | settings,
            credential={"token": TOKEN},
            mode=mode,
            actor=ALICE,
            now=clock(),
        )
        if is_active:
            checks.run(pool_id=self.pool.id, clock=clock)
            pools.activate(pool_id=self.pool.id, actor=ALICE, now=clock())

    @property
    def sync(self) -> PoolSync:
        return PoolSync.objects.get(pool=self.pool)

    @contextmanager
    def changing(self):
        """Change knobs and world of the far end."""
        with self.store.changing() as state:
            yield state

    def knobs(self, **knobs: Any) -> None:
        with self.store.changing() as state:
            for name, value in knobs.items():
                setattr(state.knobs, name, value)

    def heal(self) -> None:
        """Make the far end as it was born."""
        with self.store.changing() as state:
            state.knobs, state.world = State().knobs, State().world

    def refs(self) -> list[str]:
        """The refs of the recorded nodes, by name."""
        return list(Node.objects.filter(pool=self.pool, retired_at=None).order_by("name").values_list("ref", flat=True))

    def sync_now(self, *, is_dry_run: bool = False) -> SyncRun:
        """Ask for a run and run it in this process."""
        run_id = sync_runs.request(pool_id=self.pool.id, is_dry_run=is_dry_run, actor=ALICE, now=self.clock())
        ran = inventory.run(pool_id=self.pool.id, clock=self.clock)
        assert ran == run_id, "another run came first"
        return SyncRun.objects.get(id=run_id)

    def sync_now_patiently(self) -> SyncRun:
        """The same beside a watch, which may have the turn for a moment."""
        run_id = sync_runs.request(pool_id=self.pool.id, actor=ALICE, now=self.clock())
        for _ in range(500):
            if inventory.run(pool_id=self.pool.id, clock=self.clock) is not None:
                break
            time.sleep(0.02)
        return SyncRun.objects.get(id=run_id)

    def run_if_due(self) -> SyncRun | None:
        """What a worker does with a hint."""
        run_id = inventory.run(pool_id=self.pool.id, clock=self.clock)
        return SyncRun.objects.get(id=run_id) if run_id else None


def error_of(run: SyncRun) -> dict[str, Any]:
    """Return what a run tells of its failure."""
    assert run.error is not None, run.state
    return dict(run.error)


def picture(pool: Pool) -> dict[str, Any]:
    """The whole inventory of a pool without ids and times: two pools that went through the same look the same."""
    is_missing = Q(missing_since__isnull=False)
    nodes = Node.objects.filter(pool=pool, retired_at=None).annotate(is_missing=is_missing).values_list(
        "ref", "name", "serial", "topology_path", "cpu_milli", "memory_mib", "cpu_used_milli", "device_count",
        "is_available", "fingerprint", "is_missing",
    )  # fmt: skip
    devices = Device.objects.filter(pool=pool, retired_at=None).annotate(is_missing=is_missing).values_list(
        "node__ref", "ref", "uuid", "serial", "model_text", "memory_mib", "total_milli", "shadow_milli", "health",
        "is_missing",
    )  # fmt: skip
    capacity = Capacity.objects.filter(pool=pool).values_list(
        "node__ref", "kind", "model__name", "profile", "resource", "units", "pos_total_milli", "pos_shadow_milli",
        "pos_faulty_milli", "total_milli", "shadow_milli", "faulty_milli", "free_milli", "free_whole", "free_mib",
    )  # fmt: skip
    sums = CapacityRollup.objects.filter(pool=pool).values_list(
        "kind",
        "model__name",
        "profile",
        "units",
        "total_milli",
        "shadow_milli",
        "faulty_milli",
        "free_milli",
        "free_mib",
    )
    return {name: sorted(map(str, rows)) for name, rows in
            {"nodes": nodes, "devices": devices, "capacity": capacity, "sums": sums}.items()}  # fmt: skip
