"""Show the key of a host that is to join a pool, so that a person can compare it with what the host's console shows.

Nothing logs in here, and nothing is trusted by it: the key is pinned when a person puts the printed object into the
pool's list of hosts.
"""

import asyncio

import asyncssh
import msgspec

from connectors import failures
from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.baremetal import hosts
from connectors.baremetal.hosts import Host
from connectors.baremetal.refusals import from_ssh
from connectors.baremetal.ssh import LOGIN_SECONDS, connected


def shown(address: str, port: int = 22, name: str = "", outgoing: Outgoing = BY_DEFAULT) -> Host:
    """Return the host with the key that it shows now. Raises a ConnectorError."""
    host = Host(name=name or address, address=address, port=port, host_key="")
    key = asyncio.run(_key(host, outgoing))
    return msgspec.structs.replace(host, host_key=key.export_public_key().decode().strip())


def words(host: Host) -> str:
    """Return what a person is shown: the fingerprint to compare, how to, and the object for the list of hosts."""
    listed = {name: value for name, value in msgspec.to_builtins(host).items() if value}
    return (
        f"{host.address} shows the key {hosts.fingerprint(host.key)}\n"
        "Compare it with what this prints on the host's own console:\n"
        f"  for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done\n"
        "Only if they are alike, add this to the pool's list of hosts:\n"
        f"{msgspec.json.encode(listed).decode()}\n"
    )


async def _key(host: Host, outgoing: Outgoing) -> asyncssh.SSHKey:
    way = await connected(host, outgoing)
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            key = await asyncssh.get_server_host_key(sock=way, config=None)
    except (OSError, asyncssh.Error) as error:  # TimeoutError is an OSError
        raise from_ssh(error, host) from None
    finally:
        way.close()
    if key is None:
        raise failures.not_this_kind(host.name, "it shows no host key")
    return key
