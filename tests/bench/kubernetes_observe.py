"""Measures one whole look at a large cluster: `python -m tests.bench.kubernetes_observe [--quick]`.

The cluster is made of recorded objects of every vendor style and served by a process of its own, so that only the
connector's CPU seconds and memory are seen. Prints flat JSON.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import structlog

from tests.bench import accounting
from tests.connectors.server import Answer, Seen, connect_here, serving

KEYS = ("nodes", "pods", "slices", "claims")
PODS_PER_NODE = 2


def serve(nodes: int, pods_per_node: int) -> None:
    """Make the cluster, print the URL, and answer until the standard input is closed."""
    from tests.connectors.kubernetes.double import CLAIMS, LIST_KINDS, NODES, PODS, SLICES, Cluster
    from tests.connectors.kubernetes.fleet import bench_objects

    items: dict[str, list[bytes]] = {path: [] for path in LIST_KINDS}
    path_of = dict(zip(KEYS, (NODES, PODS, SLICES, CLAIMS), strict=True))
    for key, item in bench_objects(nodes, pods_per_node):
        items[path_of[key]].append(msgspec.json.encode(item))
    cluster = Cluster()

    def answer(seen: Seen) -> Answer:
        if seen.path not in LIST_KINDS:
            return cluster(seen)
        start, limit = int(seen.query.get("continue") or 0), int(seen.query["limit"])
        token = start + limit if start + limit < len(items[seen.path]) else ""
        head = {"kind": LIST_KINDS[seen.path], "metadata": {"resourceVersion": "9", "continue": str(token)}}
        body = (
            msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(items[seen.path][start : start + limit]) + b"]}"
        )
        return Answer(body=body, headers={"Content-Type": "application/json"})

    with serving(answer) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def measure(nodes: int, pods_per_node: int) -> Iterator[tuple[str, float]]:
    """Yield the figures of one look, as a worker takes it."""
    from tests.connectors.kubernetes.double import TOKEN

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    command = [sys.executable, "-m", "tests.bench.kubernetes_observe", "serve", str(nodes), str(pods_per_node)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        counts = dict.fromkeys(("nodes", "devices", "uses", "bytes"), 0)
        with connect_here("kubernetes", {"api_url": url}, {"token": TOKEN}) as connector:
            connector.identity()  # the connection and the imports are there in a worker too
            named = f"k8s_full_{nodes // 1000}k"
            yield f"{named}_rss_before_mib", accounting.peak_rss_mib(os.getpid())
            began_cpu, began = time.process_time(), time.monotonic()
            for page in connector.observe(None):
                counts["nodes"] += len(page.nodes)
                counts["devices"] += sum(len(node.devices) for node in page.nodes)
                counts["uses"] += sum(len(device.uses) for node in page.nodes for device in node.devices)
                counts["uses"] += sum(len(counter.uses) for node in page.nodes for counter in node.counters)
                counts["bytes"] += page.byte_count
            yield f"{named}_cpu_s", time.process_time() - began_cpu
            yield f"{named}_wall_s", time.monotonic() - began
        yield f"{named}_rss_mib", accounting.peak_rss_mib(os.getpid())
        for name, count in counts.items():
            yield f"{named}_{name}", count
    finally:
        server.communicate("")


def main(words: list[str]) -> None:
    """Measure, or serve when the first word says so."""
    if words[:1] == ["serve"]:
        serve(int(words[1]), int(words[2]))
        return
    nodes = 1000 if "--quick" in words else 5000
    told = {name: round(figure, 2) for name, figure in measure(nodes, PODS_PER_NODE)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
