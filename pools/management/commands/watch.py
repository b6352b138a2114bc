"""`manage.py watch`: hear of changes of pools as they come, beside polling."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from pools.reconcile.watcher import Watcher


class Command(BaseCommand):
    help = (
        "Watch the pools whose platforms tell changes by themselves, until SIGTERM or Ctrl-C. Several of these "
        "processes share the pools; one that is killed loses nothing, for polling goes on."
    )

    stealth_options = ("alive",)

    def handle(self, *_args: Any, alive: Callable[[], None] = lambda: None, **_options: Any) -> None:
        if not asyncio.run(_watch(alive)):
            # A far end that does not even let go keeps its thread; what is not stored yet will be told again.
            logging.shutdown()
            os._exit(0)


async def _watch(alive: Callable[[], None]) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await Watcher(timezone.now, alive).run(stop)
