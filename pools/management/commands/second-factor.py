"""`manage.py second-factor --remove NAME`: let somebody in who has lost the app and all recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from pools.management.commands import _edge
from pools.services import second_factors


class Command(BaseCommand):
    help = "Remove the authenticator app and the recovery codes of a user, who then logs in by password alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remove", metavar="NAME", required=True, help="the user's name")

    def handle(self, *_args: Any, remove: str, **_options: Any) -> None:
        with _edge.refusals():
            second_factors.remove(username=remove, actor=_edge.actor(), now=timezone.now())
        self.stdout.write(f"{remove} has no second factor any more.")
