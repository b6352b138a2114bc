"""Where ocenter may connect to. Whoever registers a pool names an address that a worker inside the network will call.

Private networks are allowed, since pools live there. What lies on the worker's own machine or speaks for its cloud is
not, unless the operator says so. Decided on the address that is connected to, so neither a name that changes its mind
nor another way to write an address gets around it.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; the metadata services of the clouds' own documentation.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator

from msgspec import Struct

from connectors.contract import Permanent

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALLOW, DENY = "OCENTER_OUTGOING_ALLOW", "OCENTER_OUTGOING_DENY"

_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), why)
    for why, networks in {
        "this machine itself": ("127.0.0.0/8", "::1"),
        "no address of one machine": ("0.0.0.0/8", "::", "240.0.0.0/4"),
        "the metadata service of a cloud": (
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
        ),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    }.items()
    for network in networks
)
_CARRIERS = tuple(ipaddress.IPv6Network(carrier) for carrier in ("::/96", "::ffff:0:0/96", "64:ff9b::/96"))
"""Networks whose last 32 bits are an IPv4 address: compatible, mapped, NAT64."""
_LOCAL_NAME = re.compile(r"(?:.+\.)?localhost(?:\.localdomain)?")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")


class Places(Struct, frozen=True):
    """Networks and host names, as an operator lists them."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def has(self, host: str, faces: Iterable[Address] = ()) -> bool:
        """Whether the name, or one of the addresses, is among them."""
        return host in self.names or any(face in network for face in faces for network in self.networks)


def places(texts: Iterable[str]) -> Places:
    """Read addresses, networks (``10.0.0.0/8``) and host names. Raises ValueError that names the one it cannot read."""
    networks: list[Network] = []
    names: set[str] = set()
    for text in texts:
        name = _normal(text)
        try:
            networks.append(ipaddress.ip_network(name))
        except ValueError:
            if "/" in name or name.replace(".", "").isdigit() or not _NAME.fullmatch(name):
                raise ValueError(
                    f"{text!r} is no address, network or host name; write 127.0.0.1, 10.0.0.0/8 or pool.example.org"
                ) from None
            names.add(name)
    return Places(tuple(networks), frozenset(names))


class Outgoing(Struct, frozen=True):
    """The rules of one installation. What the operator denies wins over what is allowed, and that over our own rules.

    An allowed host name may lead anywhere: whoever rules its DNS zone is trusted then.
    """

    allowed: Places = Places()
    denied: Places = Places()

    def objection(self, host: str, address: Address) -> str:
        """Return why nobody may connect to the address that the host has now; empty when one may."""
        host, faces = _normal(host), tuple(_faces(address))
        if self.denied.has(host, faces):
            return f"denied by {DENY}"
        if self.allowed.has(host, faces):
            return ""
        return next((why for network, why in _REFUSED for face in faces if face in network), "")

    def objection_to_name(self, host: str) -> str:
        """Return what can be said against a host without a name service: it is an address, or denied by its name.

        All that can be known of what lies behind a proxy, which looks names up itself.
        """
        if (address := literal(host)) is not None:
            return self.objection(host, address)
        name = _normal(host)
        if self.denied.has(name):
            return f"denied by {DENY}"
        return self.objection(name, ipaddress.IPv4Address("127.0.0.1")) if _LOCAL_NAME.fullmatch(name) else ""


BY_DEFAULT = Outgoing()
"""Nothing added by an operator."""


def literal(host: str) -> Address | None:
    """Return the address that the text is in any way the system reads (``127.1``, ``0x7f000001``), None for a name."""
    try:
        found = socket.getaddrinfo(_normal(host), None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return ipaddress.ip_address(found[0][4][0])


def refused(host: str, why: str, address: Address | None = None) -> Permanent:
    """The error for an address that may not be connected to, with the way out."""
    where = f"{host} leads to {address}" if address is not None and str(address) != _normal(host) else host
    way_out = (
        f"Take it out of {DENY}, if a pool is there."
        if DENY in why
        else f"If a pool is really there, let the operator add {address or _normal(host)} to {ALLOW}."
    )
    return Permanent(
        f"ocenter does not connect to {where}: {why}. Check the address in the pool's settings. {way_out}",
        code="address_denied",
    )


def _faces(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 address that it carries."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in carrier for carrier in _CARRIERS):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour is not None:
            yield address.sixtofour


def _normal(host: str) -> str:
    return host.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")
