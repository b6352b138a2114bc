"""The request form's values as texts, and the way from them to the body of a request and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from django.http import QueryDict

from pools.domain import filters
from pools.web import forms

UNITS: Final = {"minutes": 60, "hours": 3600, "days": 86_400}
CHOICES_MOST: Final = 16
_DEFAULTS: Final[Mapping[str, str]] = {
    "project": "",
    "name": "",
    "flavor": "",
    "members": "1",
    "devices": "1",
    "share": "",
    "share_memory": "",
    "cpu": "",
    "memory": "",
    "near_devices": "",
    "near_members": "",
    "spread": "",
    "spread_level": "node",
    "kinds": "",
    "avoid_nodes": "",
    "avoid_pools": "",
    "policy": "pack",
    "pools": "",
    "regions": "",
    "pool_labels": "",
    "max_price": "",
    "lease": "24",
    "lease_unit": "hours",
    "priority": "50",
    "start": "",
    "notice": "",
    "save": "",
    "preemptible": "",
    "min_run": "",
    "hold": "",
    "queue": "",
}
_OF_CHOICES: Final = {
    "profile": "profile",
    "vendor": "vendor",
    "memory_mib_min": "memory",
    "interconnect": "interconnect",
    "runtime": "runtime",
}
_SELECTORS: Final = {"names": "pools", "kinds": "kinds", "regions": "regions", "labels": "pool_labels"}
# Where a mistake of the body is shown, by the beginning of its path.
_FIELDS: Final = {
    "devices_per_member": "devices",
    "per_member.cpu_milli": "cpu",
    "per_member.memory_mib": "memory",
    "per_member": "cpu",
    "share.memory_mib": "share_memory",
    "share": "share",
    "pools.regions": "regions",
    "pools.kinds": "kinds",
    "pools.labels": "pool_labels",
    "pools": "pools",
    "max_price_per_hour": "max_price",
    "topology.devices": "near_devices",
    "topology.members": "near_members",
    "topology.spread": "spread",
    "topology.avoid.pools": "avoid_pools",
    "topology.avoid": "avoid_nodes",
    "lease_seconds": "lease",
    "hold_seconds": "hold",
    "start_at": "start",
    "notice_seconds": "notice",
    "min_run_seconds": "min_run",
    "before_end_seconds": "save",
    "any_of": "model-0",
}


_COLUMNS: Final = ("model", "profile", "vendor", "memory_min", "interconnect", "runtime")


class Choice(NamedTuple):
    """Devices that would do: a model, or any with these properties, the memory in GiB at least; and a profile of it."""

    model: str = ""
    profile: str = ""
    vendor: str = ""
    memory: str = ""
    interconnect: str = ""
    runtime: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as a request says it. Beside a model the rest is not shown and says nothing."""
        properties = {
            "vendor": self.vendor or None,
            "memory_mib_min": _scaled(self.memory, 1024),
            "interconnect": self.interconnect or None,
            "runtime": self.runtime or None,
        }
        return {"model": self.model or None, "profile": self.profile or None, **({} if self.model else properties)}


@dataclass(frozen=True, slots=True)
class Values:
    """``texts`` by field; ``choices`` are in the order of preference, at least one."""

    texts: Mapping[str, str]
    choices: Sequence[Choice]

    def with_choices(self, choices: Sequence[Choice]) -> "Values":
        """Return the same with other models."""
        return replace(self, choices=choices or [Choice()])


def read(sent: QueryDict) -> Values:
    """Return what was sent, or what an address says, over the defaults. A box that is not ticked is not sent."""
    texts = {name: forms.text(sent.get(name, default))[:1000] for name, default in _DEFAULTS.items()}
    columns = [[forms.text(each) for each in sent.getlist(name)] for name in _COLUMNS]
    choices = [Choice(*row) for row in zip_longest(*columns, fillvalue="")]
    return Values(texts, choices[:CHOICES_MOST] or [Choice()])


def body(values: Values, flavor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request. What the flavor sets is left to it; what is no number is left for the reader."""
    texts = values.texts
    wanted: dict[str, Any] = {
        "project": texts["project"],
        "name": texts["name"],
        "flavor": texts["flavor"] or None,
        "members": _scaled(texts["members"], 1),
        "devices_per_member": _scaled(texts["devices"], 1),
        "policy": texts["policy"],
        "pools": {
            "names": _listed(texts["pools"]),
            "kinds": _listed(texts["kinds"]),
            "regions": _listed(texts["regions"]),
            "labels": texts["pool_labels"] or None,
        },
        "max_price_per_hour": texts["max_price"] or None,
        "priority": _scaled(texts["priority"], 1),
        "lease_seconds": _scaled(texts["lease"], UNITS.get(texts["lease_unit"], 3600)),
        "queue": texts["queue"] == "true",
        "per_member": {"cpu_milli": _scaled(texts["cpu"], 1000), "memory_mib": _scaled(texts["memory"], 1024)},
        "topology": {
            "devices": _level("link-group", texts["near_devices"]),
            "members": _level("rack", texts["near_members"]),
            "spread": _level(texts["spread_level"], texts["spread"]),
            "avoid": {"nodes": _listed(texts["avoid_nodes"]) or [], "pools": _listed(texts["avoid_pools"]) or []},
        },
    }
    if texts["hold"]:
        wanted |= {"mode": "hold", "hold_seconds": _scaled(texts["hold"], 60)}
    if texts["start"]:
        wanted["start_at"] = _instant(texts["start"])
    if texts["notice"]:
        wanted["notice_seconds"] = _scaled(texts["notice"], 60)
    if texts["save"]:
        wanted["before_end_seconds"] = _scaled(texts["save"], 60)
    if texts["preemptible"] == "true":
        wanted |= {"preemptible": True, "min_run_seconds": _scaled(texts["min_run"] or "0", 60)}
    if texts["share"] or texts["share_memory"]:
        wanted["share"] = {"milli": _scaled(texts["share"], 10), "memory_mib": _scaled(texts["share_memory"], 1)}
    if wanted["devices_per_member"] != 0:
        wanted["any_of"] = [choice.body() for choice in values.choices if any(choice)]
    return {name: value for name, value in wanted.items() if name not in flavor}


def pairs(values: Values) -> list[tuple[str, str]]:
    """Return the values as a form sends them, for one that carries them on."""
    columns = zip(_COLUMNS, zip(*values.choices, strict=True), strict=True)
    return [*values.texts.items(), *((name, each) for name, column in columns for each in column)]


def patched(values: Values, patch: Mapping[str, Any]) -> Values:
    """Return the values with a change of the body taken over, as far as the form has fields for it."""
    texts, choices = dict(values.texts), values.choices
    for name, value in patch.items():
        if name in ("members", "priority"):
            texts[name] = str(value)
        elif name == "devices_per_member":
            texts["devices"] = str(value)
        elif name == "queue":
            texts["queue"] = "true" if value else ""
        elif name == "share" and isinstance(value, Mapping) and isinstance(value.get("milli"), int):
            texts["share"] = f"{value['milli'] / 10:g}"
            texts["share_memory"] = str(value.get("memory_mib") or "")
        elif name == "max_price_per_hour":
            texts["max_price"] = str(value)
        elif name == "topology" and isinstance(value, Mapping):
            for level, field in (("devices", "near_devices"), ("members", "near_members"), ("spread", "spread")):
                if isinstance(value.get(level), Mapping) and value[level].get("required") is False:
                    texts[field] = "preferred"
            if "avoid" in value:
                texts |= {"avoid_nodes": "", "avoid_pools": ""}
        elif name == "pools" and isinstance(value, Mapping):
            texts |= {field: "" for selector, field in _SELECTORS.items() if value.get(selector, "") is None}
        elif name == "any_of" and isinstance(value, list):
            found = [each for each in value[:CHOICES_MOST] if isinstance(each, Mapping)]
            choices = [_choice(each) for each in found]
    return Values(texts, choices or values.choices)


def is_known(patch: Mapping[str, Any]) -> bool:
    """True when the form has fields for all of the change."""
    names = {
        "members", "priority", "devices_per_member", "queue", "share", "topology", "any_of", "max_price_per_hour",
        "pools",
    }  # fmt: skip
    return bool(patch) and not patch.keys() - names


def field_of(path: str) -> str:
    """Return the name of the field that a mistake in the body is shown at."""
    if path.startswith("any_of[") and "]" in path:
        number = path[len("any_of[") : path.index("]")]
        return f"{_OF_CHOICES.get(path.rpartition('.')[2], 'model')}-{number}"
    return next((field for start, field in _FIELDS.items() if path.startswith(start)), path)


def _scaled(text: str, factor: int) -> int | str | None:
    """Return a number in the units of the body; what is no number stays a text, which the body's reader refuses."""
    if not text:
        return None
    try:
        number = Decimal(text) * factor
    except ArithmeticError:  # no number, or one too large for anything
        return text
    if not number.is_finite() or abs(number) > 10**15 or number != number.to_integral_value():
        return text
    return int(number)


def _instant(text: str) -> str:
    """Return an instant as the body has it, UTC unless it says otherwise; what is none is left for the reader."""
    try:
        return filters.instant(text).isoformat()
    except ValueError:
        return text


def _choice(given: Mapping[str, Any]) -> Choice:
    memory = given.get("memory_mib_min")
    return Choice(
        str(given.get("model") or ""),
        str(given.get("profile") or ""),
        str(given.get("vendor") or ""),
        f"{Decimal(memory) / 1024:f}" if isinstance(memory, int) else "",
        str(given.get("interconnect") or ""),
        str(given.get("runtime") or ""),
    )


def _listed(text: str) -> list[str] | None:
    return [word.strip() for word in text.split(",") if word.strip()] or None


def _level(level: str, degree: str) -> dict[str, Any] | None:
    return {"level": level, "required": degree == "required"} if degree in ("preferred", "required") else None
