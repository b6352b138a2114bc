"""Tells what changes in a vCenter: one property collector over all hosts and VMs, whole facts of the hosts concerned.

A collector and its version live in one session only, so no cursor can hold them. A watch begins with all there is, and
tells what is other than the cursor remembers.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pyVmomi import vim, vmodl

from connectors.contract import ConnectorError, Cursor, Last, Page
from connectors.vsphere import machines
from connectors.vsphere.client import Client, Query, Seen
from connectors.vsphere.faults import Expired, translated
from connectors.vsphere.fleet import Fleet
from connectors.vsphere.hosts import PASSTHROUGH
from connectors.vsphere.known import known

GATHER_SECONDS = 1.5
QUIET_SECONDS = 120.0
WAIT_SECONDS = 10
HOSTS_PER_PAGE = 100
_OBJECTS_PER_ANSWER = 1000
_ENDED = (
    vim.fault.NotAuthenticated,
    vmodl.query.InvalidCollectorVersion,
    vmodl.fault.ManagedObjectNotFound,
    vmodl.fault.RequestCanceled,
)
"""What says that the collector is no more: its session ended, or somebody closed us."""


def watch(client: Client, installation: str, cursor: Cursor, closed: threading.Event) -> Iterator[Page]:
    """Yield what changed since the cursor of an observation or of an earlier page, until ``closed``.

    Ends by itself when the session does, when the cursor is of another vCenter, or when not all may be seen any more:
    a full observation follows. Raises what the client raises.
    """
    before = known(cursor, client.content.about.instanceUuid)
    if not before.hosts:
        return
    fleet = Fleet(client, installation, before)
    try:
        with _updates(client, [*fleet.paths, PASSTHROUGH]) as updates:
            yield from _told(client, fleet, updates, before.cursor(), closed)
    except Exception as error:
        if closed.is_set() or client.is_closed or isinstance(error, (*_ENDED, Expired)):
            return  # closed under a call, or all to be read anew
        with translated(client.host):
            raise


def _told(client: Client, fleet: Fleet, updates: "_Updates", cursor: Cursor, closed: threading.Event) -> Iterator[Page]:
    counted, yielded_at = client.byte_count, time.monotonic()
    is_begun = False
    while not closed.is_set():
        dirty, may_be_hidden = updates.take_into(fleet)
        if may_be_hidden or not is_begun:
            fleet.check_sight()
        nodes = fleet.changed(dirty)
        if fleet.gaps:
            return
        gone = fleet.gone()
        is_begun = True
        if not (nodes or gone or time.monotonic() - yielded_at > QUIET_SECONDS):
            continue
        before, cursor = cursor, fleet.known().cursor()
        for start in range(0, max(1, len(nodes)), HOSTS_PER_PAGE):
            is_last = start + HOSTS_PER_PAGE >= len(nodes)
            yield Page(
                nodes=nodes[start : start + HOSTS_PER_PAGE],
                gone=gone if is_last else (),
                byte_count=client.byte_count - counted,
                is_full=False,
                last=Last(complete=True, cursor=cursor if is_last else before),
            )
            counted, yielded_at = client.byte_count, time.monotonic()


class _Updates:
    """What a collector tells, put together to whole objects."""

    def __init__(self, collector: Any) -> None:
        self._collector = collector
        self._version = ""
        self._seen: dict[str, Seen] = {}

    def take_into(self, fleet: Fleet) -> tuple[set[str], bool]:
        """Wait for changes and for what follows within a moment, and note them.

        Return the ids of the hosts concerned, and whether an object left, which also happens when it is hidden.
        """
        dirty: set[str] = set()
        has_left = False
        ends_at: float | None = None
        while True:
            found = self._wait(WAIT_SECONDS if ends_at is None else 1)
            for change in (change for part in (found and found.filterSet) or () for change in part.objectSet):
                has_left |= change.kind == "leave"
                dirty |= self._take(fleet, change)
            if found is not None and found.truncated:
                continue
            if found is None or (ends_at is not None and time.monotonic() >= ends_at):
                return dirty, has_left
            ends_at = ends_at or time.monotonic() + GATHER_SECONDS

    def _wait(self, seconds: int) -> Any:
        options = Query.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=_OBJECTS_PER_ANSWER)
        found = self._collector.WaitForUpdatesEx(self._version, options)
        if found is not None:
            self._version = found.version
        return found

    def _take(self, fleet: Fleet, change: Any) -> set[str]:
        """Note one change; return the hosts that it concerns."""
        moid = str(change.obj._GetMoId())
        before = self._seen.pop(moid, None)
        is_host = isinstance(change.obj, vim.HostSystem)
        concerned = set() if is_host or before is None else {machines.host_of(before.values)}
        if change.kind == "leave":
            (fleet.drop_host if is_host else fleet.drop_vm)(moid)
            return concerned
        now = self._seen[moid] = _changed(before, change)
        if is_host:
            fleet.take_host(now)
            return {moid}
        fleet.take_vm(now)
        return concerned | {machines.host_of(now.values)}


def _changed(before: Seen | None, change: Any) -> Seen:
    values = dict(before.values) if before is not None else {}
    unknown = set(before.unknown) if before is not None else set()
    for each in change.changeSet:
        unknown.discard(each.name)
        if each.op in ("remove", "indirectRemove") or each.val is None:
            values.pop(each.name, None)
        else:
            values[each.name] = each.val
    for missing in change.missingSet:
        values.pop(missing.path, None)
        unknown.add(missing.path)
    return Seen(change.obj, values, frozenset(unknown))


@contextmanager
def _updates(client: Client, host_paths: Sequence[str]) -> Iterator[_Updates]:
    """Follow all hosts, and of all VMs where they are and which version they have."""
    content, views = client.content, []
    try:
        with client.collector() as collector:
            paths = {vim.VirtualMachine: [*machines.PLACE, machines.VERSION], vim.HostSystem: list(host_paths)}
            for kind, wanted in paths.items():
                views.append(content.viewManager.CreateContainerView(content.rootFolder, [kind], True))
                through = Query.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
                spec = Query.FilterSpec(
                    objectSet=[Query.ObjectSpec(obj=views[-1], skip=True, selectSet=[through])],
                    propSet=[Query.PropertySpec(type=kind, pathSet=wanted)],
                )
                collector.CreateFilter(spec, partialUpdates=False)
            yield _Updates(collector)
    finally:
        with suppress(vmodl.MethodFault, ConnectorError):
            for view in views:
                view.DestroyView()
