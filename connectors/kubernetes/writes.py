"""Changes to a cluster, one exact call each, and what its refusals mean.

Source: Kubernetes API concepts (Server-Side Apply, preconditions); each refusal was seen on a kube-apiserver 1.36.
"""

from typing import Any, Literal

from msgspec import Struct

from connectors.contract import Call, ConnectorError, Permanent, Transient
from connectors.http import Http
from connectors.kubernetes.intent import MANAGER, Body

ENDING_SECONDS = 5.0
_NO_RIGHT = ("cannot ", "attempting to grant", "not currently held")

Live = dict[str, Any]
"""An object as the API server tells it."""


class LostRace(Exception):
    """Somebody was faster; what is there must be read again."""


class Step(Struct, frozen=True, kw_only=True):
    """One call. ``seen`` is the object as it was when the call was decided: the call holds for that state only."""

    method: Literal["POST", "PATCH", "DELETE"]
    path: str
    body: Body = {}
    seen: Live | None = None

    @property
    def call(self) -> Call:
        """The call as people and the drift detector read it, without the state that it holds for."""
        return Call(verb=self.method, object=self.path, body=self.body)


def send(http: Http, step: Step, *, is_forced: bool) -> Live:
    """Make the call and return the object that the server answers with, empty for one that is gone.

    Raises LostRace, Transient ``terminating``, Permanent ``conflict`` (another manager owns a field) or ``rejected``
    (quota, admission, schema), Denied, and what ``Http`` raises.
    """
    params: dict[str, str | int] = {} if step.method == "DELETE" else {"fieldManager": MANAGER}
    kind = "application/apply-patch+yaml" if step.method == "PATCH" else "application/json"
    if step.method == "PATCH":
        params |= {"force": "true" if is_forced else "false", "fieldValidation": "Strict"}
    accept = (404,) if step.method == "DELETE" else ()
    try:
        answer = http.send(
            step.method, step.path, body=_body(step), params=params, headers={"Content-Type": kind}, accept=accept
        )
    except ConnectorError as error:
        raise _told(error, step) from None
    return {} if answer.status == 404 else http.decode(answer, dict[str, Any])


def _body(step: Step) -> Body:
    """Add what the object must still be: its uid, so that no namesake is meant, and its version."""
    meta = (step.seen or {}).get("metadata", {})
    state = {name: meta[name] for name in ("uid", "resourceVersion") if meta.get(name)}
    if step.method == "DELETE":
        return {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": state}
    return {**step.body, "metadata": {**step.body["metadata"], **state}}


def _told(error: ConnectorError, step: Step) -> Exception:
    words = error.platform_words
    if error.code == "conflict":
        return _conflict(step, words) if words.startswith("Apply failed") else LostRace()
    if error.code == "not_found" and not words.startswith("404 page"):
        return LostRace()  # what it shall be in was deleted meanwhile
    if error.code == "forbidden" and "being terminated" in words:
        return Transient(
            "The namespace is being deleted and takes nothing new. ocenter waits until it is gone.",
            code="terminating",
            platform_words=words,
            after_seconds=ENDING_SECONDS,
        )
    is_rule = error.code == "forbidden" and words and not any(sign in words for sign in _NO_RIGHT)
    if is_rule or "field not declared in schema" in words:
        return Permanent(
            f"The cluster's own rules refuse {step.method} {step.path}. Its words say which; change the rule or the "
            "request.",
            code="rejected",
            platform_words=words,
        )
    return error


def _conflict(step: Step, words: str) -> Permanent:
    return Permanent(
        f"Somebody else changed what ocenter set in {step.path}. Undo that, or let ocenter repair it by the pool's "
        "setting for it.",
        code="conflict",
        platform_words=words,
    )
