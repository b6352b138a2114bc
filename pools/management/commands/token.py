"""`manage.py token`: a bearer token for REST, printed once, and its end."""

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from pools.management.commands import _edge
from pools.services import tokens

_MOST_DAYS: Final = 3650


class Command(BaseCommand):
    help = "Make a bearer token of a user and print it. It is shown once and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--name", default="command line", help="what the token is for")
        what.add_argument("--revoke", metavar="NAME", help="revoke the user's tokens of this name and make none")
        parser.add_argument("--user", default="admin", help="whose token it is (default: %(default)s)")
        parser.add_argument("--days", type=_days, metavar="N", help="how long it lasts (default: until it is revoked)")

    def handle(self, *_args: Any, name: str, user: str, revoke: str | None, days: int | None, **_options: Any) -> None:
        now = timezone.now()
        with _edge.refusals():
            if revoke is not None:
                count = tokens.revoke(username=user, name=revoke, actor=_edge.actor(), now=now)
                self.stdout.write(f"{count} tokens are revoked.")
                return
            expires_at = now + timedelta(days=days) if days else None
            token = tokens.make(username=user, name=name, actor=_edge.actor(), now=now, expires_at=expires_at)
        self.stdout.write(token)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST_DAYS:
        raise ArgumentTypeError(f"write a number of days from 1 to {_MOST_DAYS}")
    return int(text)
