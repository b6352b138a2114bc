"""The management controllers of a pool's hosts: looked at beside each page, and told to switch a host."""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec.structs import replace

from connectors.baremetal.fleet import Fleet
from connectors.baremetal.hosts import Host
from connectors.baremetal.redfish import reading
from connectors.baremetal.redfish.client import Controller
from connectors.baremetal.redfish.joining import joined
from connectors.contract import ConnectorError, Page, Permanent, Reading
from connectors.tls import Tls


def controllers(fleet: Fleet) -> Mapping[str, Controller]:
    """Return the controllers by node ref, of the hosts that have one."""
    return {ref: found for ref, host in fleet.hosts.items() if (found := _controller(fleet, host))}


def told(fleet: Fleet, pages: Iterator[Page]) -> Iterator[Page]:
    """Yield the pages with what controllers tell of their nodes. One that does not answer is a warning."""
    known = controllers(fleet)
    for page in pages:
        here = {node.ref: known[node.ref] for node in page.nodes if node.ref in known}
        seen = reading.looks(here, fleet.outgoing) if here else {}
        nodes, warnings = list(page.nodes), list(page.warnings)
        for place, node in enumerate(nodes):
            found = seen.get(node.ref)
            if isinstance(found, ConnectorError):
                warnings.append(f"The management controller of {node.name} tells nothing: {found}")
            elif found is not None:
                nodes[place] = joined(node, found, warnings)
        yield replace(page, nodes=nodes, warnings=tuple(warnings))


def power(fleet: Fleet, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
    """Switch a host, as ``reading.switch`` says. Raises Permanent ``not_found`` or ``not_supported``."""
    controller = _controller(fleet, host := fleet.host(node_ref))
    if controller is None:
        raise Permanent(
            f"{host.name} has no management controller in the pool's settings, so it cannot be switched. Add its bmc.",
            code="not_supported",
        )
    return reading.switch(controller, fleet.outgoing, wanted)


def telemetry(fleet: Fleet) -> Iterator[Reading]:
    """Yield what controllers measure at cards. Those that do not answer tell nothing."""
    names = {ref: fleet.hosts[ref].name for ref in controllers(fleet)}
    for readings in reading.measured(controllers(fleet), fleet.outgoing, names):
        yield from readings


def _controller(fleet: Fleet, host: Host) -> Controller | None:
    if host.bmc is None:
        return None
    bracketed = f"[{host.bmc.address}]" if ":" in host.bmc.address else host.bmc.address
    return Controller(
        url=f"https://{bracketed}:{host.bmc.port}",
        user=fleet.settings["bmc_user"] or "",
        password=fleet.credential["bmc_password"] or "",
        tls=Tls(ca_pem=host.bmc.certificate, fingerprint=host.bmc.fingerprint),
        system=host.bmc.system,
    )
