"""What a token may do of what its user may: verbs x nouns x projects or pools, each None for no limit."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct

from pools.domain import filters, roles
from pools.domain.errors import FieldError, Invalid


class Scope(Struct, frozen=True, kw_only=True):
    """A token's limits. ``projects`` reach their subtrees; what lies in no project is then out of reach."""

    verbs: frozenset[str] | None = None
    nouns: frozenset[str] | None = None
    projects: frozenset[UUID] | None = None
    pools: frozenset[UUID] | None = None

    def allows(self, noun: str, verb: str) -> bool:
        """True when neither the verb nor the noun is shut out."""
        return (self.verbs is None or verb in self.verbs) and (self.nouns is None or noun in self.nouns)

    def is_limited(self) -> bool:
        """True when it shuts anything out."""
        return self != EVERYTHING

    def stored(self) -> dict[str, list[str]]:
        """Return it as JSON for the token's row; limits that are not set are left out."""
        limits = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: sorted(map(str, values)) for name, values in limits.items() if values is not None}


EVERYTHING = Scope()


def loaded(stored: Mapping[str, Any]) -> Scope:
    """Return the scope of a token's row."""
    given = {name: frozenset(values) for name, values in stored.items()}
    for name in given.keys() & {"projects", "pools"}:
        given[name] = frozenset(UUID(text) for text in given[name])
    return Scope(**given)


def checked(verbs: Collection[str] | None, nouns: Collection[str] | None) -> tuple[FieldError, ...]:
    """Return what is wrong with the words of a wanted scope."""
    wrong = []
    known = {"verbs": tuple(roles.VERBS.values()), "nouns": (*roles.NOUNS, roles.MINE)}
    for field, words in (("verbs", verbs), ("nouns", nouns)):
        for word in words or ():
            if word not in known[field]:
                detail = f'"{word[:64]}" is not known. {filters.meant(word, known[field])}'
                wrong.append(FieldError(f"scope.{field}", "bad_value", detail))
    return tuple(wrong)


def within(inner: Scope, outer: Scope) -> None:
    """Raise Invalid unless the inner scope allows nothing that the outer does not."""
    wider = [
        name
        for name in outer.__struct_fields__
        if (limit := getattr(outer, name)) is not None
        and (getattr(inner, name) is None or not getattr(inner, name) <= limit)
    ]
    if wider:
        detail = "A token cannot make one that may do more than itself; narrow this."
        raise Invalid(fields=tuple(FieldError(f"scope.{name}", "too_wide", detail) for name in wider))
