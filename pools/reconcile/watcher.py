"""Which pools this process watches: any number of such processes share them by locks that end with the process."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import connection

from pools.reconcile.heartbeat import DATABASE_FAILURES
from pools.reconcile.watching import Watch
from pools.selectors import watched
from pools.selectors.watched import Watched
from pools.services.watch_locks import WatchLocks

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 2.0
END_SECONDS: Final = 8.0
POOLS_MOST: Final = 100
"""Each pool takes a thread and a connection to its platform; more pools need more processes."""


class Watcher:
    """One process's watches, a thread a pool."""

    def __init__(self, clock: Callable[[], datetime], alive: Callable[[], None] = lambda: None) -> None:
        """``alive`` is called every few seconds, as long as this process gets round. It must not raise."""
        self._clock = clock
        self._alive = alive
        self._threads = ThreadPoolExecutor(POOLS_MOST, thread_name_prefix="watch")
        self._locks: WatchLocks | None = None
        self._watches: dict[UUID, Watch] = {}
        self._running: dict[UUID, asyncio.Future[float]] = {}
        self._pause_until: dict[UUID, float] = {}

    async def run(self, stop: asyncio.Event) -> bool:
        """Watch until ``stop`` is set; return whether every watch has ended by then. The database may come and go."""
        while not stop.is_set():
            try:
                wanted, held = await asyncio.to_thread(self._share)
                self._restart(wanted, held)
            except DATABASE_FAILURES as error:
                # Without the session nobody knows whose the pools are.
                log.warning("watches_stopped", code="database", error=type(error).__name__)
                await self._end_all()
                await asyncio.to_thread(self._let_go)
            await asyncio.to_thread(self._alive)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        is_done = await self._end_all()
        await asyncio.to_thread(self._let_go)
        self._threads.shutdown(wait=False, cancel_futures=True)
        return is_done

    def _share(self) -> tuple[dict[UUID, Watched], set[UUID]]:
        """Take or leave pools until this process has its part. Return what can be watched, and which of it is ours."""
        try:
            wanted = watched.pools()
        finally:
            connection.close()
        if self._locks is None:
            self._locks = WatchLocks()
        locks = self._locks
        share = min(POOLS_MOST, math.ceil(len(wanted) / locks.processes()))
        ours = [pool_id for pool_id in locks.held if pool_id in wanted][:share]
        for pool_id in locks.held - set(ours) - self._running.keys():
            locks.leave(pool_id)
        for pool_id in random.sample(sorted(wanted.keys() - locks.held), len(wanted.keys() - locks.held)):
            if len(ours) >= share:
                break
            if locks.take(pool_id):
                ours.append(pool_id)
        return wanted, set(ours)

    def _restart(self, wanted: dict[UUID, Watched], ours: set[UUID]) -> None:
        """Stop what is not ours or not as it was, and start what does not run and may."""
        for pool_id, watch in list(self._watches.items()):
            is_as_it_was = pool_id in ours and watch.pool.reached_by == wanted[pool_id].reached_by
            if pool_id in self._running:
                if not is_as_it_was:
                    watch.stop()
            elif not is_as_it_was:
                del self._watches[pool_id]
                self._pause_until.pop(pool_id, None)
        for pool_id in ours - self._running.keys():
            before = self._watches.get(pool_id)
            if time.monotonic() < self._pause_until.get(pool_id, 0.0):
                continue
            if before is not None and before.is_full_wanted and before.pool.cursor == wanted[pool_id].cursor:
                continue
            self._start(Watch(wanted[pool_id], self._clock, failures=before.failures if before else 0))

    def _start(self, watch: Watch) -> None:
        pool_id = watch.pool.id
        self._watches[pool_id] = watch
        running = asyncio.get_running_loop().run_in_executor(self._threads, watch.run)
        self._running[pool_id] = running

        def ended(told: "asyncio.Future[float]") -> None:
            self._running.pop(pool_id, None)
            self._pause_until[pool_id] = time.monotonic() + (0.0 if told.cancelled() else told.result())

        running.add_done_callback(ended)

    async def _end_all(self) -> bool:
        """Stop all watches; return whether they ended in time. Closing a connection ends the read that waits for it."""
        running = set(self._running.values())
        await asyncio.gather(*(asyncio.to_thread(self._watches[pool_id].stop) for pool_id in self._running))
        late = (await asyncio.wait(running, timeout=END_SECONDS))[1] if running else set()
        # One that is late is still to be stopped when this is called again.
        self._watches = {pool_id: watch for pool_id, watch in self._watches.items() if pool_id in self._running}
        self._pause_until.clear()
        return not late

    def _let_go(self) -> None:
        if self._locks is not None:
            self._locks.close()
            self._locks = None
