"""`manage.py token`: a bearer token for REST, printed once, and its end."""

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from pools.domain import access, roles
from pools.management.commands import _edge
from pools.selectors import tokens as seen
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
        verbs, nouns = (*roles.VERBS.values(),), (*roles.NOUNS, roles.MINE)
        limits = parser.add_argument_group("scope", "Narrows what the user may do; each may be given several times.")
        limits.add_argument("--verb", action="append", metavar="VERB", help=f"of {', '.join(verbs)}")
        limits.add_argument("--noun", action="append", metavar="NOUN", help=f"of {', '.join(nouns)}")
        limits.add_argument("--project", action="append", metavar="PATH", help="a project, with all below it")
        limits.add_argument("--pool", action="append", metavar="POOL", help="a pool, by name or id")

    def handle(
        self, *_args: Any, name: str, user: str, revoke: str | None, days: int | None, **options: list[str] | None
    ) -> None:
        now = timezone.now()
        with _edge.refusals():
            if revoke is not None:
                count = tokens.revoke_named(username=user, name=revoke, actor=_edge.actor(), now=now)
                self.stdout.write(f"{count} tokens are revoked.")
                return
            expires_at = now + timedelta(days=days) if days else None
            wanted = seen.TokenScope(
                verbs=options["verb"], nouns=options["noun"], projects=options["project"], pools=options["pool"]
            )
            scope = seen.scope(wanted, access.SYSTEM)
            token = tokens.make(
                username=user, name=name, actor=_edge.actor(), now=now, scope=scope, expires_at=expires_at
            )
        self.stdout.write(token)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST_DAYS:
        raise ArgumentTypeError(f"write a number of days from 1 to {_MOST_DAYS}")
    return int(text)
