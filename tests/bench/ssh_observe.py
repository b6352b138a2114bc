"""Measures one whole look at many hosts over SSH: `python -m tests.bench.ssh_observe [--quick]`.

The hosts are played by a process of its own, each with its key, address and recorded tools, so that only the
connector's CPU seconds are seen. Prints flat JSON.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import structlog

from tests.connectors.server import connect_here

HOSTS, QUICK_HOSTS, CARDS = 200, 50, 8


def serve(count: int) -> None:
    """Make the hosts, print what a pool needs, and answer until the standard input is closed."""
    from tests.connectors.baremetal.double_ssh import Host, nvidia_xml, recorded, served

    def programs(number: int) -> dict[str, str]:
        if number % 4 == 0:
            return {"npu-smi info": recorded("npu-smi-info-910-hbm32g.txt")}
        if number % 4 == 1:
            return {"mx-smi": recorded("mx-smi-c550.txt"), "mx-smi -L": ""}
        return {"nvidia-smi -q -x": nvidia_xml(*(f"GPU-{number:04}-{card}" for card in range(CARDS)))}

    addresses = [f"127.77.{20 + number // 250}.{number % 250 + 1}" for number in range(count)]
    hosts = [Host(f"gpu{number:03}", address, programs(number)) for number, address in enumerate(addresses)]
    with served(hosts) as site:
        print(json.dumps({"settings": site.settings, "credential": site.credential}), flush=True)
        sys.stdin.read()


def measure(count: int) -> Iterator[tuple[str, float]]:
    """Yield the figures of one look, as a worker takes it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    command = [sys.executable, "-m", "tests.bench.ssh_observe", "serve", str(count)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        pool: dict[str, Any] = json.loads(server.stdout.readline())
        counts = dict.fromkeys(("nodes", "devices", "bytes"), 0)
        with connect_here("baremetal", pool["settings"], pool["credential"]) as connector:
            connector.identity()  # the imports are there in a worker too
            began_cpu, began = time.process_time(), time.monotonic()
            for page in connector.observe(None):
                counts["nodes"] += sum(node.is_available for node in page.nodes)
                counts["devices"] += sum(len(node.devices) for node in page.nodes)
                counts["bytes"] += page.byte_count
            yield f"ssh_{count}_cpu_s", time.process_time() - began_cpu
            yield f"ssh_{count}_wall_s", time.monotonic() - began
        for name, figure in counts.items():
            yield f"ssh_{count}_{name}", figure
    finally:
        server.communicate("")


def main(words: list[str]) -> None:
    """Measure, or serve when the first word says so."""
    if words[:1] == ["serve"]:
        serve(int(words[1]))
        return
    told = {name: round(figure, 2) for name, figure in measure(QUICK_HOSTS if "--quick" in words else HOSTS)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
