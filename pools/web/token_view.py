"""Tokens as plain dicts for the templates, with what they may do in words."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from pools.domain import filters
from pools.domain.access import Access
from pools.selectors import names
from pools.selectors.tokens import TokenRow
from pools.web import words


def presented(rows: Sequence[TokenRow], access: Access) -> list[dict[str, Any]]:
    """Return tokens with ``limits``, may_rotate and may_revoke added.

    ``limits`` is a sentence for each limit of the scope; none: all that the user may.
    """
    paths = names.of_projects(_ids(row.scope.projects for row in rows), access)
    pools = names.of_pools(_ids(row.scope.pools for row in rows), access)
    return [{**msgspec.structs.asdict(row), "limits": _limits(row, paths, pools), **_may(row, access)} for row in rows]


def _may(row: TokenRow, access: Access) -> dict[str, bool]:
    is_known = row.user == access.user_name or (
        row.user_kind == "service" and access.somewhere("service_account", "edit")
    )
    is_valid = row.state == "active"
    return {
        "may_rotate": is_valid and is_known and row.rotated_to is None,
        "may_revoke": is_valid and (is_known or access.everywhere("token", "remove")),
    }


def _limits(row: TokenRow, paths: dict[UUID, str], pools: dict[UUID, str]) -> list[str]:
    scope = row.scope
    limits = []
    if scope.verbs is not None:
        limits.append(_("only %(verbs)s") % {"verbs": _joined(words.label("verb", verb) for verb in scope.verbs)})
    if scope.nouns is not None:
        limits.append(_("only on %(nouns)s") % {"nouns": _joined(words.label("noun", noun) for noun in scope.nouns)})
    if scope.projects is not None:
        limits.append(_("only in %(projects)s") % {"projects": _named(scope.projects, paths)})
    if scope.pools is not None:
        limits.append(_("only in the pools %(pools)s") % {"pools": _named(scope.pools, pools)})
    return limits


def _named(stored: Iterable[str], known: dict[UUID, str]) -> str:
    found = sorted(known[pk] for text in stored if (pk := filters.as_uuid(text)) in known)
    unknown = sum(filters.as_uuid(text) not in known for text in stored)
    return _joined([*found, *([_("%(count)s that you cannot see") % {"count": unknown}] if unknown else [])])


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(map(str, texts))


def _ids(stored: Iterable[list[str] | None]) -> set[UUID]:
    return {pk for texts in stored for text in texts or () if (pk := filters.as_uuid(text))}
