"""``Idempotency-Key`` and ``?dry_run=1``: an unsafe request that may be repeated, and one that only tries."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import msgspec
from django.utils import crypto, timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, bodies, parsing
from pools.domain import filters, ids
from pools.domain.errors import FieldError, Invalid
from pools.services import idempotency, writing
from pools.services.idempotency import Begun, Kept, Once

HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_HEADERS_KEPT: Final = ("Location", "ETag")


def once(request: Request, handle: Callable[[], Response], shown_once: Collection[str] = ()) -> Response:
    """Return what ``handle`` answers, committed with all that it wrote; or what the same key was answered before.

    ``shown_once`` are the names of secrets in the answer, which no copy of it has.
    Raises KeyInProgress, KeyReused, Invalid; then, as with whatever else ``handle`` raises, nothing is written.
    """
    key, is_dry_run = _key(request), parsing.flag(request, "dry_run")
    with writing.request():
        if is_dry_run:
            return _tried(handle(), shown_once)
        if key is None:
            return handle()
        user_id = _user_id(request)
        kept = idempotency.claim(user_id=user_id, key=key, fingerprint=_fingerprint(request), now=timezone.now())
        if kept is not None:
            return _replayed(kept)
        response = handle()
        idempotency.keep(user_id=user_id, key=key, answer=_kept(response, shown_once))
        return response


def in_pieces(request: Request, count: int, handle: Callable[[Begun], tuple[Response, Collection[UUID]]]) -> Response:
    """Return what ``handle`` answers to a write of up to ``count`` objects that commits piece by piece.

    ``handle`` returns the ids of those that are there then too.
    Whoever repeats it after a crash, with the same key, gets what was made and makes what was not. Raises Invalid,
    KeyInProgress, KeyReused, before anything is written.
    """
    new_ids = [ids.new_id() for _ in range(count)]
    key, now = _key(request), timezone.now()
    if key is None:
        return handle(Begun(tuple(new_ids), is_again=False))[0]
    user_id, fingerprint = _user_id(request), _fingerprint(request)
    with idempotency.in_pieces(user_id=user_id, key=key, fingerprint=fingerprint, object_ids=new_ids, now=now) as begun:
        if isinstance(begun, Kept):
            return _replayed(begun)
        response, made = handle(begun)
        idempotency.keep(user_id=user_id, key=key, answer=_as_made(response, made))
        return response


def ticket(request: Request, answer: Callable[[Any], Response]) -> Once | None:
    """Return the request's key for a write that commits with those of others; None without one.

    ``answer`` makes the response of what was made, which has an id. Raises Invalid.
    """
    if (key := _key(request)) is None:
        return None
    return Once(_user_id(request), key, _fingerprint(request), lambda made: _as_made(answer(made), [made.id]))


def _key(request: Request) -> str | None:
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid(fields=(FieldError(HEADER, "bad_value", "Send 1 to 255 visible ASCII characters."),))
    return key


def _user_id(request: Request) -> UUID:
    user_id = auth.access(request).user_id
    if user_id is None:
        raise Invalid(fields=(FieldError(HEADER, "not_taken", "Only for requests of somebody who is logged in."),))
    return user_id


def _fingerprint(request: Request) -> bytes:
    """Tell requests apart, by nothing that a password in a body could be guessed from.

    Tokens with other limits do not share: an answer may show what the other may not see.
    """
    scope = msgspec.json.encode(auth.access(request).scope.stored(), order="sorted")
    parts = (str(request.method).encode(), request.get_full_path().encode(), scope, parsing.raw(request))
    return crypto.salted_hmac(HEADER, b"\n".join(parts), algorithm="sha256").digest()


def _tried(response: Response, shown_once: Collection[str]) -> Response:
    writing.take_back()
    response.data = _without(response.data, shown_once)
    del response["ETag"]  # of a version that will never be
    response["Dry-Run"] = "true"
    return response


def _kept(response: Response, shown_once: Collection[str]) -> Kept:
    data = _without(response.data, shown_once)
    found = _id(data) or next(filter(None, map(_id, _inside(data))), None)
    kept = _as_made(response, [found] if found else [])
    return kept if data is response.data else replace(kept, body=msgspec.json.encode(data))


def _as_made(response: Response, object_ids: Collection[UUID]) -> Kept:
    return Kept(
        status=response.status_code,
        headers={name: response[name] for name in _HEADERS_KEPT if name in response},
        body=bodies.encoded(response),
        object_ids=object_ids,
    )


def _replayed(kept: Kept) -> Response:
    if kept.body is None:
        response = Response({"object_ids": kept.object_ids}, status=200)
    else:
        response = Response(msgspec.Raw(kept.body) if kept.body else None, status=kept.status)
    for name, value in kept.headers.items():
        response[name] = value
    response["Idempotency-Replayed"] = "true"
    return response


def _without(data: Any, names: Collection[str]) -> Any:
    if not names or data is None:
        return data
    return {name: None if name in names else value for name, value in msgspec.to_builtins(data).items()}


def _id(data: Any) -> UUID | None:
    """The id of an object of an answer; None of what is no object, or has none."""
    found = getattr(data, "id", None) if isinstance(data, msgspec.Struct) else None
    if isinstance(data, dict):
        found = data.get("id")
    return found if isinstance(found, UUID) else filters.as_uuid(str(found or ""))


def _inside(row: Any) -> Iterable[Any]:
    if isinstance(row, msgspec.Struct):
        return (getattr(row, name) for name in row.__struct_fields__)
    return row.values() if isinstance(row, dict) else ()
