"""The hosts of a pool, as its settings list them. A host without a pinned key is never connected to."""

from collections.abc import Mapping

import asyncssh
import msgspec
from msgspec import Struct

from connectors.contract import Permanent


class Bmc(Struct, frozen=True, forbid_unknown_fields=True):
    """A host's management controller: where its Redfish answers, and the CA or certificate to trust (PEM), or its pin.

    ``system`` is the host's Redfish id, where one controller tells several servers.
    """

    address: str
    port: int = 443
    certificate: str = ""
    fingerprint: str = ""
    system: str = ""


class Host(Struct, frozen=True, forbid_unknown_fields=True):
    """One host. ``host_key`` is its public key as OpenSSH writes it; ``user`` is empty for the pool's own."""

    name: str
    address: str
    host_key: str
    port: int = 22
    user: str = ""
    bmc: Bmc | None = None

    @property
    def key(self) -> asyncssh.SSHKey:
        """The pinned public key."""
        return asyncssh.import_public_key(self.host_key)

    @property
    def ref(self) -> str:
        """What names the node in facts and targets: no other host can show this key."""
        return fingerprint(self.key)


def fingerprint(key: asyncssh.SSHKey) -> str:
    """Return ``SHA256:...`` as OpenSSH shows it to people."""
    return str(key.get_fingerprint("sha256"))


def read(text: str) -> Mapping[str, Host]:
    """Return the hosts of a setting by their refs, in its order. Raises Permanent ``invalid_settings``."""
    try:
        listed = msgspec.json.decode(text, type=list[Host])
    except msgspec.DecodeError as error:
        raise _invalid(f"The list of hosts cannot be read: {error}.") from None
    found: dict[str, Host] = {}
    for host in listed:
        if not 0 < host.port < 65536:
            raise _invalid(f"Host {host.name} has no port between 1 and 65535.")
        try:
            ref = host.ref
        except asyncssh.KeyImportError:
            raise _invalid(f"The host key of {host.name} is no public key in OpenSSH's format.") from None
        if ref in found:
            raise _invalid(f"{found[ref].name} and {host.name} have one host key, so they cannot be told apart.")
        if any(other.name == host.name for other in found.values()):
            raise _invalid(f"Two hosts are called {host.name}.")
        found[ref] = host
    return found


def _invalid(why: str) -> Permanent:
    return Permanent(f"{why} Correct the setting; enrol prints what belongs there.", code="invalid_settings")
