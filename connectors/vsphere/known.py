"""What a cursor remembers of a vCenter, so that the next look need not read it again."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from connectors.contract import Cursor, NodeFact
from connectors.vsphere.hosts import Layout, Slot

FORMAT = 1
"""Another number makes cursors of before count as none."""


class HostKnown(Struct, array_like=True):
    """A host: the digest of its hardware, which of the layouts it has, the digest of what was told of it last."""

    hardware: str
    layout: int
    told: str


class Known(Struct, omit_defaults=True):
    """``hosts`` by uuid; ``sizes`` are the GiB of profiles, 0 where vCenter does not tell; ``plain`` are VMs without

    devices that could have some, with the digest of their version. Hosts with the same cards share a layout.
    """

    vcenter: str = ""
    format: int = FORMAT
    hosts: dict[str, HostKnown] = {}
    layouts: list[dict[str, Slot]] = []
    sizes: dict[str, int] = {}
    plain: dict[str, str] = {}

    def layout(self, uuid: str) -> Layout:
        """Return the cards that a host had; none for an unknown one."""
        known = self.hosts.get(uuid)
        return self.layouts[known.layout] if known is not None else {}

    def cursor(self) -> Cursor:
        """Return it as plain values."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return {**told, "format": self.format}


def known(cursor: Cursor | None, vcenter: str) -> Known:
    """Return what a cursor of the same vCenter remembers; nothing for any other."""
    try:
        found = msgspec.convert(cursor or {}, Known)
    except msgspec.ValidationError:
        found = Known()
    is_whole = all(0 <= each.layout < len(found.layouts) for each in found.hosts.values())
    is_ours = bool(cursor) and found.vcenter == vcenter and (cursor or {}).get("format") == FORMAT
    return found if is_whole and is_ours else Known(vcenter=vcenter)


def digest(text: str) -> str:
    """Return a short stand-in for a text."""
    return blake2b(text.encode(), digest_size=6).hexdigest()


def digest_of(fact: NodeFact) -> str:
    """Return a short stand-in for all that a fact says."""
    return blake2b(msgspec.msgpack.encode(fact, order="deterministic"), digest_size=8).hexdigest()


class Layouts:
    """Numbers layouts, the same one with the same number."""

    def __init__(self) -> None:
        self.found: list[dict[str, Slot]] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, layout: Mapping[str, Slot]) -> int:
        """Return the number of a layout, a new one for a new layout."""
        key = msgspec.msgpack.encode(layout, order="sorted")
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(dict(layout))
        return self._numbers[key]
