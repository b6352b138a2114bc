"""Labels of pools and the selectors that pick by them (``tier=prod,zone!=b,gpu,!old``)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pools.domain.errors import FieldError

MOST: Final = 64
_KEY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"[^,\x00-\x1f\x7f]{0,63}")
_TERM: Final = re.compile(r"(?P<key>[^=!,]+)(?:(?P<operator>!=|==?)(?P<value>[^,]*))?")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector. ``value`` is None where only the presence of the key matters."""

    key: str
    operator: Literal["is", "is_not"]
    value: str | None


def mistakes(labels: Mapping[str, str]) -> list[FieldError]:
    """Return what is wrong with labels that a person gives to a pool."""
    found = []
    if len(labels) > MOST:
        found.append(FieldError("labels", "too_many", f"At most {MOST} labels are allowed."))
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            detail = (
                "A label's name has 1 to 128 letters, digits and . _ / -, and begins and ends with one of the first."
            )
            found.append(FieldError(f"labels.{key[:64]}", "bad_name", detail))
        elif not _VALUE.fullmatch(value):
            detail = "A label's value has at most 63 characters, and no comma or control character."
            found.append(FieldError(f"labels.{key}", "bad_value", detail))
    return found


def requirements(selector: str) -> tuple[Requirement, ...]:
    """Return the terms of a selector, all of which must hold. Raises ValueError with what is wrong."""
    return tuple(_requirement(term.strip()) for term in selector.split(",") if term.strip())


def _requirement(term: str) -> Requirement:
    is_absent = term.startswith("!")
    match = _TERM.fullmatch(term.removeprefix("!"))
    if match is None or (is_absent and match["operator"]):
        raise ValueError("A label is asked for by name=value, name!=value, name or !name.")
    value = match["value"].strip() if match["operator"] else None
    is_not = is_absent or match["operator"] == "!="
    return Requirement(match["key"].strip(), "is_not" if is_not else "is", value)


def hold(terms: Iterable[Requirement], labels: Mapping[str, str]) -> bool:
    """Whether labels meet all terms. ``name!=value`` holds too where there is no such label."""
    return all((_meets(labels.get(term.key), term.value)) == (term.operator == "is") for term in terms)


def _meets(found: str | None, value: str | None) -> bool:
    return found is not None and value in (None, found)
