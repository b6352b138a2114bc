"""The one door to the network for all that connectors say over HTTP. It looks at each address before it connects."""

import ipaddress
import socket
import ssl
from collections.abc import Iterable

import httpcore
import httpx

from connectors import addresses
from connectors.addresses import Address, Outgoing
from connectors.contract import Permanent


def transport(trust: ssl.SSLContext, proxy: str | None, outgoing: Outgoing) -> httpx.HTTPTransport:
    """Return httpx's transport with our door in it. Raises Permanent ``invalid_settings``: no such proxy."""
    if not proxy:
        return _Direct(trust, None, outgoing)
    try:
        is_usable = httpx.URL(proxy).scheme in ("http", "https")
    except httpx.InvalidURL:
        is_usable = False
    if not is_usable:
        raise Permanent("The proxy must be an http:// or https:// address.", code="invalid_settings")
    return _ThroughProxy(trust, proxy, outgoing)


class _Direct(httpx.HTTPTransport):
    def __init__(self, trust: ssl.SSLContext, proxy: str | None, outgoing: Outgoing) -> None:
        super().__init__(verify=trust, trust_env=False, proxy=proxy)
        # httpx has no argument for it. Asked first, so that a version that names it otherwise fails and opens nothing.
        if not isinstance(self._pool._network_backend, httpcore.SyncBackend):
            raise TypeError("this version of httpx connects in another way; see connectors/door.py")
        self._pool._network_backend = Door(outgoing)


class _ThroughProxy(_Direct):
    """The proxy is connected to through the door; what lies behind it can be judged by its name only."""

    def __init__(self, trust: ssl.SSLContext, proxy: str, outgoing: Outgoing) -> None:
        super().__init__(trust, proxy, outgoing)
        self._outgoing = outgoing

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises Permanent ``address_denied``."""
        host = request.url.host
        if why := self._outgoing.objection_to_name(host):
            raise addresses.refused(host, why, addresses.literal(host))
        return super().handle_request(request)


class Door(httpcore.NetworkBackend):
    """Opens connections, and only to addresses to which there is no objection.

    The name is looked up once for a connection, and what was looked at is what is connected to.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first permitted address that answers. Raises Permanent ``address_denied`` when there is none.

        Nothing else opens connections here: httpcore's base class refuses Unix sockets.
        """
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        objections = {address: self._outgoing.objection(host, address) for address in _looked_up(host, port)}
        if objections and all(objections.values()):
            address, why = next(iter(objections.items()))
            raise addresses.refused(host, why, address)
        for address in (address for address, why in objections.items() if not why):
            try:
                return self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _looked_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(ipaddress.ip_address(each[4][0]) for each in found))
