"""`manage.py pool add|list|check|activate`: pools from the command line."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from connectors import catalog
from pools.domain import access
from pools.management.commands import _edge
from pools.reconcile import checks
from pools.selectors import pages, references
from pools.selectors import pools as seen
from pools.services import pools


class Command(BaseCommand):
    help = "Add pools, list them, check and activate them."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser("add", help="store a draft; nothing is touched yet")
        add.add_argument("name")
        add.add_argument("--kind", required=True, choices=list(catalog.MANIFESTS))
        add.add_argument(
            "--set", dest="values", nargs="*", default=[], metavar="FILE|NAME=VALUE", help="YAML or JSON files, pairs"
        )
        add.add_argument("--credential", metavar="FILE|-", help="YAML or JSON; - reads it from standard input")
        add.add_argument("--mode", help="how capacity is given out; default: the kind's first")
        add.add_argument("--region", default="")
        add.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
        add.add_argument("--interval", type=int, metavar="SECONDS", help="between two observations")
        show = verbs.add_parser("list", help="show all pools")
        show.add_argument("--json", action="store_true", help="one JSON object a line, as the API answers")
        for verb, words in (
            ("check", "reach the far end from here and name what is missing"),
            ("activate", "begin to synchronise a checked draft"),
        ):
            verbs.add_parser(verb, help=words).add_argument("name")

    def handle(self, *_args: Any, verb: str, **options: Any) -> None:
        with _edge.refusals():
            getattr(self, f"_{verb}")(options)

    def _add(self, options: dict[str, Any]) -> None:
        settings: dict[str, Any] = {}
        for given in options["values"]:
            settings |= _pairs([given]) if "=" in given and not Path(given).is_file() else _document(given)
        pools.register(
            name=options["name"],
            kind=options["kind"],
            settings=settings,
            credential=_document(options["credential"]) if options["credential"] else {},
            mode=options["mode"],
            region=options["region"],
            labels=_pairs(options["label"]),
            sync_interval_seconds=options["interval"],
            actor=_edge.actor(),
            now=timezone.now(),
        )
        name = options["name"]
        self.stdout.write(f"{name} is a draft. Next: manage.py pool check {name}, then manage.py pool activate {name}.")

    def _list(self, options: dict[str, Any]) -> None:
        form = "{:<24} {:<11} {:<12} {:<9} {:>7} {:>9} {:>9}  {}"
        if not options["json"]:
            self.stdout.write(form.format("NAME", "KIND", "STATE", "HEALTH", "NODES", "DEVICES", "FREE", "OBSERVED"))
        cursor: str | None = None
        while True:
            page = seen.page(params={}, cursor=cursor, limit=pages.LIMIT_MOST, now=timezone.now(), access=access.SYSTEM)
            for row in page.rows:
                self.stdout.write(msgspec.json.encode(row).decode() if options["json"] else form.format(*_line(row)))
            cursor = page.next_cursor
            if cursor is None:
                return

    def _check(self, options: dict[str, Any]) -> None:
        found = checks.run(pool_id=references.pool_id(options["name"], access.SYSTEM), clock=timezone.now)
        if found is None or not found["reachable"]:
            raise CommandError(found["error"]["message"] if found else "The pool was removed meanwhile.")
        identity = found["identity"]
        self.stdout.write(f"{identity['label'] or identity['key']} answers, version {found['version'] or 'unknown'}.")
        for tier in ("watch", "manage"):
            missing = ", ".join(found[tier]["missing"])
            self.stdout.write(f"{tier}: " + ("all there" if found[tier]["ok"] else f"missing {missing}"))
        for warning in found["warnings"]:
            self.stdout.write(f"warning: {warning}")
        if not found["watch"]["ok"]:
            raise CommandError("ocenter cannot watch this pool before what is missing is there.")

    def _activate(self, options: dict[str, Any]) -> None:
        pool_id = references.pool_id(options["name"], access.SYSTEM)
        pools.activate(pool_id=pool_id, actor=_edge.actor(), now=timezone.now())
        self.stdout.write(f"{options['name']} is active and will be synchronised at once.")


def _line(row: seen.PoolRow) -> tuple[Any, ...]:
    free = sum(share.free_milli for share in row.capacity) // 1000
    observed = row.observed_at.strftime("%Y-%m-%d %H:%M:%SZ") if row.observed_at else "never"
    return row.name, row.kind, row.state, row.health, row.nodes, row.devices, free, observed


def _pairs(given: list[str]) -> dict[str, str]:
    wrong = [pair for pair in given if "=" not in pair]
    if wrong:
        raise CommandError(f"{wrong[0]!r} is neither a file nor NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in given)


def _document(place: str) -> dict[str, Any]:
    """Read an object from a YAML or JSON file. What the parser says is dropped: it quotes the text, with secrets."""
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except OSError as error:
        raise CommandError(f"{place} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise CommandError(f"{place} is not valid YAML or JSON.") from None
    if not isinstance(found, dict):
        raise CommandError(f"{place} must hold an object of names and values.")
    return found
