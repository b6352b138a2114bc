"""What a user or token may do, kept per process; and the same as conditions of queries."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from pools.domain import scopes
from pools.domain.access import Access, Binding
from pools.domain.scopes import Scope
from pools.models import ApiToken, PoolGrant, Project

ASKED_EVERY_SECONDS: Final = 2.0
KEPT_MOST: Final = 10_000

# A role in an archived project is none.
_BINDINGS: Final = """
SELECT u.username, b.role, (SELECT p.lineage FROM project p WHERE p.id = b.project_id)
FROM app_user u LEFT JOIN role_binding b ON b.user_id = u.id
    AND NOT EXISTS (SELECT FROM project p WHERE p.id = b.project_id AND p.state = 'archived')
WHERE u.id = %s AND u.is_active
"""


class _Kept:
    """Rights by user id or token hash, until the database's generation of rights is another.

    Asking for the generation comes before reading rights, so that what is kept is never older than the generation
    says: a change is seen within ASKED_EVERY_SECONDS, and in between a request costs no query.
    """

    def __init__(self) -> None:
        self._rights: dict[UUID | bytes, tuple[Access, datetime | None]] = {}
        self._generation: int | None = None
        self._asked_at = 0.0

    def get(
        self, key: UUID | bytes, read: Callable[[], tuple[Access | None, datetime | None]], now: datetime | None = None
    ) -> Access | None:
        self._follow()
        if (found := self._rights.get(key)) is None:
            access, until = read()
            if access is None:
                return None  # not kept: made-up tokens would fill the memory
            if len(self._rights) >= KEPT_MOST:
                self._rights.clear()
            found = self._rights[key] = access, until
        access, until = found
        return access if until is None or now is None or now < until else None

    def clear(self) -> None:
        self._rights.clear()

    def _follow(self) -> None:
        if time.monotonic() - self._asked_at < ASKED_EVERY_SECONDS:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM access_generation")
            (generation,) = cursor.fetchone()
        if generation != self._generation:
            self._rights.clear()
            self._generation = generation
        self._asked_at = time.monotonic()


_kept = _Kept()


def forget() -> None:
    """Look everything up again. Services that change rights call it, so that their own process knows at once."""
    _kept.clear()
    # Another thread may have looked between now and the commit, and kept what was true until then.
    transaction.on_commit(_kept.clear)


def of_user(user_id: UUID) -> Access | None:
    """Return the rights of a user; None when there is none such or it was switched off. Usually no query."""
    return _kept.get(user_id, lambda: (_read(user_id, scopes.EVERYTHING), None))


def of_token(token: str, now: datetime) -> Access | None:
    """Return the rights that a token gives; None when it gives none (any more). Usually no query."""
    digest = sha256(token.encode()).digest()
    return _kept.get(digest, lambda: _read_token(digest), now)


def projects(access: Access, noun: str = "project", verb: str = "read") -> Q:
    """Return the condition on projects in which this is allowed."""
    if access.everywhere(noun, verb):
        return Q()
    return Q(lineage__overlap=[binding.project_id for binding in access.reaching(noun, verb)])


def pools(access: Access, noun: str = "pool", verb: str = "read", *, column: str = "pk") -> Q:
    """Return the condition on pools (or on rows whose ``column`` is a pool's id) on which this is allowed.

    A project role reaches the pools granted to its project, to one above or to one below.
    """
    limit = Q() if access.scope.pools is None else Q(**{f"{column}__in": access.scope.pools})
    if access.everywhere(noun, verb):
        return limit
    bindings = access.reaching(noun, verb)
    if not bindings:
        return Q(pk__in=[])
    roots = [binding.project_id for binding in bindings]
    above = {project_id for binding in bindings for project_id in binding.lineage}
    granted = PoolGrant.objects.filter(
        Q(project__in=above) | Q(project__lineage__overlap=roots), pool=OuterRef(column)
    ).exclude(project__state="archived")
    return limit & Q(Exists(granted))


def _read_token(digest: bytes) -> tuple[Access | None, datetime | None]:
    token = ApiToken.objects.filter(hash=digest, revoked_at=None).values("id", "user", "prefix", "scope", "expires_at")
    row = token.first()
    if row is None:
        return None, None
    access = _read(row["user"], scopes.loaded(row["scope"]))
    return access and replace(access, token_id=row["id"], token_prefix=row["prefix"]), row["expires_at"]


def _read(user_id: UUID, scope: Scope) -> Access | None:
    with connection.cursor() as cursor:
        cursor.execute(_BINDINGS, [user_id])
        rows = cursor.fetchall()
    if not rows:
        return None
    platform = frozenset(role for _, role, lineage in rows if role and lineage is None)
    bindings = tuple(Binding(role, tuple(lineage)) for _, role, lineage in rows if lineage is not None)
    if scope.projects is not None:
        lineages = Project.objects.filter(pk__in=scope.projects).exclude(state="archived")
        bindings = tuple(_narrowed(platform, bindings, list(lineages.values_list("lineage", flat=True))))
        platform = frozenset()
    return Access(user_id, rows[0][0], platform, bindings, scope)


def _narrowed(
    platform: Iterable[str], bindings: Iterable[Binding], lineages: Iterable[list[UUID]]
) -> Iterator[Binding]:
    """The roles as far as they reach into the projects that a token is limited to."""
    for lineage in lineages:
        for role in platform:
            yield Binding(role, tuple(lineage))
        for binding in bindings:
            if binding.project_id in lineage:
                yield Binding(binding.role, tuple(lineage))
            elif lineage[-1] in binding.lineage:
                yield binding
