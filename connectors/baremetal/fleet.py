"""One pool's hosts and the ways to them, made once for a session; what every part of this connector is given."""

from collections.abc import Mapping
from typing import Any

from connectors.addresses import Outgoing
from connectors.baremetal import hosts
from connectors.baremetal.hosts import Host
from connectors.baremetal.ssh import Ssh
from connectors.contract import Permanent


class Fleet:
    """``hosts`` by node ref, ``ssh`` to say commands to them, and what the session gave."""

    def __init__(self, settings: Mapping[str, Any], credential: Mapping[str, Any], outgoing: Outgoing) -> None:
        self.settings = settings
        self.credential = credential
        self.outgoing = outgoing
        self.site: str = settings["site"]
        self.hosts = hosts.read(settings["hosts"])
        self.ssh = Ssh(settings["user"], credential["private_key"], credential["passphrase"], outgoing)

    def host(self, node_ref: str | None) -> Host:
        """Return a host by its node ref. Raises Permanent ``not_found``."""
        if node_ref is None or node_ref not in self.hosts:
            raise Permanent(
                f"No host of this pool has the key {node_ref}. Enrol it again, or give back what was on it.",
                code="not_found",
            )
        return self.hosts[node_ref]
