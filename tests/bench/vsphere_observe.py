"""Measures looks at a large vCenter: `python -m tests.bench.vsphere_observe [--quick]`.

500 hosts of 8 GPUs and 5,000 plain VMs, by the double. A process of its own answers with what it made for an earlier
look, so that only the connector's CPU seconds are seen. Prints flat JSON.
"""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import structlog

from connectors.contract import CanWatch, Cursor, Page
from connectors.vsphere import changes
from tests.bench import accounting
from tests.connectors.server import Answer, Authority, Seen, connect_here, serving

GPUS, PCI_DEVICES, HOSTS_A_CLUSTER, VMS_A_HOST = 8, 20, 50, 10
QUIET_ROUNDS = 20
RECORDED = ("RetrievePropertiesEx", "ContinueRetrievePropertiesEx", "WaitForUpdatesEx", "QueryConfigTarget")
_OF_A_SESSION = re.compile(rb'type="(ContainerView|PropertyCollector)">[^<]*<')


def vcenter(hosts: int) -> Any:
    """Make the double's inventory."""
    from pyVmomi import vim

    from tests.connectors.vsphere.double import LAYOUT, VCenter
    from tests.connectors.vsphere.double_gpus import H100, Gpu
    from tests.connectors.vsphere.double_inventory import Host

    class Large(Host):
        """A host whose other PCI devices could be given to VMs as well."""

        def shown(self) -> dict[str, Any]:
            told = super().shown()
            config = told["config"]() if callable(told["config"]) else told["config"]
            for number in range(PCI_DEVICES - GPUS):
                address = f"0000:00:{number:02x}.0"
                config.pciPassthruInfo.append(
                    vim.host.PciPassthruInfo(
                        id=address,
                        dependentDevice=address,
                        passthruCapable=False,
                        passthruEnabled=False,
                        passthruActive=False,
                    )
                )
            return {**told, "config": config}

    made = VCenter(clusters=-(-hosts // HOSTS_A_CLUSTER), gpus=0)
    made.hurry = 1e6
    for first in made.hosts[:: len(LAYOUT)]:
        assert first.parent is not None
        for place in range(HOSTS_A_CLUSTER - len(LAYOUT)):
            more = Large(vim.HostSystem(f"{first.ref._moId}-{place}", None), f"{first.name}-{place}", first.parent, [])
            more.datastores, more.product = first.datastores, first.product
            made._add(more)
    for host in made.hosts:
        host.gpus = [Gpu(f"0000:{0x17 + 8 * card:02x}:00.0", "vgpu", H100) for card in range(GPUS)]
        for vm in range(VMS_A_HOST):
            made.add_vm(f"vm-{host.name}-{vm}", host)
    return made


def serve(hosts: int) -> None:
    """Make the inventory, print where it answers and its CA, and answer until the standard input is closed."""
    from tests.connectors.vsphere.double_soap import method_of

    double: Callable[[Seen], Answer] = vcenter(hosts)
    recorded, authority = dict[bytes, Answer](), Authority()

    def answer(seen: Seen) -> Answer:
        key = _OF_A_SESSION.sub(b"", seen.body)
        told = recorded.get(key) or double(seen)
        if method_of(seen) in RECORDED:
            recorded[key] = told
        return told

    with serving(answer, identity=authority.identity()) as server:
        print(json.dumps([server.url, authority.pem]), flush=True)
        sys.stdin.read()


def measure(hosts: int) -> Iterator[tuple[str, float]]:
    """Yield the figures of looks, as a worker takes them, and of a quiet round of a watch."""
    from tests.connectors.vsphere.double_methods import PASSWORD, USER

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    changes.QUIET_SECONDS = 0  # every quiet round tells a page
    command = [sys.executable, "-m", "tests.bench.vsphere_observe", "serve", str(hosts)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url, ca_pem = json.loads(server.stdout.readline())
        settings, credential = {"url": url, "username": USER, "ca_pem": ca_pem}, {"password": PASSWORD}
        with connect_here("vsphere", settings, credential) as connector:
            cursor = cursor_of(list(connector.observe(None)))
            list(connector.observe(cursor))  # the server has all answers now
            assert isinstance(connector, CanWatch)
            next(connector.watch(cursor))
        with connect_here("vsphere", settings, credential) as connector:
            connector.identity()
            for name, start in (("first", None), ("lean", cursor)):
                began = time.process_time()
                seen = list(connector.observe(start))
                yield f"vsphere_{name}_{hosts}_cpu_s", time.process_time() - began
                yield f"vsphere_{name}_{hosts}_bytes", sum(page.byte_count for page in seen)
            yield f"vsphere_lean_{hosts}_devices", sum(len(node.devices) for page in seen for node in page.nodes)
            assert isinstance(connector, CanWatch)
            began = time.process_time()
            watched = connector.watch(cursor)
            next(watched)
            yield f"vsphere_watch_start_{hosts}_cpu_s", time.process_time() - began
            began = time.process_time()
            list(islice(watched, QUIET_ROUNDS))
            yield "vsphere_nochange_cpu_ms", (time.process_time() - began) * 1000 / QUIET_ROUNDS
        yield f"vsphere_{hosts}_rss_mib", accounting.peak_rss_mib(os.getpid())
    finally:
        server.communicate("")


def cursor_of(seen: Sequence[Page]) -> Cursor:
    """Return the cursor of a look."""
    last = seen[-1].last
    assert last is not None and last.cursor is not None
    return last.cursor


def main(words: list[str]) -> None:
    """Measure, or serve when the first word says so."""
    if words[:1] == ["serve"]:
        serve(int(words[1]))
        return
    told = {name: round(figure, 3) for name, figure in measure(100 if "--quick" in words else 500)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
