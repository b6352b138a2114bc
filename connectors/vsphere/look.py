"""Looks at a whole vCenter."""

from collections.abc import Iterator

from connectors.contract import Cursor, Last, Page
from connectors.vsphere.client import Client
from connectors.vsphere.fleet import Fleet
from connectors.vsphere.known import known

HOSTS_PER_PAGE = 100


def observe(client: Client, installation: str, cursor: Cursor | None) -> Iterator[Page]:
    """Yield all hosts in the order of their uuids. Raises what the client raises.

    The cursor saves reading again what does not change; the observation is full all the same, and complete when nothing
    was hidden from it.
    """
    counted = client.byte_count
    fleet = Fleet(client, installation, known(cursor, client.content.about.instanceUuid))
    fleet.read_all()
    found = fleet.hosts()
    for start in range(0, len(found), HOSTS_PER_PAGE):
        nodes = fleet.facts(found[start : start + HOSTS_PER_PAGE])
        yield Page(nodes=nodes, byte_count=client.byte_count - counted)
        counted = client.byte_count
    because = " ".join(fleet.gaps)
    last = Last(complete=not because, cursor=fleet.known().cursor(), incomplete_because=because)
    yield Page(warnings=tuple(fleet.warnings), byte_count=client.byte_count - counted, last=last)
