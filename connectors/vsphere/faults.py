"""What the faults of a vCenter mean, by their type alone: its texts are in its own language."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyVmomi import vim, vmodl

from connectors.contract import ConnectorError, Denied, NoCapacity, Permanent, Transient

AFTER_SECONDS = 2.0


class Expired(Transient):
    """The session ended, and with it what was open in it: views, pages, collectors. Begin anew."""

    code = "expired"


class Duplicate(Exception):
    """The folder has a VM of that name already."""


class LostRace(Exception):
    """Somebody reconfigured or switched the VM between our read and our write."""


class AlreadySo(Exception):
    """The VM has the power state that was asked for."""


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Turn faults that vCenter raises into the contract's errors."""
    try:
        yield
    except vmodl.MethodFault as fault:
        raise error_of(fault, host) from fault


def error_of(fault: Any, host: str) -> Exception:
    """Return what a fault means."""
    words = str(getattr(fault, "localizedMessage", "") or fault.msg or type(fault).__name__)
    if isinstance(fault, vim.fault.DuplicateName):
        return Duplicate()
    if isinstance(fault, vim.fault.ConcurrentAccess):
        return LostRace()
    if isinstance(fault, vim.fault.InvalidPowerState):
        return AlreadySo() if fault.existingState == fault.requestedState else LostRace()
    return _of_the_platform(fault, host, words)


def _of_the_platform(fault: Any, host: str, words: str) -> ConnectorError:
    if isinstance(fault, vim.fault.InsufficientResourcesFault):
        return NoCapacity("The host has no room for these devices. Take another host.", platform_words=words)
    if isinstance(fault, vim.fault.NoDiskSpace):  # a FileFault, not of the kinds above
        return NoCapacity("The VM's datastore is full. Take another host, or free space.", platform_words=words)
    if isinstance(fault, vim.fault.InvalidLogin | vim.fault.NoPermission):
        return _of_the_account(fault, host, words)
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound):
        return Permanent(f"The object is no longer at {host}; read it again.", code="not_found", platform_words=words)
    if isinstance(fault, vim.fault.TaskInProgress):
        return Transient(
            "The VM has another task. ocenter tries again; see the VM's tasks if it stays so.",
            code="busy",
            platform_words=words,
            after_seconds=AFTER_SECONDS,
        )
    if isinstance(fault, vmodl.fault.HostNotConnected | vmodl.fault.HostCommunication | vim.fault.Timedout):
        return Transient("The VM's host does not answer vCenter. See the host.", platform_words=words)
    if isinstance(fault, vim.fault.VmConfigFault | vmodl.fault.InvalidArgument):
        return Permanent("vCenter refuses this; its own words say why.", code="rejected", platform_words=words)
    return Transient(
        f"{host} has a trouble of its own; see its log. ocenter asks what is there and tries again.",
        code="server_error",
        platform_words=words,
    )


def _of_the_account(fault: Any, host: str, words: str) -> ConnectorError:
    if isinstance(fault, vim.fault.NotAuthenticated):  # a kind of NoPermission
        return Expired(f"The session at {host} has ended. ocenter logs in again.", platform_words=words)
    if isinstance(fault, vim.fault.InvalidLogin):
        return Denied(
            f"{host} does not accept the credential. Put a valid user name and password into the pool.",
            code="unauthorized",
            platform_words=words,
        )
    return Denied(
        f"The account lacks {fault.privilegeId} on {host}. Give it the role in the platform's page.",
        code="forbidden",
        platform_words=words,
    )
