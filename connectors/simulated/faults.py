"""The errors that a simulated platform can be told to give, in the words of a real one."""

import os
from collections.abc import Mapping

from connectors.contract import ConnectorError, Denied, NoCapacity, Permanent, Transient

CODES: Mapping[str, tuple[type[ConnectorError], str]] = {
    "unreachable": (Transient, "The simulated platform cannot be reached. Turn off its fault to go on."),
    "dns_failed": (Transient, "The name of the simulated platform cannot be resolved. Check the pool's settings."),
    "timeout": (Transient, "The simulated platform did not answer in time. ocenter asks what was done."),
    "truncated": (Transient, "The answer of the simulated platform is incomplete. It is asked again."),
    "throttled": (Transient, "The simulated platform asks us to slow down. ocenter does."),
    "server_error": (Transient, "The simulated platform has a trouble of its own. ocenter tries again."),
    "tls_untrusted": (Permanent, "The certificate is not trusted. Give its CA or fingerprint in the pool's settings."),
    "not_this_kind": (Permanent, "Something else answers at this address. Check the pool's settings."),
    "too_large": (Permanent, "The answer is too large. Ask for smaller pages in the pool's settings."),
    "rejected": (Permanent, "The simulated platform refuses the request. Its own words say why."),
    "conflict": (Transient, "Somebody else changed the target at the same time; read it again first."),
    "unauthorized": (Denied, "The credential is not accepted. Put a valid one into the pool's credential."),
    "forbidden": (Denied, "The account may not do this. Give it the permissions that the pool's check lists."),
    "no_capacity": (NoCapacity, "The simulated platform has no room for the orders."),
}


def strike(code: str) -> None:
    """Fail with a code: raise its error, break like a bug does, or die like a killed process."""
    if code == "die":
        os._exit(137)
    if code == "bug":
        raise ZeroDivisionError("a bug in the simulated platform")
    kind, message = CODES[code]
    if kind is Transient:
        raise Transient(message, code=code, after_seconds=1.0 if code == "throttled" else None)
    raise kind(message, code=code, platform_words=f"the platform said: {code}")
