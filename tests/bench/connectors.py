"""What a look at a large platform costs its worker: client CPU against answers that were made beforehand.

Each program runs in a process of its own, as a worker would, and prints flat JSON; the platform is another process, so
only the connector's CPU seconds and memory are seen. The last one starts real services, where they are installed.
"""

import json
import subprocess
import sys

from tests.bench.frame import Frame

PROGRAMS = ("kubernetes_observe", "openstack_observe", "ssh_observe", "vsphere_observe", "openstack_real")


def run(frame: Frame) -> None:
    """Run every program; quick means small fleets."""
    for program in PROGRAMS:
        command = [sys.executable, "-m", f"tests.bench.{program}", *(["--quick"] if frame.is_quick else [])]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        for key, figure in json.loads(told).items():
            frame.results.record(key, figure, program)
