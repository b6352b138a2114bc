"""`manage.py demo [--remove]`: the simulated fleet that shows what ocenter is."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from pools.management.commands import _edge
from pools.reconcile import demo


class Command(BaseCommand):
    help = "Add the demo fleet: four simulated pools. --remove takes it away and touches nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remove", action="store_true", help="remove the demo fleet")

    def handle(self, *_args: Any, remove: bool, **_options: Any) -> None:
        with _edge.refusals():
            if remove:
                names = demo.remove(home=settings.OCENTER_HOME, clock=timezone.now)
                self.stdout.write(f"Removed {', '.join(names)}." if names else "There is no demo fleet.")
            else:
                names = demo.ensure(home=settings.OCENTER_HOME, clock=timezone.now)
                self.stdout.write(f"Added {', '.join(names)}." if names else "The demo fleet is there already.")
