"""The sizes of vGPU profiles: vCenter tells them by cluster (7.0.3 and later), else their names do."""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import Permanent
from connectors.vsphere.client import Client
from connectors.vsphere.faults import translated
from connectors.vsphere.hosts import Host
from connectors.vsphere.profiles import Profile, profile


class Sizes:
    """Profiles by name. ``told`` are the GiB that vCenter told, 0 where it told none; it may be kept for later."""

    def __init__(self, client: Client, told: Mapping[str, int]) -> None:
        self.told = dict(told)
        self.profiles: dict[str, Profile] = {name: profile(name, gib) for name, gib in told.items()}
        self._client = client
        self._asked: set[str] = set()

    def learn(self, hosts: Sequence[Host], used: Sequence[str]) -> None:
        """Ask for the profiles of hosts that are new, once for each cluster; ``used`` are names that VMs have."""
        for host in hosts:
            new = [name for name in host.types if name not in self.told]
            if new and host.parent is not None and host.parent._GetMoId() not in self._asked:
                self._asked.add(host.parent._GetMoId())
                self._ask(host.parent, new)
            for name in host.types:
                self.profiles.setdefault(name, profile(name))
        for name in used:
            self.profiles.setdefault(name, profile(name))

    def _ask(self, cluster: Any, new: Sequence[str]) -> None:
        found = self._client.read([cluster], ["environmentBrowser"])
        browser = found[0].values.get("environmentBrowser") if found else None
        if browser is None:
            return
        try:
            with translated(self._client.host):
                target = browser.QueryConfigTarget(None)
        except Permanent:
            return  # the names say it, too
        told = {str(each.profileName): int(each.fbSizeInGib or 0) for each in (target and target.vgpuProfileInfo) or ()}
        for name in sorted({*told, *new}):
            self.told[name] = told.get(name, 0)
            self.profiles[name] = profile(name, self.told[name])
