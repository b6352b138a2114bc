"""`manage.py up`: everything on this machine under one parent."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ocenter import env, prepare, up


class Command(BaseCommand):
    help = "Start database, broker, web server, worker and beat under one parent, and stop them together."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="add a simulated fleet so that every screen has something"
        )
        parser.add_argument(
            "--prepare-only", action="store_true", help="migrate, set rights, load the catalogue, and end"
        )

    def handle(self, *_args: Any, demo: bool, prepare_only: bool, **_options: Any) -> None:
        if prepare_only:
            prepare.prepare(has_demo=demo)
        else:
            up.up(env.load(), has_demo=demo)
