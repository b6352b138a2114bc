"""What stands between us and a host, in the contract's errors."""

import socket

import asyncssh
from msgspec import Struct

from connectors import failures
from connectors.baremetal.hosts import Host
from connectors.contract import ConnectorError, Denied, Permanent, Transient


class Seen(Struct, frozen=True):
    """The first bytes of a server that did not get as far as a key."""

    words: bytes


def from_ssh(error: Exception, host: Host, seen: Seen | None = None) -> ConnectorError:
    """Return the contract's error for what asyncssh, or the socket under it, raised on the way to a host."""
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return untrusted(host)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        # A host that has only keys of other types cannot show the pinned one either.
        return untrusted(host) if "host key" in str(error).lower() else _no_common_way(error, host)
    if isinstance(error, asyncssh.PermissionDenied):
        return Denied(
            f"{host.name} does not accept the key for this user. Put its public key into the account's authorized "
            "keys there, or give the pool another private key.",
            code="unauthorized",
            platform_words=str(error),
        )
    if isinstance(error, asyncssh.ChannelOpenError):
        return Transient(
            f"{host.name} opens no further session. Raise MaxSessions of its sshd; ocenter tries again.",
            code="throttled",
            platform_words=str(error),
        )
    if isinstance(error, asyncssh.Error) or (seen and seen.words):
        return _broken_off(error, host, seen or Seen(b""))
    if isinstance(error, TimeoutError):
        return Transient(
            f"{host.name} ({host.address}) did not answer in time. Check that it is up and that no firewall drops "
            "the connection.",
            code="timeout",
        )
    if isinstance(error, socket.gaierror):
        return failures.from_network(error, host.address)
    return Transient(
        f"{host.name} ({host.address}, port {host.port}) cannot be reached. Check that it is up, that sshd runs, and "
        "the way between.",
        platform_words=str(error),
    )


def untrusted(host: Host) -> Permanent:
    """The host shows another key than the pinned one; nobody but a person may decide that this is right."""
    return Permanent(
        f"{host.name} is untrusted: it shows another host key than the one that was confirmed. If it was installed "
        "anew, enrol it again and compare the fingerprint on its console; else somebody may stand in between.",
        code="tls_untrusted",
    )


def _no_common_way(error: Exception, host: Host) -> Permanent:
    return Permanent(
        f"No encrypted connection to {host.name} can be agreed on. Update its sshd, or the algorithms it allows.",
        code="tls_failed",
        platform_words=str(error),
    )


def _broken_off(error: Exception, host: Host, seen: Seen) -> ConnectorError:
    if b"MaxStartups" in seen.words:
        return Transient(
            f"{host.name} takes no more log-ins at the moment. Raise MaxStartups of its sshd; ocenter tries again.",
            code="throttled",
        )
    if seen.words and not seen.words.startswith(b"SSH-"):
        return failures.not_this_kind(host.name, "what answers there does not speak SSH", seen.words.decode("latin-1"))
    return failures.truncated(host.name, "the connection was closed before its end")
