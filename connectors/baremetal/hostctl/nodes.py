"""The lists of the device nodes, as steps: closed before anything is given, opened after the accounts are there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from . import acl
from .document import FIRST_UID, LAST_UID, Document
from .errors import Incomplete
from .host import Host
from .step import Step

MODES = "/var/lib/ocenter/modes.json"
"""The modes that nodes had before the first lease fenced them."""


def recorded_modes(host: Host) -> dict[str, int]:
    """Return the modes that the fenced nodes had before."""
    return dict(json.loads(host.text(MODES) or "{}"))


def strangers(host: Host, document: Document, spared: Iterable[int] = ()) -> dict[str, list[int]]:
    """Return, by node, the lessees' processes that have it open and may not, for all nodes that are or were fenced."""
    lessees = document.lessees
    # Programs of other people are not ours to end, whatever their uid.
    people = {each.uid for each in host.accounts() if not each.is_ours}
    held = host.holders({*document.nodes, *lessees, *recorded_modes(host)})
    return {
        node: [
            each.pid
            for each in holders
            if FIRST_UID <= each.uid <= LAST_UID and each.uid not in {*lessees.get(node, ()), *spared, *people}
        ]
        for node, holders in held.items()
    }


class Nodes:
    """The device nodes of one document."""

    def __init__(self, host: Host, document: Document) -> None:
        self._host = host
        self._document = document
        self._users = {lease.uid: lease.user for lease in document.leases}
        self._lessees = document.lessees
        self._modes = recorded_modes(host)
        self._access = {
            node: acl.read(host.path(node)) for node in {*self._lessees, *self._modes} if host.has_device(node)
        }

    def to_close(self) -> Iterator[Step]:
        """Yield the steps that take a node away from whoever may open it and shall not."""
        for node in sorted(self._modes.keys() - self._lessees.keys()):
            yield Step("unfence", node, partial(self._unfence, node), {"mode": oct(self._modes[node])})
        for node, access in sorted(self._access.items()):
            wanted = self._lessees.get(node)
            if wanted is None:
                continue
            surplus = access.users.keys() - wanted
            if access.other or access.has_groups or surplus or node not in self._modes:
                kept = access.granted & wanted
                yield Step("fence", node, partial(self._fence, node, kept), {"taken_from": sorted(surplus)})

    def to_open(self) -> Iterator[Step]:
        """Yield the steps that give nodes to lessees."""
        for node, wanted in sorted(self._lessees.items()):
            access = self._access.get(node)
            lacking = wanted - (access.granted if access else frozenset())
            users = frozenset(self._users[uid] for uid in lacking)
            if lacking and access is None:
                yield Step("await", node, partial(self._miss, node), users=users)
            elif lacking:
                body = {"given_to": sorted(lacking)}
                yield Step("grant", node, partial(self._grant, node, wanted), body, users)

    def _grant(self, node: str, uids: Iterable[int]) -> None:
        # To end them may have failed, and an open file outlives the list.
        is_alone = any(node in lease.devices for lease in self._document.leases)
        if is_alone and (pids := strangers(self._host, self._document)[node]):
            raise Incomplete(f"processes {pids} of a lease before hold it")
        self._fence(node, uids)

    def _fence(self, node: str, uids: Iterable[int]) -> None:
        path = self._host.path(node)
        if node not in recorded_modes(self._host):
            access = acl.read(path)
            self._record({node: access.owner << 6 | access.group << 3 | access.other})
        acl.fence(path, uids)

    def _unfence(self, node: str) -> None:
        if self._host.has_device(node):
            acl.open_up(self._host.path(node), self._modes[node])
        self._record({node: None})

    def _record(self, change: Mapping[str, Any]) -> None:
        left = {node: mode for node, mode in {**recorded_modes(self._host), **change}.items() if mode is not None}
        if left:
            self._host.write(MODES, json.dumps(left, sort_keys=True), 0o600)
        else:
            self._host.unlink(MODES)

    def _miss(self, node: str) -> None:
        if os.path.lexists(self._host.path(node)):
            raise Incomplete("it is no character device, or behind a link; who put it there?")
        raise Incomplete("it is not there; is the driver loaded?")
