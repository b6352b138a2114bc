"""Reads everything around the nodes: whose pods use what, slices, claims and the reports of Ascend agents.

Where one kind of object is forbidden, the rest is read all the same, and the gap is told: nothing may be concluded from
what was not seen, and nothing may be placed where use is unknown.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from connectors.contract import Denied, Permanent
from connectors.kubernetes import ascend, dra, usage
from connectors.kubernetes.client import CONFIG_MAPS, PODS, Client, Kind, our_namespaces
from connectors.kubernetes.mapping import Around
from connectors.kubernetes.payloads import ConfigMap, Namespace, Node, Pod, ResourceClaim, ResourceSlice


class Look(Struct):
    """What was read, what could not be (``gaps``, for a person), and the version of each list."""

    around: Around
    gaps: list[str] = []
    warnings: list[str] = []
    versions: dict[str, str] = {}


def look(client: Client, api_time: datetime | None, installation: str) -> Look:
    """Read pods, slices and claims. Raises what the client raises, but for a kind that is forbidden."""
    found = Look(Around(api_time=api_time))
    markers = our_markers(client, installation)
    if not unless_forbidden(lambda: _read_pods(client, found, markers)):
        reason = "Its use is unknown: the account may not list pods."
        found.around.use, found.around.use_unknown = {}, reason
        found.gaps.append("Pods may not be listed, so nobody knows what is in use.")
    kinds = client.dra_kinds()
    if kinds is None:
        return found
    slices, claims = kinds
    try:
        may_read_slices = unless_forbidden(lambda: _read_slices(client, slices, found))
    except Permanent as error:
        if error.code != "not_found":
            raise
        return found  # discovery did not tell, and there is none
    if not may_read_slices:
        found.gaps.append("ResourceSlices may not be listed, so devices of DRA drivers are not seen.")
    if not unless_forbidden(lambda: _read_claims(client, claims, found, markers)):
        found.around.claims_unknown = "The use of its DRA devices is unknown: the account may not list resourceclaims."
        if found.around.pools:
            found.gaps.append("ResourceClaims may not be listed, so nobody knows which DRA devices are in use.")
    return found


def unless_forbidden(read: Callable[[], None]) -> bool:
    try:
        read()
    except Denied as error:
        if error.code != "forbidden":
            raise
        return False
    return True


def our_markers(client: Client, installation: str) -> dict[str, str]:
    """Our own namespaces, by name. An account that may not list them has never made one."""
    markers: dict[str, str] = {}

    def read() -> None:
        for page in client.pages(our_namespaces(installation), Namespace):
            for namespace in page.items:
                markers[namespace.metadata.name] = namespace.metadata.labels.allocation

    unless_forbidden(read)
    return markers


def _read_pods(client: Client, found: Look, markers: dict[str, str]) -> None:
    uses: dict[str, usage.NodeUse] = {}
    for page in client.pages(PODS, Pod):
        if page.is_restart:
            uses.clear()
        for pod in page.items:
            usage.add(uses, pod, markers)
        found.versions["pods"] = page.resource_version
    found.around.use = uses


def _read_slices(client: Client, kind: Kind, found: Look) -> None:
    pools = dra.Pools()
    for page in client.pages(kind, ResourceSlice):
        if page.is_restart:
            pools = dra.Pools()
        for piece in page.items:
            pools.add(piece)
        found.versions["resourceslices"] = page.resource_version
    found.around.pools = pools.by_node(found.warnings)


def _read_claims(client: Client, kind: Kind, found: Look, markers: dict[str, str]) -> None:
    held: dict[dra.Key, list[dra.Holding]] = {}
    for page in client.pages(kind, ResourceClaim):
        if page.is_restart:
            held.clear()
        for claim in page.items:
            for key, holding in dra.holdings(claim, markers):
                held.setdefault(key, []).append(holding)
        found.versions["resourceclaims"] = page.resource_version
    found.around.held = held


class Reports:
    """The Ascend agents' reports, asked for when the first Ascend node shows up.

    One list where the account may list ConfigMaps in kube-system, else one by one; without either, a warning.
    """

    def __init__(self, client: Client, warnings: list[str], *, is_one_by_one: bool = False) -> None:
        self._client = client
        self._warnings = warnings
        self._listed: dict[str, ascend.Report] | None = None
        self._is_forbidden = False
        self._is_asked = is_one_by_one

    def of(self, node: Node) -> ascend.Report | None:
        """Return the report of a node; None for other nodes, and where there is none."""
        if not ascend.is_here(node.status.capacity) or self._is_forbidden:
            return None
        if not self._is_asked:
            self._is_asked = True
            self._list()
        if self._listed is not None:
            return self._listed.get(node.metadata.name)
        try:
            found = self._client.config_map(ascend.NAMESPACE, f"{ascend.REPORT_PREFIX}{node.metadata.name}")
        except Denied as error:
            if error.code != "forbidden":
                raise
            self._is_forbidden = True
            self._warnings.append(
                "The account may not get configmaps in kube-system, so faults of Ascend chips are only counted."
            )
            return None
        return ascend.report(found.data) if found else None

    def _list(self) -> None:
        reports: dict[str, ascend.Report] = {}
        try:
            for page in self._client.pages(CONFIG_MAPS, ConfigMap):
                for found in page.items:
                    name = found.metadata.name
                    if name.startswith(ascend.REPORT_PREFIX) and (told := ascend.report(found.data)):
                        reports[name.removeprefix(ascend.REPORT_PREFIX)] = told
        except Permanent as error:
            if error.code not in ("forbidden", "too_large"):
                raise
            return
        self._listed = reports
