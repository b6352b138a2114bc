"""Read the filters of a list from text (a URL's query), all mistakes at once."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final
from uuid import UUID

from pools.domain import labels
from pools.domain.errors import FieldError, Invalid

MOST_VALUES: Final = 100
LONGEST: Final = 1000
Reader = Callable[[str], Any]


def read(given: Mapping[str, str], known: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the parsed value of each given filter; empty ones count as not given.

    Raises Invalid that names every unknown filter, with the nearest known, and every bad value.
    """
    values: dict[str, Any] = {}
    wrong: list[FieldError] = []
    for name, text in given.items():
        if name not in known:
            wrong.append(
                FieldError(name[:64], "unknown_parameter", f"There is no such filter. {meant(name, known)}".rstrip())
            )
        elif text.strip():
            try:
                values[name] = known[name](_storable(text))
            except ValueError as error:
                wrong.append(FieldError(name, "bad_value", str(error)))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return values


def words(text: str) -> tuple[str, ...]:
    """Several values with commas between; any of them matches."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if len(found) > MOST_VALUES:
        raise ValueError(f"At most {MOST_VALUES} values are allowed.")
    return found


def some_of(choices: Collection[str]) -> Reader:
    """Several values, each one of the choices."""

    def read_choices(text: str) -> tuple[str, ...]:
        found = words(text)
        for word in found:
            if word not in choices:
                raise ValueError(f'"{word[:64]}" is not known. {meant(word, choices)}')
        return found

    return read_choices


def flag(text: str) -> bool:
    """Yes or no."""
    if text.strip().lower() in ("true", "1", "yes"):
        return True
    if text.strip().lower() in ("false", "0", "no"):
        return False
    raise ValueError("Write true or false.")


def phrase(text: str) -> str:
    """What a person looks for."""
    return text.strip()


def instant(text: str) -> datetime:
    """A day or an instant such as 2026-11-25T12:00:00Z; UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("Write an instant such as 2026-11-25 or 2026-11-25T12:00:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def unknown(parameter: str, word: str, choices: Collection[str]) -> Invalid:
    """Return the error for a value that names nothing known."""
    detail = f'"{word[:64]}" is not known. {meant(word, choices)}'
    return Invalid(fields=(FieldError(parameter, "bad_value", detail),))


def meant(word: str, choices: Collection[str]) -> str:
    """Return a sentence with the nearest choice, or with all when they are few."""
    if nearest := get_close_matches(word[:64].lower(), choices, n=1):
        return f"Is {nearest[0]} meant?"
    return f"Known: {', '.join(sorted(choices))}." if 0 < len(choices) <= 20 else ""


def as_uuid(text: str) -> UUID | None:
    """Return the id, or None when the text is none in its usual form."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def _storable(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"At most {LONGEST} characters are allowed.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("The text contains a character that cannot be stored; remove it.")
    return text


selector: Reader = labels.requirements
