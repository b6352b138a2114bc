"""Looks at 508 cards of real OpenStack services: `python -m tests.bench.openstack_real [--quick]`.

Starts Keystone, Placement and Cyborg from OCENTER_BACKENDS (docs/backends.md) and throws them away afterwards: three
minutes, ten on a busy machine. Prints flat JSON: nothing with ``--quick`` or without the services, and says why.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from connectors.openstack.client import Cloud
from tests.connectors.openstack.backend import Backend, free_ports, run
from tests.connectors.server import connect_here
from tests.groups import ENVIRONMENT

CARDS, HOSTS, VGPU_HOSTS, VGPU_CARDS = 508, 64, 1, 2
START_SECONDS = 1800


def measure(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield the figures of one look at a cloud that is there for no longer than that."""
    name, cards = "measured", CARDS - VGPU_CARDS
    fleet = ("--hosts", HOSTS - VGPU_HOSTS, "--gpus", cards, "--vgpu-hosts", VGPU_HOSTS)
    began = time.monotonic()
    try:
        started = run(
            folder / "up", "--name", name, "--port-base", str(free_ports()), *map(str, fleet), seconds=START_SECONDS
        )
        yield f"openstack_real_{CARDS}_start_s", time.monotonic() - began
        yield from look(Backend(started, name))
    finally:
        run(folder / "down", "--name", name, "--purge")


def look(backend: Backend) -> Iterator[tuple[str, float]]:
    """Yield what the second look takes, with everything imported and logged in. Raises AssertionError for a part."""
    with connect_here("openstack", backend.settings(), backend.credential) as connector:
        list(connector.observe(None))
        cloud: Cloud = connector._inner._cloud  # type: ignore[attr-defined]  # nothing public counts calls
        calls, began, began_cpu = cloud.call_count, time.monotonic(), time.process_time()
        pages = list(connector.observe(None))
        took_seconds, took_cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
        calls = cloud.call_count - calls
    nodes = [node for page in pages for node in page.nodes]
    devices = sum(len(node.devices) for node in nodes)
    assert pages[-1].last is not None and pages[-1].last.complete and (len(nodes), devices) == (HOSTS, CARDS)
    yield f"openstack_real_{CARDS}_observe_s", took_seconds
    yield f"openstack_real_{CARDS}_observe_cpu_s", took_cpu_seconds
    yield f"openstack_real_{CARDS}_list_calls", calls
    yield f"openstack_real_{CARDS}_bytes", sum(page.byte_count for page in pages)


def main(words: list[str]) -> None:
    """Measure where the services can be started, and say why not where they cannot."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = Path(ENVIRONMENT["OCENTER_BACKENDS"], "openstack")
    why = ""
    if "--quick" in words:
        why = "their start takes minutes"
    elif not (folder / "up").is_file():
        why = f"there is no {folder}/up, see docs/backends.md"
    if why:
        print(f"SKIPPED: {CARDS} cards of real OpenStack services: {why}.", file=sys.stderr, flush=True)
    told = {} if why else dict(measure(folder))
    print(json.dumps({key: round(figure, 3) for key, figure in told.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
