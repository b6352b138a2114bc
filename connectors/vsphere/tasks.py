"""Tasks of a vCenter: bounded waiting, and what is read of one object in between."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connectors.contract import Denied
from connectors.vsphere.client import Seen
from connectors.vsphere.faults import error_of

WAIT_SECONDS = 3.0
POLL_SECONDS = 0.1


class Client(Protocol):
    """What giving out needs of a session: the service content, a name for messages, the pool's settings."""

    settings: Mapping[str, Any]

    @property
    def content(self) -> Any:
        """The service content."""

    @property
    def host(self) -> str:
        """Host and port, for messages."""

    def read(self, refs: Sequence[Any], paths: Sequence[str]) -> list[Seen]:
        """Read objects of one type."""


class StillRunning(Exception):
    """A task did not end within ``WAIT_SECONDS``."""


def read(client: Client, subject: Any, paths: Sequence[str]) -> dict[str, Any] | None:
    """Return the properties of one object; None when it is gone. A path without a value is left out."""
    found = read_all(client, [subject], paths)
    return found[0].values if found else None


def read_all(client: Client, subjects: Sequence[Any], paths: Sequence[str]) -> list[Seen]:
    """Return the properties of objects of one type, without those that are gone.

    Raises Denied ``forbidden`` for a path that vCenter does not tell: nothing is concluded from half an object.
    """
    found = client.read(subjects, paths)
    for seen in found:
        if seen.unknown:
            raise Denied(
                f"{client.host} does not tell {', '.join(sorted(seen.unknown))} of {seen.ref._GetMoId()}. Give the "
                "account the role in the platform's page, on the root folder and what is below it.",
                code="forbidden",
            )
    return found


def wait(client: Client, task: Any) -> Any:
    """Return the result of a task. Raises StillRunning after a few seconds, and what ``error_of`` makes of its fault.

    A task that vCenter has forgotten counts as ended: what it did is read from the VM, never from the task.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        info = (read(client, task, ["info"]) or {}).get("info")
        if info is None or info.state == "success":
            return info and info.result
        if info.state == "error":
            raise error_of(info.error, client.host)
        if time.monotonic() >= until:
            raise StillRunning
        time.sleep(POLL_SECONDS)
