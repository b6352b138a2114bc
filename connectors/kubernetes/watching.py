"""Reads the lines of a watch. Pure: bytes in, events out.

Source: Kubernetes API concepts, Efficient detection of changes; each case was seen on a kube-apiserver 1.36.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from connectors.contract import Permanent, Transient
from connectors.kubernetes.payloads import Watched, WatchLine

T = TypeVar("T")


class Event(Struct, frozen=True):
    """A change. ``bookmark`` carries no object, only the resource version up to which all has been told.

    ``deleted`` also comes for an object that left the selector; its object is the last state that matched.
    """

    type: Literal["added", "modified", "deleted", "bookmark"]
    resource_version: str
    item: Any = None
    is_initial_end: bool = False


class Gone(Transient):
    """Changes since our resource version are no longer known (410 as a line of a 200 answer): list again."""

    code = "gone"


_TYPES: dict[str, Literal["added", "modified", "deleted"]] = {
    "ADDED": "added",
    "MODIFIED": "modified",
    "DELETED": "deleted",
}


def events(lines: Iterable[bytes], item: type[T]) -> Iterator[Event]:
    """Yield the events of a stream of whole lines. Raises Gone, Transient ``truncated`` on half a line, Permanent."""
    for line in lines:
        try:
            told = msgspec.json.decode(line, type=WatchLine)
            about = msgspec.json.decode(told.object, type=Watched)
            if told.type == "ERROR":
                raise _error(about)
            if told.type == "BOOKMARK":
                is_end = about.metadata.annotations.get("k8s.io/initial-events-end") == "true"
                yield Event("bookmark", about.metadata.resource_version, is_initial_end=is_end)
            elif told.type in _TYPES:
                found = msgspec.json.decode(told.object, type=item)
                yield Event(_TYPES[told.type], about.metadata.resource_version, found)
        except msgspec.DecodeError as error:
            raise Transient("A line of the watch is damaged; the watch begins anew.", code="truncated") from error


def _error(about: Watched) -> Permanent | Transient:
    if about.code == 410:
        return Gone("The API server no longer knows the changes since our last look.", platform_words=about.message)
    return Transient("The API server ended the watch with an error.", code="failed", platform_words=about.message)
