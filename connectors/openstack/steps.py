"""A change as steps: what is planned is what is done, because both are read from the same list."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from connectors.contract import Call, NoCapacity, Transient
from connectors.openstack.client import Cloud
from connectors.openstack.there import CYBORG, NOVA

_VERSIONS = {"accelerator": CYBORG, "compute": NOVA}


class Step(Struct, frozen=True):
    """One call that changes something, and how to make it."""

    call: Call
    make: Callable[[], None]


class Raced(Exception):
    """Somebody else wrote first: what was judged is no longer what is there."""


def change(
    cloud: Cloud,
    service: str,
    verb: str,
    path: str,
    body: object = None,
    *,
    told: Mapping[str, object] | None = None,
    accept: tuple[int, ...] = (),
) -> Step:
    """Return the step of one call of Cyborg or Nova. ``told`` is the body for people, where it is no mapping itself.

    Making it raises Raced when the object is in the way (409), or gone and was not to go (404). ``accept`` are of these
    two what is as good as done.
    """
    fine = (*accept, *((404,) if verb == "DELETE" else ()))

    def send() -> None:
        answer = cloud.send(service, verb, path, body, versions=_VERSIONS[service], accept=(404, 409))
        if answer.status in (404, 409) and answer.status not in fine:
            raise Raced

    return Step(
        Call(verb=verb, object=f"{service} {path}", body=told or (body if isinstance(body, dict) else {})), send
    )


def take(steps: Sequence[Step], changes: list[Call]) -> None:
    """Take the steps one after the other. ``changes`` gets every call that was made."""
    for step in steps:
        step.make()
        changes.append(step.call)


def lost_race(what: str) -> Transient:
    """Return the error for a target that others change all the time."""
    return Transient(
        f"Others changed {what} while it was written. Nothing was overwritten; it is tried again.", code="conflict"
    )


def unconfirmed(why: str) -> Transient:
    """Return the error for an answer that says success without the effect."""
    return Transient(f"{why}. It is looked at again; if it stays so, see the log of the service.", code="unconfirmed")


def refusal(body: bytes, words: str) -> Raced | NoCapacity:
    """Return what a 409 of Placement means: it says itself whether a race was lost or a provider is full."""
    if b"placement.concurrent_update" in body or "generation" in words:
        return Raced()
    return NoCapacity("Placement has no room for the order: others have it. Take another place.", platform_words=words)
