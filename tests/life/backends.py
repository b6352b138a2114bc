"""The platforms that are walked on, each started for as long as its walks last."""

import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.connectors.baremetal.prepared import prepared
from tests.connectors.openstack.backend import running as cloud
from tests.connectors.server import serving
from tests.connectors.vsphere.backend import running as vcenter
from tests.life import vcenter as vcenters
from tests.life import walk as walking
from tests.life.clouds import OpenStack
from tests.life.cluster import SHAPES, Kubernetes, cluster
from tests.life.hosts import Hosts
from tests.life.platform import Platform
from tests.life.tenant import tenant_of
from tests.life.vcenter import VSphere


def walk(name: str) -> int:
    """Walk on a platform, one line for each thing that is seen; return 1 when something is wrong."""
    try:
        with ALL[name]() as platforms:
            for platform in platforms:
                with tenant_of(platform) as tenant:
                    for shape in platform.shapes:
                        walking.walk(tenant, shape, _say)
    except pytest.skip.Exception as skipped:
        _say(f"{name}: NOT walked on: {skipped}")
    except Exception:
        traceback.print_exc()
        _say(f"{name}: FAILED")
        return 1
    return 0


@contextmanager
def _hosts() -> Iterator[list[Platform]]:
    with prepared() as real, tempfile.TemporaryDirectory() as folder:
        yield [Hosts(real, Path(folder))]


@contextmanager
def _kubernetes() -> Iterator[list[Platform]]:
    made = cluster()
    with serving(made) as server:
        yield [Kubernetes(made, server, mode) for mode in SHAPES]


@contextmanager
def _vsphere() -> Iterator[list[Platform]]:
    with vcenter("walk") as backend:
        yield [VSphere(backend, mode) for mode in vcenters.SHAPES]


@contextmanager
def _openstack() -> Iterator[list[Platform]]:
    with cloud("walk") as without_nova:
        yield [OpenStack(without_nova, "placement")]


@contextmanager
def _nova() -> Iterator[list[Platform]]:
    with cloud("walk-nova", "--nova") as with_nova:
        yield [OpenStack(with_nova, "nova")]


def _say(line: str) -> None:
    print(line, flush=True)


ALL: Final[Mapping[str, Callable[[], AbstractContextManager[list[Platform]]]]] = {
    "kubernetes": _kubernetes,
    "hosts": _hosts,
    "vsphere": _vsphere,
    "openstack": _openstack,
    "nova": _nova,
}
