"""What a sync costs: the whole run as a worker does it, of a platform that answers at once."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.db import connection
from django.utils import timezone

from connectors.contract import NodeFact, Page
from pools.domain import ids
from pools.models import Device, Pool, PoolSync, SyncRun
from pools.reconcile import inventory
from pools.services.models import load_catalogue
from tests.bench import facts
from tests.bench.accounting import Meter, Samples, ratio
from tests.bench.facts import Prepared
from tests.bench.frame import Frame

DEVICES = 40_000
ROWS_PER_STATEMENT = 1_000


def run(frame: Frame) -> None:
    """Measure first, unchanged and 1 % changed syncs of 40,000 devices in 5,000 nodes, and the ORM beside them."""
    facts.make_known()
    pages, changed = list(facts.pages(DEVICES)), list(facts.pages(DEVICES, changed_percent=1))
    meter, rounds = frame.meter(), 1 if frame.is_quick else 5
    with _watched_by_no_collector():
        pool_id = _first(frame, meter, pages, rounds)
        _unchanged(frame, meter, pool_id, pages, rounds)
        _beside_the_orm(frame, meter, pool_id, pages, rounds)
        _changed(frame, meter, pool_id, (changed, pages), rounds)
    _memory(frame)


def _first(frame: Frame, meter: Meter, pages: Sequence[Page], rounds: int) -> UUID:
    costs = []
    for _ in range(rounds):
        pool_id = register(frame)
        costs.append(meter.measure(partial(sync, pool_id, pages)))
    samples = Samples(costs)
    frame.results.record("sync_first_40k_cpu_s", samples.median(), f"{samples}; {phases(pool_id)}")
    return pool_id


def _unchanged(frame: Frame, meter: Meter, pool_id: UUID, pages: Sequence[Page], rounds: int) -> None:
    before = _rows_written(frame)
    samples = meter.repeat(lambda: sync(pool_id, pages), rounds)
    written = _rows_written(frame) - before
    frame.results.record("sync_nochange_40k_cpu_s", samples.median(), f"{samples}; {phases(pool_id)}")
    frame.results.record("sync_nochange_40k_rows_written", written, f"inventory rows, by {rounds} runs together")


def _beside_the_orm(frame: Frame, meter: Meter, pool_id: UUID, pages: Sequence[Page], rounds: int) -> None:
    nodes = [node for page in pages for node in page.nodes]
    both = meter.alternate(
        {"orm": lambda: write_by_orm(pool_id, nodes), "ours": lambda: sync(pool_id, pages)}, min(rounds, 3)
    )
    frame.results.record(
        "sync_nochange_vs_orm_ratio",
        ratio(both["orm"], both["ours"]),
        f"bulk_create(update_conflicts) of the devices alone: {both['orm']}; the whole sync: {both['ours']}",
    )


def _changed(frame: Frame, meter: Meter, pool_id: UUID, shown: Sequence[Sequence[Page]], rounds: int) -> None:
    frame.settle()
    costs = [meter.measure(partial(sync, pool_id, shown[turn % 2])) for turn in range(max(rounds, 2))]
    run = SyncRun.objects.filter(pool_id=pool_id).latest("queued_at")
    touched = run.counts["nodes"]["changed"]
    samples = Samples(costs)
    note = f"{samples}; {DEVICES // 100} devices in {touched} nodes; {phases(pool_id)}"
    frame.results.record("sync_1pct_40k_cpu_s", samples.median(), note)


def _memory(frame: Frame) -> None:
    """A process of its own that imports what a worker imports and makes the facts page by page, as a platform would."""
    register(frame)
    command = [sys.executable, "-m", "tests.bench.worker"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    frame.results.record("sync_worker_rss_mib", float(done.stdout.split()[-1]), "peak of a first sync (VmHWM)")


# --- one sync ---------------------------------------------------------------------------------------------------------


def register(frame: Frame) -> UUID:
    """Empty the inventory and return a new pool of the prepared kind, due at once."""
    connection.close()
    frame.empty()
    now = timezone.now()
    load_catalogue(now=now)
    pool = Pool.objects.create(
        id=ids.new_id(), name="bench", kind=facts.KIND, state="active", mode="device", grain="device",
        identity="bench", created_at=now, activated_at=now,
    )  # fmt: skip
    PoolSync.objects.create(pool=pool)
    frame.settle()
    return pool.id


def sync(pool_id: UUID, pages: Iterable[Page]) -> None:
    """Do one run as a worker does. Raises: AssertionError when it did not succeed."""
    Prepared.shown = pages
    PoolSync.objects.filter(pool_id=pool_id).update(next_at=timezone.now() - timedelta(seconds=1))
    run_id = inventory.run(pool_id=pool_id, clock=timezone.now)
    assert run_id is not None
    run = SyncRun.objects.get(id=run_id)
    assert run.state == "succeeded" and run.complete, (run.state, run.error)


def phases(pool_id: UUID) -> str:
    """Say how the last run's wall time split up."""
    run = SyncRun.objects.filter(pool_id=pool_id).latest("queued_at")
    return "wall " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in run.phases.items())


def write_by_orm(pool_id: UUID, nodes: Sequence[NodeFact]) -> None:
    """Write the same devices the way Django offers: instances, and an upsert in the database."""
    known = Device.objects.filter(pool_id=pool_id).values_list(
        "uuid", "id", "node_id", "model_id", "capacity_id", "position", "shadow_milli", "shadow_mib", "created_at"
    )
    rows = {row[0]: row[1:] for row in known}
    now = timezone.now()
    devices = []
    for node in nodes:
        for fact in node.devices:
            row_id, node_id, model_id, capacity_id, position, shadow_milli, shadow_mib, created_at = rows[fact.uuid]
            devices.append(
                Device(
                    id=row_id, pool_id=pool_id, node_id=node_id, ref=fact.ref, index=fact.index, vendor=fact.vendor,
                    model_id=model_id, model_text=fact.model, profile=fact.profile, uuid=fact.uuid, serial=fact.serial,
                    pci_id=fact.pci_id, pci_address=fact.pci_address, memory_mib=fact.memory_mib,
                    total_milli=fact.total_milli, shadow_milli=shadow_milli, shadow_mib=shadow_mib, health=fact.health,
                    health_reason=fact.health_reason, link_group=fact.link_group, numa_node=fact.numa_node,
                    uses=[{"holder": use.holder, "milli": use.milli} for use in fact.uses],
                    attributes=dict(fact.attributes), capacity_id=capacity_id, position=position,
                    created_at=created_at, changed_at=now,
                )
            )  # fmt: skip
    written = [field.name for field in Device._meta.concrete_fields if field.name not in ("id", "created_at")]
    Device.objects.bulk_create(
        devices, batch_size=ROWS_PER_STATEMENT, update_conflicts=True, unique_fields=["id"], update_fields=written
    )


def _rows_written(frame: Frame) -> int:
    connection.close()  # a backend tells its counts when it ends
    return frame.rows_written()


@contextmanager
def _watched_by_no_collector() -> Iterator[None]:
    """The prepared facts live in this process alone; the garbage collector of a worker would not walk over them."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
