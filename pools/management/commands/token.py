"""`manage.py token`: a bearer token for REST, printed once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from pools.management.commands import _edge
from pools.services import tokens


class Command(BaseCommand):
    help = "Make a bearer token of an administrator and print it. It is shown once and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="command line", help="what the token is for")
        parser.add_argument("--user", default="admin", help="whose token it is (default: %(default)s)")

    def handle(self, *_args: Any, name: str, user: str, **_options: Any) -> None:
        with _edge.refusals():
            token = tokens.make(username=user, name=name, actor=_edge.actor(), now=timezone.now())
        self.stdout.write(token)
