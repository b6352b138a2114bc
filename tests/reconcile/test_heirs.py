"""What a removed pool left on its platform is found, and taken off, through the pool that was registered after it."""

import copy
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from connectors.simulated.state import Store
from pools.domain.orphans import GRACE_SECONDS
from pools.domain.request import Choice
from pools.models import Allocation, Orphan, Pool, PoolSync, SyncRun
from pools.reconcile import allocations, checks, inventory, targets
from pools.services import bootstrap, claims, orphans, pools, sync_runs
from tests.connectors.baremetal.double_host import HelpedHost
from tests.connectors.baremetal.double_ssh import nvidia_xml
from tests.connectors.baremetal.double_ssh import served as hosts
from tests.connectors.openstack.live import living
from tests.connectors.openstack.nova import LiveWithNova
from tests.connectors.server import Authority, serving
from tests.connectors.vsphere import double as vsphere
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.factories import ALICE, Clock, granted, project
from tests.life.cluster import Kubernetes, cluster
from tests.reconcile.far_end import TOKEN
from tests.reconcile.test_platforms import activated
from tests.services.asking import PLENTY, asked, quota

pytestmark = pytest.mark.django_db(transaction=True)
H100 = Choice(model="nvidia-h100-80gb")
IMAGE = "11111111-2222-3333-4444-555555555555"


class Site(Struct):
    """A platform in one mode, what of it can be asked for, and what it shows of what it gave out."""

    kind: str
    mode: str
    settings: Mapping[str, Any]
    credential: Mapping[str, Any]
    choice: Choice
    picture: Callable[[], Any]
    origin: str = "seen"
    """Of what a removed pool left: a quota that nobody uses now is not seen in use, and is there all the same."""
    heir_mode: str = ""


@contextmanager
def _hosts(folder):
    host = HelpedHost("gpu01", "127.77.9.21", {"nvidia-smi -q -x": nvidia_xml(*"ABCD")}, folder)
    with hosts([host]) as site:
        choice = Choice(model="nvidia-t4-16gb")
        yield Site("baremetal", "device", site.settings, site.credential, choice, host.played.snapshot)


@contextmanager
def _kubernetes(_folder):
    made = cluster()
    with serving(made) as server:
        told = Kubernetes(made, server, "quota")
        yield Site("kubernetes", "quota", told.settings, told.credential, H100, told.picture, origin="left")


@contextmanager
def _openstack(mode, heir_mode=""):
    with living(LiveWithNova()) as (double, cloud):
        settings = {**cloud.settings, "server_image": IMAGE}

        def picture():
            kept = (double.servers, double.flavors, double.profiles, double.requests, double.consumers)
            return copy.deepcopy(kept)

        yield Site("openstack", mode, settings, cloud.credential, H100, picture, heir_mode=heir_mode)


@contextmanager
def _vsphere(_folder):
    vcenter, authority = vsphere.busy(), Authority()
    with vsphere.running(vcenter, authority) as server:
        settings = {"url": server.url, "username": USER, "ca_pem": authority.pem}

        def names():
            return sorted(thing.name for thing in vcenter.things.values() if hasattr(thing, "extra"))

        choice = Choice(vendor="nvidia", profile="a100-20c")
        yield Site("vsphere", "vgpu", settings, {"password": PASSWORD}, choice, names)


@contextmanager
def _simulated(folder, mode, origin="seen"):
    settings = {"fleet": "far", "state_folder": str(folder), "nodes": 2, "devices_per_node": 4}
    folder.mkdir(exist_ok=True)
    settings |= {"models": "NVIDIA H100 80GB HBM3", "latency_ms": 1}
    store = Store(str(folder), "far")
    yield Site("simulated", mode, settings, {"token": TOKEN}, H100, lambda: store.read().targets, origin=origin)


SITES = {
    "baremetal": _hosts,
    "kubernetes": _kubernetes,
    "openstack placement": lambda _folder: _openstack("placement"),
    "openstack nova": lambda _folder: _openstack("nova"),
    "openstack in another mode": lambda _folder: _openstack("placement", "nova"),
    "vsphere": _vsphere,
    "simulated device": lambda folder: _simulated(folder, "device"),
    "simulated node": lambda folder: _simulated(folder, "node"),
    "simulated pool": lambda folder: _simulated(folder, "pool", "left"),
}


@pytest.fixture(params=SITES)
def site(request, tmp_path):
    bootstrap.load_catalogue()
    with SITES[request.param](tmp_path / "far") as site:
        yield site


@pytest.fixture
def clock():
    return Clock()


def registered(site, clock, name):
    fields = {"settings": site.settings, "credential": site.credential}
    return activated(clock, name=name, kind=site.kind, mode=site.mode, **fields)[0]


def claimed(site, pool, clock, **fields) -> UUID:
    team = project("acme/vision")
    granted(pool, team)
    PoolSync.objects.filter(pool=pool).update(health="online", observed_at=clock())
    (answer,) = claims.submit([asked(team, 1, any_of=(site.choice,), **fields)], now=clock())
    assert isinstance(answer, claims.Made), answer
    return answer.allocation_id


def work(pool, clock):
    """Some rounds of workers: platforms that take their time are asked again."""
    for _ in range(8):
        allocations.advance(clock=clock)
        targets.run(pool_id=pool.id, clock=clock)
        allocations.advance(clock=clock)
        clock.forward(seconds=5)


class TestWhatARemovedPoolLeft:
    def test_is_reaped_through_the_pool_that_stands_for_its_platform_now(self, site, clock):
        empty = site.picture()
        left_behind(site, clock)
        assert site.picture() != empty
        heir = registered_again(site, clock)
        found = list(Orphan.objects.filter(closed_at=None))
        assert {(each.pool_id, each.origin) for each in found} == {(heir.id, site.origin)}

        reap_all(heir, clock)

        assert site.picture() == empty
        observed_now(heir, clock)
        assert [each.outcome for each in Orphan.objects.all()] == ["reaped"] * len(found)
        after = claimed(site, heir, clock)
        work(heir, clock)
        assert Allocation.objects.get(id=after).state == "active", "the platform gives out again"

    def test_of_a_quota_is_over_when_a_worker_found_that_it_is_gone(self, clock, tmp_path):
        """No sync can tell, for nobody has to use a quota."""
        bootstrap.load_catalogue()
        with SITES["simulated pool"](tmp_path) as site:
            left_behind(site, clock)
            with Store(str(tmp_path), "far").changing() as state:
                state.targets.clear()
            heir = registered_again(site, clock)
            rows = Orphan.objects.filter(closed_at=None)
            assert len(rows) == 2
            clock.forward(seconds=GRACE_SECONDS)
            for each in rows:
                orphans.reap(orphan_id=each.id, actor=ALICE, now=clock())
            observed_now(heir, clock)
            assert Orphan.objects.filter(closed_at=None).exists(), "no worker was there yet"

            work(heir, clock)

            observed_now(heir, clock)
            assert [each.outcome for each in Orphan.objects.all()] == ["reaped"] * 2

    def test_of_a_quota_is_over_when_what_is_called_so_is_somebody_elses(self, clock, tmp_path):
        bootstrap.load_catalogue()
        with SITES["simulated pool"](tmp_path) as site:
            left_behind(site, clock)
            heir = registered_again(site, clock)
            with Store(str(tmp_path), "far").changing() as state:
                for target in state.targets.values():
                    target.installation, target.orders, target.placed = "somebody's", {}, {}

            reap_all(heir, clock)

            assert all(each.target.trouble["code"] == "not_ours" for each in Orphan.objects.filter(closed_at=None))
            observed_now(heir, clock)
            assert [each.outcome for each in Orphan.objects.all()] == ["reaped"] * 2


def left_behind(site, clock) -> None:
    """Give out two members through a pool, and remove it by force while it does not answer."""
    old = registered(site, clock, "old")
    team = project("acme/vision")
    quota(team, None, PLENTY, quota(team.parent, None, PLENTY))
    id = claimed(site, old, clock, members=2)
    work(old, clock)
    assert Allocation.objects.get(id=id).state == "active"
    clock.forward(minutes=20)
    PoolSync.objects.filter(pool=old).update(consecutive_failures=1)
    pools.remove(pool_id=old.id, actor=ALICE, now=clock(), force_name="old")


def reap_all(heir, clock) -> None:
    clock.forward(seconds=GRACE_SECONDS)
    for each in Orphan.objects.filter(closed_at=None):
        orphans.reap(orphan_id=each.id, actor=ALICE, now=clock())
    work(heir, clock)


def registered_again(site, clock):
    """Register the same platform anew, take over what was left there, and look."""
    fields = {"settings": site.settings, "credential": site.credential}
    heir = pools.register(
        name="heir", kind=site.kind, mode=site.heir_mode or site.mode, actor=ALICE, now=clock(), **fields
    )
    checks.run(pool_id=heir.id, clock=clock)
    for each in Orphan.objects.filter(closed_at=None):
        orphans.adopt(orphan_id=each.id, actor=ALICE, now=clock())
    pools.activate(pool_id=heir.id, actor=ALICE, now=clock())
    observed_now(heir, clock)
    return Pool.objects.get(id=heir.id)


def observed_now(pool, clock):
    """Look at the whole platform, whatever the schedule says."""
    clock.forward(minutes=1)
    run_id = sync_runs.request(pool_id=pool.id, actor=ALICE, now=clock())
    inventory.run(pool_id=pool.id, clock=clock)
    run = SyncRun.objects.get(id=run_id)
    assert run.state == "succeeded" and run.complete, run.error
