"""What the helper on a host says of the leases there and of who holds the cards: read by ``observe``."""

import msgspec
from msgspec import Struct


class Lease(Struct, frozen=True):
    """One order that the host carries: ``user`` is its marker and its account, ``devices`` are the card's own nodes."""

    user: str
    devices: tuple[str, ...] = ()


class Desired(Struct, frozen=True):
    """The document that the host carries."""

    installation: str = ""
    leases: tuple[Lease, ...] = ()


class Holder(Struct, frozen=True):
    """A program that has a device node open."""

    pid: int
    uid: int


class Document(Struct, frozen=True):
    """The part of the helper's answer that matters to facts; ``holders`` are by device node."""

    document: Desired | None = None
    holders: dict[str, tuple[Holder, ...]] = {}

    def lease_on(self, nodes: tuple[str, ...]) -> Lease | None:
        """Return the lease that has one of these nodes."""
        leases = self.document.leases if self.document else ()
        return next((lease for lease in leases if set(lease.devices) & set(nodes)), None)

    def is_of(self, installation: str) -> bool:
        """Whether this installation made the document."""
        return bool(installation) and self.document is not None and self.document.installation == installation


def read(output: str) -> Document | None:
    """Return the helper's answer, None when it is none of that shape."""
    try:
        return msgspec.json.decode(output, type=Document)
    except msgspec.DecodeError:
        return None
