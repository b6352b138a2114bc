"""What a walk needs of a platform: where it is, which shapes it gives out, what it shows, and how to use it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct


class Shape(Struct, frozen=True, eq=False):
    """One way to ask. ``body`` is what goes into ``POST /allocations`` beside project and name."""

    name: str
    body: Mapping[str, Any]


class Given(Struct, frozen=True, kw_only=True):
    """What a tenant has of a shape, as REST tells it: the allocation, its deliveries with secrets, its devices."""

    shape: Shape
    allocation: Mapping[str, Any]
    deliveries: Sequence[Mapping[str, Any]]
    devices: Sequence[Mapping[str, Any]]


class Platform(ABC):
    """A real platform. ``mode`` is one of its kind's."""

    name: str
    kind: str
    mode: str
    shapes: Sequence[Shape]

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """How ocenter reaches it."""

    @property
    @abstractmethod
    def credential(self) -> Mapping[str, Any]:
        """With what it is let in."""

    @abstractmethod
    def picture(self) -> Any:
        """Return all that the platform itself shows of what it gives out: equal means that nothing is left."""

    @abstractmethod
    def prove(self, given: Given) -> str:
        """Use what was given, else read it back over the platform's own API, and return what was seen.

        Fails when it opens less, or anything else.
        """

    @abstractmethod
    def prove_ended(self, given: Given) -> str:
        """Try to use it after the end, and return what was seen. Fails when it still opens anything."""
