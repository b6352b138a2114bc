"""What a run measured: flat keys with the unit at their end, as JSON for programs and as Markdown for people.

`budgets.json` says what each key may be. A key of a group that ran and did not report it is over as well.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

BUDGETS = Path(__file__).with_name("budgets.json")
Bound = Literal["max", "min"]
# group -> key -> {"max": number} or {"min": number}
Budgets = Mapping[str, Mapping[str, Mapping[Bound, float]]]


@dataclass(slots=True)
class Results:
    """The values of one run, and for each a few words on how it came about."""

    values: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def record(self, key: str, value: float, note: str = "") -> None:
        """Keep a value, to four significant digits or as the whole number it is, and print it at once."""
        self.values[key] = value if isinstance(value, int) else float(f"{value:.4g}")
        self.notes[key] = note
        print(f"{key:<40} {self.values[key]:>12}  {note}", flush=True)


def budgets(*, is_quick: bool, groups: Iterable[str], path: Path = BUDGETS) -> Budgets:
    """Return the budgets of the groups. Raises: OSError, ValueError when the file is no JSON, KeyError."""
    known: Budgets = json.loads(path.read_text())["quick" if is_quick else "full"]
    return {group: known.get(group, {}) for group in groups}


def over(values: Mapping[str, float], allowed: Budgets) -> list[str]:
    """Return one sentence for each budget that is not kept."""
    sentences = []
    for bounds in allowed.values():
        for key, bound in bounds.items():
            if key not in values:
                sentences.append(f"{key} was not measured.")
            elif values[key] > bound.get("max", float("inf")):
                sentences.append(f"{key} is {values[key]}, more than the {bound['max']} allowed.")
            elif values[key] < bound.get("min", float("-inf")):
                sentences.append(f"{key} is {values[key]}, less than the {bound['min']} wanted.")
    return sentences


def write(results: Results, allowed: Budgets, folder: Path, *, title: str, server: str) -> None:
    """Write results.json and results.md into the folder, made if need be. Raises: OSError.

    The JSON keeps what groups that did not run left there; the table is about this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bounds = {key: bound for group in allowed.values() for key, bound in group.items()}
    path = folder / "results.json"
    others = {key: value for key, value in _kept(path).items() if key not in bounds}
    path.write_text(json.dumps(others | results.values, indent=2) + "\n")
    rows = [
        f"| `{key}` | {value} | {_bound(bounds.get(key, {}))} | {results.notes[key]} |"
        for key, value in results.values.items()
    ]
    missed = [f"- {sentence}" for sentence in over(results.values, allowed)] or ["All budgets are kept."]
    lines = [
        f"# {title}", "", f"{machine()}; {server}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        "CPU seconds (user + system) of all processes that took part, PostgreSQL included, unless a note says else.",
        "", "| key | value | budget | how |", "|---|---:|---:|---|", *rows, "", *missed,
    ]  # fmt: skip
    (folder / "results.md").write_text("\n".join(lines) + "\n")


def _kept(path: Path) -> dict[str, float]:
    try:
        values: dict[str, float] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # a run that was cut short while it wrote
        return {}
    return values


def machine() -> str:
    """Return in one line what the figures were measured on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f} at the end"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _bound(bound: Mapping[Bound, float]) -> str:
    return ", ".join(f"{'≤' if side == 'max' else '≥'} {value}" for side, value in bound.items())
