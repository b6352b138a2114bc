"""OpenAPI 3.1 from the very structs that are parsed and answered, so that it cannot say anything else."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import GenericAlias
from typing import Any, Final, TypeVar

import msgspec
from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from pools.api import errors
from pools.selectors import pages

Method = TypeVar("Method", bound=Callable[..., Any])
_REFERENCE: Final = "#/components/schemas/"
_READING: Final = (401, 403)
_FILTER_WORDS: Final = {
    "pool": "Names or ids of pools, with commas between.",
    "kind": "Kinds, with commas between.",
    "vendor": "Vendors, with commas between.",
    "model": "Slugs of models, with commas between.",
    "profile": "Profiles, with commas between.",
    "state": "States, with commas between.",
    "health": "Healths, with commas between.",
    "node": "Names or ids of nodes, with commas between.",
    "project": "Paths or ids of projects, with commas between.",
    "parent": "Paths or ids of the projects right above, with commas between.",
    "under": "Paths or ids of projects, with commas between: these and all below.",
    "role": "Roles, with commas between.",
    "source": "hand or sso, with a comma between.",
    "is_inherited": "true: only those from above; false: only the project's own.",
    "is_active": "true or false.",
    "allocation": "Ids of allocations, with commas between.",
    "label": "A label selector such as tier=prod,zone!=b,gpu,!old.",
    "actor": "Names of users, with commas between.",
    "action": "Actions such as pool.granted, with commas between.",
    "object_kind": "Kinds of objects, with commas between.",
    "object": "Ids or names of objects, with commas between.",
    "request_id": "Ids of requests, with commas between.",
    "stream": "audit_event, ledger_event or both.",
    "from": "A day or an instant; what is older is left out.",
    "to": "A day or an instant; it and what is newer are left out.",
    "step_seconds": "How long an interval is; a day unless said.",
    "q": "What to look for.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What the frame of all views has to know of an operation, as ``described`` of the method.

    ``row`` is the struct that is answered, or that a list consists of; ``queries`` are the query's parameters.
    """

    row: type | None
    queries: frozenset[str]
    deprecated_at: datetime | None
    sunset_at: datetime | None


def operation(
    name: str,
    summary: str,
    *,
    answer: type | None,
    media_type: str = "application/json",
    status: int = 200,
    body: Any = None,
    refusals: Collection[int] = (),
    parameters: Collection[OpenApiParameter] = (),
    is_conditional: bool = False,
    row: type | None = None,
    deprecated_at: datetime | None = None,
    sunset_at: datetime | None = None,
) -> Callable[[Method], Method]:
    """Describe one operation: its id (``noun.verb``), what it takes, what it answers, and which problems to expect.

    ``is_conditional``: it answers 304 to the ETag it gave before. ``deprecated_at`` is since when nobody should use it
    any more, ``sunset_at`` when it goes; its answers say both. What all operations share, ``framed`` adds.
    """
    problems = {
        (code, errors.MEDIA_TYPE): OpenApiResponse(errors.Problem) for code in sorted({*_READING, *refusals, 500})
    }
    answered: dict[Any, Any] = {(status, media_type): answer} if answer else {status: None}
    if is_conditional:
        answered[304] = OpenApiResponse(description="It is still what the ETag in If-None-Match stands for.")
        parameters = [*parameters, IF_NONE_MATCH]
    queries = frozenset(each.name for each in parameters if each.location == OpenApiParameter.QUERY)
    described = Described(row or answer, queries, deprecated_at, sunset_at)
    extend = extend_schema(
        operation_id=name.replace(".", "_"),
        summary=summary,
        tags=[name.partition(".")[0]],
        request={"application/json": body} if body is not None else None,
        responses={**answered, **problems},
        parameters=[*parameters],
        deprecated=deprecated_at is not None,
    )

    def describe(method: Method) -> Method:
        method.described = described  # type: ignore[attr-defined]  # base.View looks for it
        return extend(method)

    return describe


def listing(
    name: str,
    summary: str,
    row: type,
    filters: Mapping[str, Any],
    *,
    refusals: Collection[int] = (),
    is_conditional: bool = False,
    deprecated_at: datetime | None = None,
    sunset_at: datetime | None = None,
) -> Callable[[Method], Method]:
    """Describe a list with its filters and paging."""
    named = [OpenApiParameter(key, str, description=_FILTER_WORDS.get(key, "")) for key in filters]
    limit = {"type": "integer", "minimum": 1, "maximum": pages.LIMIT_MOST, "default": pages.LIMIT_DEFAULT}
    paging = [
        OpenApiParameter("limit", limit, description="Rows in a page."),
        OpenApiParameter("cursor", str, description="Where to go on; it is in the address of the next page."),
    ]
    return operation(
        name,
        summary,
        answer=list_of(row),
        refusals=refusals,
        parameters=[*named, *paging],
        is_conditional=is_conditional,
        row=row,
        deprecated_at=deprecated_at,
        sunset_at=sunset_at,
    )


def framed(result: dict[str, Any], **_more: Any) -> dict[str, Any]:
    """Add to the description what all operations share: limits, fields, keys, dry runs, reasons."""
    result["components"] |= {"parameters": _SHARED, "responses": {"Refused": _REFUSED, "Throttled": _THROTTLED}}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            is_read = method == "get"
            shared = ("fields",) if is_read else ("idempotency_key", "dry_run", "reason")
            references = [{"$ref": f"#/components/parameters/{name}"} for name in shared]
            operation["parameters"] = [*operation.get("parameters", []), *references]
            found = (404,) if "{" in path else ()
            for status in (*found, *_ANYWHERE, *(() if is_read else _IN_WRITES)):
                operation["responses"].setdefault(str(status), {"$ref": "#/components/responses/Refused"})
            operation["responses"]["429"] = {"$ref": "#/components/responses/Throttled"}
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


_ANYWHERE: Final = (406, 414, 422, 503)
_IN_WRITES: Final = (400, 409, 411, 413, 415)
_REFUSED: Final = {
    "description": "What was refused, by its status: 400 a body that is no JSON, 404 what is not there or not to be "
    "known, 406 an Accept without JSON, 409 what contradicts something else, 411 a body without its length, 413 too "
    "long a body, 414 too long an address, 415 a body that is no JSON by its Content-Type, 422 wrong values with the "
    "fields, 503 a database that does not answer at the moment.",
    "content": {errors.MEDIA_TYPE: {"schema": {"$ref": _REFERENCE + "Problem"}}},
}
_THROTTLED: Final = _REFUSED | {
    "description": "Too many requests this minute. All answers tell in RateLimit-Limit, RateLimit-Remaining and "
    "RateLimit-Reset (seconds) what is left.",
    "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
}
_SHARED: Final[dict[str, Any]] = {
    "fields": {
        "in": "query",
        "name": "fields",
        "description": "Answer only these fields, of a list those of its rows; names with commas between.",
        "schema": {"type": "string"},
    },
    "idempotency_key": {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "1 to 255 visible ASCII characters. For 24 hours the same request with the same key is answered "
        "as before (Idempotency-Replayed: true) and does nothing again; another request with it answers 422.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "dry_run": {
        "in": "query",
        "name": "dry_run",
        "description": "Answer what the request would have been answered (Dry-Run: true) and do nothing. "
        "Ids of what it would have made will be others.",
        "schema": {"type": "boolean", "default": False},
    },
    "reason": {
        "in": "header",
        "name": "X-Reason",
        "description": "Why, for the audit: at most 500 characters of ASCII, or UTF-8'' and percent-encoded UTF-8 "
        "(RFC 8187).",
        "schema": {"type": "string"},
    },
}


IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag or generation you read; another generation answers 412.",
)


IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of what you have; 304 when it is still so."
)


@cache
def list_of(row: type) -> type:
    """Return the struct of a list of these rows."""
    return msgspec.defstruct(
        f"{row.__name__.removesuffix('Row')}List", [("results", GenericAlias(list, row)), ("next", str | None)]
    )


def array_of(struct: type) -> dict[str, Any]:
    """Return the schema of a body that is a list of such structs, which refer to no others."""
    _, found = msgspec.json.schema_components([struct])
    return {"type": "array", "items": found[struct.__name__]}


_schemas: dict[str, dict[str, Any]] = {}
"""What each name stands for in the description."""


class StructExtension(OpenApiSerializerExtension):
    """Schemas of msgspec structs. A row's class is named ``XRow``, and the API calls it X."""

    target_class = "msgspec.Struct"
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        # A struct inside another is registered by its name alone, which looks like a collision and is none.
        set_override(self.target, "suppress_collision_warning", True)
        return str(self.target.__name__.removesuffix("Row"))

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        _, found = msgspec.json.schema_components([self.target], ref_template=_REFERENCE + "{name}")
        text = re.sub(rf'("{_REFERENCE}\w+?)Row"', r'\1"', msgspec.json.encode(found).decode())
        schemas: dict[str, dict[str, Any]] = msgspec.json.decode(text)
        own = schemas[self.target.__name__]
        for whole_name, schema in schemas.items():
            name = whole_name.removesuffix("Row")
            if _schemas.setdefault(name, schema) != schema:
                raise RuntimeError(f"Two different structs are called {name}. Rename one, or the other's is shown.")
            if schema is own:
                continue
            auto_schema.registry.register_on_missing(
                ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=schema)
            )
        return own


class BearerScheme(OpenApiAuthenticationExtension):
    """Tokens."""

    target_class = "pools.api.auth.Bearer"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "oc_..."}


class SessionScheme(OpenApiAuthenticationExtension):
    """The console's log-in."""

    target_class = "pools.api.auth.Session"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "ocenter_session"}
