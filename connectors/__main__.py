"""Drive a connector from a shell, without Django or a database.

    python -m connectors check --kind kubernetes --settings pool.yaml

FILE has ``settings`` and ``credential`` as a pool has them; for plan, apply and probe also ``target`` and ``orders``.
The answer goes to standard output as JSON, logs go to standard error. Exit codes: 0 done, 1 refused, 2 wrong usage, 75
may work later.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
import yaml
from msgspec import Struct

from connectors import catalog, session
from connectors.addresses import Outgoing, places
from connectors.contract import Connector, ConnectorError, Order, Target, Transient

EXIT_REFUSED, EXIT_USAGE, EXIT_LATER = 1, 2, 75


class Given(Struct, forbid_unknown_fields=True):
    """The content of FILE."""

    settings: dict[str, Any]
    credential: dict[str, Any] = {}
    target: Target | None = None
    orders: list[Order] = []


def observe(connector: Connector, given: Given) -> Iterator[Any]:
    """Yield page after page, one JSON document a line."""
    yield from connector.observe(None)


def check(connector: Connector, given: Given) -> Iterator[Any]:
    """Yield what ``check`` found."""
    yield connector.check()


def plan(connector: Connector, given: Given) -> Iterator[Any]:
    """Yield the calls that apply would make."""
    yield connector.plan(_target(given), given.orders)


def apply(connector: Connector, given: Given) -> Iterator[Any]:
    """Yield the outcome of apply."""
    yield connector.apply(_target(given), given.orders)


def probe(connector: Connector, given: Given) -> Iterator[Any]:
    """Yield what the target carries, or {} when it is not there."""
    yield connector.probe(_target(given))


VERBS: Mapping[str, Callable[[Connector, Given], Iterator[Any]]] = {
    verb.__name__: verb for verb in (check, observe, plan, apply, probe)
}


def main(arguments: list[str] | None = None) -> int:
    """Carry out one verb and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m connectors", description="Drive a connector from a shell.")
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--kind", required=True, choices=catalog.MANIFESTS)
    parser.add_argument("--settings", required=True, type=Path, metavar="FILE", help="JSON or YAML")
    parser.add_argument("--allow", metavar="NETWORK", action="append", default=[], help="such as 127.0.0.0/8")
    parser.add_argument("--identity", metavar="KEY", help="refuse any other far end")
    parser.add_argument("--installation", metavar="ID", default="", help="who makes and finds things there")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    options = parser.parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if options.verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        given = _read(options.settings)
        outgoing = Outgoing(allowed=places(options.allow))
        with session.connect(
            options.kind,
            given.settings,
            given.credential,
            outgoing=outgoing,
            installation=options.installation,
            identity_key=options.identity,
        ) as connector:
            for answer in VERBS[options.verb](connector, given):
                sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.stderr.write(f"{options.settings}: {error}\n")
        return EXIT_USAGE
    except ConnectorError as error:
        told = {"error": error.code, "message": str(error), "platform_words": error.platform_words}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return EXIT_LATER if isinstance(error, Transient) else EXIT_REFUSED
    return 0


def _read(path: Path) -> Given:
    # YAML holds JSON too. Its own dates and the like have no place in settings; msgspec says so.
    return msgspec.convert(yaml.safe_load(path.read_text()), Given)


def _target(given: Given) -> Target:
    if given.target is None:
        raise ValueError("a target is needed for this; see docs/connector-contract.md")
    return given.target


if __name__ == "__main__":
    raise SystemExit(main())
