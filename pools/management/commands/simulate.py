"""`manage.py simulate`: how much of a fleet would a policy give out? Replays traces; needs no database."""

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal, InvalidOperation
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pools.domain import policies, replay, traces
from pools.domain.replay import Reading
from pools.management.commands import _simulate_chart as chart

T = TypeVar("T")


class Command(BaseCommand):
    help = "Replay traces of requests through the placement code and tell what share of the fleet is given out."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--nodes", required=True, type=Path, metavar="CSV", help="cpu_milli, memory_mib, gpu, model"
        )
        parser.add_argument("--requests", required=True, type=Path, nargs="+", metavar="CSV", help=".csv or .csv.gz")
        parser.add_argument("--seeds", type=int, default=10, help="how often each trace is shuffled anew")
        parser.add_argument("--policy", default="pack", choices=(*policies.NAMES, policies.COMPARED))
        parser.add_argument(
            "--price",
            action="append",
            metavar="MODEL=PER_HOUR",
            help="of a device, for the policy cheapest; repeatable",
        )
        parser.add_argument(
            "--order", nargs="+", default=[], metavar="MODEL", help="each model is a pool of its own; for preferred"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
        parser.add_argument("--svg", type=Path, metavar="FILE", help="draw what was placed over what had arrived")

    def handle(self, *_args: Any, seeds: int, policy: str, **options: Any) -> None:
        if not 1 <= seeds <= 1000:
            raise CommandError("--seeds: 1 to 1000 is possible.")
        prices = _prices(options["price"] or ())
        nodes = _read(traces.nodes, options["nodes"])
        if not any(node.free_milli for node in nodes):
            raise CommandError(f"{options['nodes']}: there is no device in it. Give a list of nodes with column gpu.")
        results, curves = [], {}
        for path in options["requests"]:
            requests = _read(traces.requests, path)
            if not any(shape.devices for shape in requests):
                raise CommandError(f"{path}: nobody asks for a device in it. Give a list with column num_gpu.")
            with ProcessPoolExecutor(mp_context=get_context("forkserver")) as workers:
                run = partial(_replay, nodes, requests, policy, options["order"], prices)
                readings = list(workers.map(run, range(seeds)))
            results.append(_result(policy, path, readings))
            curves[_name(path)] = [sum(values) / seeds for values in zip(*(r.curve for r in readings), strict=True)]
            self._tell(results[-1])
        told = msgspec.json.format(msgspec.json.encode(results[0] if len(results) == 1 else results))
        if options["json"]:
            options["json"].write_bytes(told + b"\n")
        if options["svg"]:
            options["svg"].write_text(chart.svg(curves, title=f"{policy}, {seeds} seeds"))

    def _tell(self, result: dict[str, Any]) -> None:
        full, over = (result[f"alloc_ratio_at_{percent}"] for percent in replay.READ_AT)
        self.stdout.write(
            f"{result['trace']}: {sum(full) / len(full):.2f} % placed when 100 % had arrived, "
            f"{sum(over) / len(over):.2f} % at 130 %; {result['decisions_per_second']} decisions/s"
        )


def _replay(
    nodes: Any, requests: Any, policy: str, order: Sequence[str], prices: Mapping[str, Decimal], seed: int
) -> Reading:
    return replay.replay(nodes, requests, seed=seed, policy=policies.find(policy, order), prices=prices)


def _prices(given: Iterable[str]) -> dict[str, Decimal]:
    """Return the price of each model. Raises CommandError for one that is none."""
    try:
        prices = {model: Decimal(price) for model, _, price in (text.rpartition("=") for text in given)}
    except InvalidOperation:
        prices = {"": Decimal(0)}
    if not all(model and price.is_finite() and price >= 0 for model, price in prices.items()):
        raise CommandError("--price: write MODEL=PER_HOUR, such as T4=0.35.")
    return prices


def _result(policy: str, path: Path, readings: Sequence[Reading]) -> dict[str, Any]:
    return {
        "policy": policy,
        "trace": _name(path),
        "seeds": len(readings),
        **{f"alloc_ratio_at_{at}": [reading.at_percent[at] for reading in readings] for at in replay.READ_AT},
        "decisions_per_second": round(sum(r.decisions for r in readings) / sum(r.seconds for r in readings)),
    }


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _read(understand: Callable[[Iterable[dict[str, str | None]]], list[T]], path: Path) -> list[T]:
    """Return what a CSV holds, packed or not. Raises CommandError when it cannot be read or understood."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        return understand(csv.DictReader(io.StringIO(text)))
    except (OSError, EOFError, ValueError) as error:
        raise CommandError(f"{path}: {error}. Give a CSV file with a line of column names.") from None
