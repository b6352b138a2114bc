"""What changed, in a form that can be read: one line a field, before and after."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from pools.selectors.changes import ChangeRow
from pools.web import figures, words

_LONGEST: Final = 300
_NO_WORDS: Final[Mapping[str, str]] = {}
_MEMORY: Final = ("memory_mib", "memory_used_mib", "shadow_mib")


def presented(change: ChangeRow | Mapping[str, Any]) -> dict[str, Any]:
    """Return {action, object_kind, object_name, object_id, at, fields: [{name, before, after}]} of a change."""
    row = change if isinstance(change, Mapping) else msgspec.structs.asdict(change)
    return {
        "action": row["action"],
        "object_kind": row["object_kind"],
        "object_name": row["object_name"],
        "object_id": row.get("object_id"),
        "at": row.get("at"),
        "run_id": row.get("run_id"),
        "fields": fields(row["before"], row["after"]),
    }


def fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, vocabularies: Mapping[str, str] = _NO_WORDS
) -> list[dict[str, str | None]]:
    """Return the fields of both sides, in one order; a side that has no such field is None.

    ``vocabularies`` names the words for the values of a field.
    """
    before, after = before or {}, after or {}
    names = dict.fromkeys([*before, *after])
    return [
        {
            "name": words.label("field", name),
            "before": shown(name, before[name], vocabularies.get(name)) if name in before else None,
            "after": shown(name, after[name], vocabularies.get(name)) if name in after else None,
        }
        for name in names
    ]


def grouped(changes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return [{action, changes}], gravest action first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        groups.setdefault(change["action"], []).append(change)
    order = ("held", "missing", "retired", "moved", "changed", "returned", "created")
    known = sorted(groups, key=lambda action: order.index(action) if action in order else len(order))
    return [{"action": action, "changes": groups[action]} for action in known]


def shown(name: str, value: Any, vocabulary: str | None = None) -> str:
    """Return a value as text of bounded length."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return words.label("yes_no", "yes" if value else "no")
    if isinstance(value, int):
        known = None if name == "memory_mib" and value == 0 else value  # no platform has cards or hosts without any
        return figures.memory(known) if name in _MEMORY else f"{value:,}"
    if vocabulary and isinstance(value, str):
        return words.label(vocabulary, value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
