"""The document that says what a host shall carry. Nothing of it reaches the system before all of it was judged here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .errors import Refused

FIRST_UID, LAST_UID = 61000, 61183
"""Between the uids that people and containers get and those that systemd makes up for services (61184 and above)."""
USER = re.compile(r"oc-[a-z0-9][a-z0-9-]{0,28}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,199}")
_NODE = re.compile(
    r"/dev/(?:nvidia\d+|nvidiactl|nvidia-uvm|nvidia-uvm-tools|nvidia-modeset|nvidia-caps/nvidia-cap\d+"
    r"|dri/(?:card|renderD)\d+|kfd|mkfd|mxcd|davinci\d+|davinci_manager|devmm_svm|hisi_hdc"
    r"|cambricon_dev\d+|cambricon_ctl|iluvatar\d+|mtgpu\.\d+|alixpu|alixpu_ppu\d+)",
    re.ASCII,
)
"""The nodes of vendors' cards. Any other one, such as a disk, would make the pool's key root's."""
_KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}(?: [ -~]{0,200})?")
_NAME, _VALUE = re.compile(r"[A-Z][A-Z0-9_]{0,63}"), re.compile(r"[A-Za-z0-9,._:/-]{0,2000}")
LIMITS = ("memory_mib", "cpu_milli", "tasks")


@dataclass(frozen=True)
class Lease:
    """One order: an account, its keys, the device nodes it may open, and until when (RFC 3339, None is open)."""

    id: str
    user: str
    uid: int
    keys: tuple[str, ...]
    cards: tuple[str, ...]
    devices: tuple[str, ...]
    shared: tuple[str, ...]
    env: Mapping[str, str]
    limits: Mapping[str, int]
    expires: str | None

    @property
    def nodes(self) -> tuple[str, ...]:
        """All device nodes that the lessee may open."""
        return self.devices + self.shared

    @property
    def expires_at(self) -> datetime | None:
        """The end, in UTC."""
        return None if self.expires is None else datetime.fromisoformat(self.expires).astimezone(timezone.utc)


@dataclass(frozen=True)
class Document:
    """The whole desired state. ``nodes`` are those of all cards of the host: while it has a lease, each is fenced."""

    host: str
    installation: str
    target: str
    generation: int
    nodes: tuple[str, ...]
    leases: tuple[Lease, ...]
    raw: Mapping[str, Any]

    @property
    def asked(self) -> object:
        """What the control plane decided. The nodes and variables of its cards may differ after a boot."""
        return [
            (each.id, each.user, each.uid, each.keys, each.cards, each.limits, each.expires_at) for each in self.leases
        ]

    def is_same_target(self, other: Document) -> bool:
        """Whether two documents are two wishes for one target."""
        return (self.installation, self.target) == (other.installation, other.target)

    @property
    def lessees(self) -> Mapping[str, frozenset[int]]:
        """The uids that may open each fenced node."""
        wanted: dict[str, set[int]] = {node: set() for node in self.nodes} if self.leases else {}
        for lease in self.leases:
            for node in lease.nodes:
                wanted.setdefault(node, set()).add(lease.uid)
        return {node: frozenset(uids) for node, uids in wanted.items()}


def read(text: str) -> Document:
    """Judge and return a document. Raises Refused ``invalid`` or, for a card in two leases, ``no_capacity``."""
    try:
        raw = json.loads(text)
        if raw.get("version") != 1:
            raise Refused("invalid", f"version {raw.get('version')!r} of the document is not known here")
        document = Document(
            host=_word(raw["host"]),
            # A script that drives a connector by hand has no installation.
            installation=raw["installation"] and _word(raw["installation"]),
            target=_word(raw["target"]),
            generation=_number(raw["generation"], 0, 2**63),
            nodes=tuple(map(_node, raw["nodes"])),
            leases=tuple(sorted(map(_lease, raw["leases"]), key=lambda lease: lease.user)),
            raw=raw,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused("invalid", f"the document cannot be read: {type(error).__name__}: {error}") from None
    _refuse_sharing(document)
    return document


def _lease(raw: Mapping[str, Any]) -> Lease:
    lease = Lease(
        id=_word(raw["id"]),
        user=_matched(USER, raw["user"], "account"),
        uid=_number(raw["uid"], FIRST_UID, LAST_UID),
        keys=tuple(_matched(_KEY, key, "key") for key in raw["keys"]),
        cards=tuple(map(_word, raw["cards"])),
        devices=tuple(map(_node, raw["devices"])),
        shared=tuple(map(_node, raw["shared"])),
        env={
            _matched(_NAME, name, "variable"): _matched(_VALUE, value, "variable") for name, value in raw["env"].items()
        },
        limits={name: _number(raw["limits"][name], 1, 2**40) for name in LIMITS if name in raw["limits"]},
        expires=raw["expires"],
    )
    if lease.expires_at is not None and datetime.fromisoformat(raw["expires"]).tzinfo is None:
        raise Refused("invalid", f"{lease.expires} has no time zone")
    return lease


def _refuse_sharing(document: Document) -> None:
    holder: dict[str, str] = {}
    for lease in document.leases:
        for device in lease.devices:
            if holder.setdefault(device, lease.user) != lease.user:
                raise Refused("no_capacity", f"{device} is in the leases of {holder[device]} and {lease.user}")
    for lease in document.leases:
        for node in lease.shared:
            if holder.get(node, lease.user) != lease.user:
                raise Refused("no_capacity", f"{node} is {holder[node]}'s alone, and {lease.user} would share it")
    for what in ("user", "uid"):
        values = [getattr(lease, what) for lease in document.leases]
        if len(set(values)) != len(values):
            raise Refused("invalid", f"two leases have one {what}")


def _matched(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused("invalid", f"this is no {what} that may stand in a document")
    return value


def _word(value: Any) -> str:
    return _matched(_WORD, value, "name")


def _node(value: Any) -> str:
    return _matched(_NODE, value, "device node")


def _number(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise Refused("invalid", f"{value!r} is no number from {least} to {most}")
    return value
