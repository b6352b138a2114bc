"""`manage.py demo [--remove | --token]`: the simulated fleet that shows what ocenter is, and its tenant."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pools.management.commands import _edge
from pools.reconcile import demo


class Command(BaseCommand):
    help = "Add the demo: four simulated pools and a tenant. --remove takes it away and touches nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--remove", action="store_true", help="remove the demo")
        what.add_argument("--token", action="store_true", help="print a new token of the demo's engineer")

    def handle(self, *_args: Any, remove: bool, token: bool, **_options: Any) -> None:
        with _edge.refusals():
            if token:
                made = demo.engineers_token(clock=timezone.now)
                if made is None:
                    raise CommandError("There is no demo; `make demo` starts it.")
                self.stdout.write(made)
            elif remove:
                names = demo.remove(home=settings.OCENTER_HOME, clock=timezone.now)
                self.stdout.write(f"Removed {', '.join(names)}." if names else "There is no demo fleet.")
            else:
                names = demo.ensure(home=settings.OCENTER_HOME, clock=timezone.now)
                self.stdout.write(f"Added {', '.join(names)}." if names else "The demo fleet is there already.")
