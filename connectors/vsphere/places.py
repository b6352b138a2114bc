"""Where hosts stand: the datacenter as region, the cluster as zone."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from pyVmomi import vim

from connectors.vsphere.client import Client


class _Place(Struct, frozen=True):
    level: str
    name: str
    parent: Any


class Places:
    """What is above hosts, read as far as it is asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, _Place] = {}

    def read(self, refs: Iterable[Any]) -> None:
        """Learn these parents of hosts and all above them. One call for each level and type."""
        unknown = self._unknown(refs)
        while unknown:
            above = []
            for kind in sorted({type(ref) for ref in unknown.values()}, key=lambda kind: kind.__name__):
                alike = [ref for ref in unknown.values() if type(ref) is kind]
                for seen in self._client.read(alike, ["name", "parent"], is_lean=True):
                    place = _Place(_level(seen.ref), str(seen.values.get("name") or ""), seen.values.get("parent"))
                    self._known[seen.ref._GetMoId()] = place
                    above.append(place.parent)
            for moid in unknown.keys() - self._known.keys():
                self._known[moid] = _Place("", "", None)  # it is gone, or not ours to see
            unknown = self._unknown(above)

    def topology(self, parent: Any) -> dict[str, str]:
        """Return what is known of a host's place, from wide to narrow."""
        found: dict[str, str] = {}
        place = self._of(parent)
        while place is not None:
            if place.level and place.name:
                found[place.level] = place.name
            place = self._of(place.parent)
        return {level: found[level] for level in ("region", "zone") if level in found}

    def _of(self, ref: Any) -> _Place | None:
        return self._known.get(ref._GetMoId()) if ref is not None else None

    def _unknown(self, refs: Iterable[Any]) -> Mapping[str, Any]:
        found = {ref._GetMoId(): ref for ref in refs if ref is not None}
        return {moid: ref for moid, ref in found.items() if moid not in self._known}


def _level(ref: Any) -> str:
    if isinstance(ref, vim.Datacenter):
        return "region"
    return "zone" if isinstance(ref, vim.ClusterComputeResource) else ""
