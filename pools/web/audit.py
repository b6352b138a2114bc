"""The audit: who did what, and whether it is what was sealed."""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from pools.domain.verification import SENTENCES, LogFinding
from pools.selectors import audit
from pools.selectors import verification as verifications
from pools.selectors.audit import AuditRow
from pools.selectors.verification import Verification
from pools.services import verification
from pools.web import differences, listing, pages, words
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("actor", gettext_lazy("Who")),
    Filter("action", gettext_lazy("Action")),
    Filter("object_kind", gettext_lazy("Kind of object")),
    Filter("object", gettext_lazy("Object")),
    Filter("project", gettext_lazy("Project")),
    Filter("pool", gettext_lazy("Pool")),
    Filter("from", gettext_lazy("From (UTC)"), is_instant=True),
    Filter("to", gettext_lazy("Before (UTC)"), is_instant=True),
    Filter("request_id", gettext_lazy("Request")),
    Filter("q", gettext_lazy("Search"), is_wide=True),
)

_STATES: Final = {"pool": "pool_state", "project": "project_state", "sync_run": "run_state"}
_TOLD_ABOVE: Final = ("streams", "verified_at")
"""What the row of a check holds for the panel with the last one."""


@require_safe
@pages.signed_in
def index(request: HttpRequest) -> HttpResponse:
    """What was done, the newest first, with the last check of the log above it."""
    access = pages.access(request)
    if not access.somewhere("audit", "read"):
        raise PermissionDenied
    last = verifications.last() if access.everywhere("audit", "read") else None
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: audit.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    altered, proved = _altered(last), _proved(last)
    context = found.context(lambda row: _presented(row, altered, proved))
    given = {each["name"]: each["value"] for each in found.filters if each["value"]}
    context |= {"check": _check(last) if last else None, "export": _address("api-audit-export", given)}
    return pages.page(request, "audit/list.html", context, here="audit")


@require_POST
@pages.on_platform("audit")
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for a check; a worker makes it."""
    verification.request(actor=pages.actor(request), now=pages.now())
    messages.success(request, _("A worker checks the audit and the ledger now. Reload this page for the result."))
    return redirect("audit")


def _presented(row: AuditRow, altered: Collection[int], proved: int) -> dict[str, Any]:
    """Return a row with fields [{name, before, after}] and proof: altered, proved, sealed or open."""
    proof = "sealed" if row.seal else "open"
    if row.id in altered:
        proof = "altered"
    elif row.seal is not None and row.seal <= proved:
        proof = "proved"
    shown = msgspec.structs.asdict(row)
    words_of = {"role": "role", "state": _STATES.get(row.object_kind, "")}
    return shown | {"fields": differences.fields(_object(row.before), _object(row.after), words_of), "proof": proof}


def _object(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return value if value is None else {"value": value}
    return {name: inner for name, inner in value.items() if name not in _TOLD_ABOVE}


def _check(last: Verification) -> dict[str, Any]:
    """Return {result, rows, seals, unsealed_rows, findings, requested_at, requested_by} of the last check."""
    streams = last.result.streams if last.result else []
    return {
        "result": msgspec.structs.asdict(last.result) if last.result else None,
        "rows": sum(stream.rows for stream in streams),
        "seals": sum(stream.seals for stream in streams),
        "unsealed_rows": sum(stream.unsealed_rows for stream in streams),
        "gone_through": max((stream.gone_through for stream in streams if stream.gone_through), default=None),
        "findings": [_sentence(finding) for stream in streams for finding in stream.findings],
        "requested_at": last.requested_at,
        "requested_by": last.requested_by,
    }


def _sentence(finding: LogFinding) -> dict[str, Any]:
    facts = msgspec.structs.asdict(finding) | {"stream": words.label("log", finding.stream)}
    return {"words": _(SENTENCES[finding.kind]) % facts, "more": finding.count - 1, "row": finding.row}


def _proved(last: Verification | None) -> int:
    """Return the last seal that the check, which was well, has seen."""
    result = last.result if last else None
    if result is None or not result.is_ok:
        return 0
    heads = [stream.head for stream in result.streams if stream.stream == audit.STREAM]
    return next((head.number for head in heads if head), 0)


def _altered(last: Verification | None) -> set[int]:
    streams = last.result.streams if last and last.result else []
    found = [finding for each in streams if each.stream == audit.STREAM for finding in each.findings]
    return {finding.row for finding in found if finding.row is not None}


def _address(name: str, query: dict[str, str]) -> str:
    return f"{reverse(name)}?{urlencode(query)}" if query else reverse(name)
