"""The one exception handler: families to HTTP, everything as problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404
from msgspec import Struct
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from pools.api import auth
from pools.domain.errors import Conflict, Denied, DomainError, FieldError, Invalid, Missing, Stale

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_FAMILIES: Final = {Invalid: 422, Conflict: 409, Stale: 412, Missing: 404, Denied: 403}


class WrongField(Struct, frozen=True):
    """One wrong field or parameter: its path, a stable code, and what is wrong."""

    field: str
    code: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457). ``code`` is stable; ``errors`` names every wrong field."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[WrongField]
    request_id: str


class Malformed(exceptions.APIException):
    """The body cannot be read at all."""

    status_code = 400
    default_detail = "The body is not valid JSON."


class LengthRequired(exceptions.APIException):
    """The body comes in pieces without saying how long it will be."""

    status_code = 411
    default_detail = "Send the body with its Content-Length."


class TooLarge(exceptions.APIException):
    """The body is larger than anything we take."""

    status_code = 413
    default_detail = "The body is too large."


class AddressTooLong(exceptions.APIException):
    """The address is longer than anything we answer to."""

    status_code = 414
    default_detail = "The address is too long."


_OF_HTTP: Final[dict[type[Exception], tuple[int, str]]] = {
    exceptions.NotAuthenticated: (401, "auth.required"),
    exceptions.AuthenticationFailed: (401, "auth.invalid_token"),
    exceptions.PermissionDenied: (403, "auth.denied"),
    exceptions.NotFound: (404, "not_found"),
    exceptions.MethodNotAllowed: (405, "request.method"),
    exceptions.NotAcceptable: (406, "request.not_acceptable"),
    exceptions.UnsupportedMediaType: (415, "request.media_type"),
    exceptions.Throttled: (429, "request.throttled"),
    exceptions.ParseError: (400, "request.malformed"),
    Malformed: (400, "request.malformed"),
    LengthRequired: (411, "request.length_required"),
    TooLarge: (413, "request.too_large"),
    AddressTooLong: (414, "request.address_too_long"),
    RequestDataTooBig: (413, "request.too_large"),
    SuspiciousOperation: (400, "request.refused"),
    PermissionDenied: (403, "auth.denied"),
    Http404: (404, "not_found"),
}

_DETAILS: Final[dict[type[Exception], str]] = {TooManyFieldsSent: "The address has too many parameters."}


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """Return the problem for any exception that leaves a view. What we did not expect is logged and told to nobody."""
    set_rollback()
    headers = {}
    if isinstance(error, DomainError):
        found = _of_domain(error)
    elif isinstance(error, OperationalError | InterfaceError):
        log.warning("database_unavailable", error=type(error).__name__)
        found = 503, "server.unavailable", "The database does not answer at the moment; try again soon.", ()
        headers["Retry-After"] = "5"
    else:
        found = _of_http(error)
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    body = problem(*found, request_id=auth.request_id(context["request"]))
    return Response(body, status=body.status, headers=headers, content_type=MEDIA_TYPE)


def of_domain(error: DomainError, request_id: str) -> Problem:
    """Return the problem of one item among others."""
    return problem(*_of_domain(error), request_id=request_id)


def problem(
    status: int, code: str, detail: str, fields: tuple[FieldError, ...] = (), *, request_id: str = ""
) -> Problem:
    """Return problem details."""
    return Problem(
        type=f"urn:ocenter:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=[WrongField(wrong.field, wrong.code, wrong.detail) for wrong in fields],
        request_id=request_id,
    )


def _of_domain(error: DomainError) -> tuple[int, str, str, tuple[FieldError, ...]]:
    status = next(status for family, status in _FAMILIES.items() if isinstance(error, family))
    return status, error.code, error.message, error.fields


def _of_http(error: Exception) -> tuple[int, str, str, tuple[FieldError, ...]]:
    for family, (status, code) in _OF_HTTP.items():
        if isinstance(error, family):
            detail = str(getattr(error, "detail", "")) or _DETAILS.get(type(error)) or HTTPStatus(status).phrase
            return status, "auth.csrf" if detail.startswith("CSRF") else code, detail, ()
    log.exception("request_failed", exc_info=error)
    return 500, "server.error", "Something went wrong in ocenter. The log has more under this request's id.", ()
