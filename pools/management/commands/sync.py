"""`manage.py sync POOL [--dry-run]`: observe a pool now, in this process, and show what the run did."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pools.domain import access
from pools.management.commands import _edge
from pools.reconcile import inventory
from pools.selectors import references, sync_runs
from pools.services import sync_runs as runs


class Command(BaseCommand):
    help = "Observe a pool now and merge what it shows. With --dry-run nothing is written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pool", help="name or id")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, write nothing")

    def handle(self, *_args: Any, pool: str, dry_run: bool, **_options: Any) -> None:
        with _edge.refusals():
            pool_id = references.pool_id(pool, access.SYSTEM)
            run_id = runs.request(pool_id=pool_id, is_dry_run=dry_run, actor=_edge.actor(), now=timezone.now())
            if inventory.run(pool_id=pool_id, clock=timezone.now) != run_id:
                self.stdout.write(f"A worker is at it: run {run_id}.")
                return
        self._tell(run_id)

    def _tell(self, run_id: UUID) -> None:
        run = sync_runs.one(run_id, access.SYSTEM)
        figures = ", ".join(
            f"{getattr(run, name)} {name}" for name in ("seen", "created", "changed", "unchanged", "missing", "retired")
        )
        if run.state == "failed" and run.error:
            raise CommandError(f"{run.error['code']}: {run.error['message']}")
        self.stdout.write(f"{run.state}{'' if run.complete else ', incomplete'}: {figures}")
        for warning in run.warnings:
            self.stdout.write(f"warning: {warning}")
