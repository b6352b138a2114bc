"""The main job on real input: clusters and clouds through their own protocols, as recorded, into the inventory."""

import pytest
from django.db.models import Sum

from pools.domain.actors import Actor
from pools.models import Capacity, CapacityRollup, Device, Node, SyncRun
from pools.reconcile import checks, inventory
from pools.services import bootstrap, pools, sync_runs
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NODES, PODS, TOKEN, Cluster, recorded
from tests.connectors.openstack.double import served
from tests.connectors.server import Authority, serving
from tests.connectors.vsphere import double as vsphere
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import method_of
from tests.factories import Clock

pytestmark = pytest.mark.django_db(transaction=True)
ME = Actor(name="operator")


@pytest.fixture(autouse=True)
def _catalogue():
    bootstrap.load_catalogue()


def activated(clock, **fields):
    """Add a pool as an operator does: draft, check, preview, activate; return it after its first run."""
    made = pools.register(actor=ME, now=clock(), **fields)
    found = checks.run(pool_id=made.id, clock=clock)
    assert found is not None and found["reachable"] and found["watch"]["ok"], found
    preview = sync_runs.request(pool_id=made.id, is_dry_run=True, actor=ME, now=clock())
    assert inventory.run(pool_id=made.id, clock=clock) == preview
    assert not Node.objects.filter(pool=made).exists(), "a preview writes nothing"
    pools.activate(pool_id=made.id, actor=ME, now=clock())
    run = observed(made, clock)
    assert run.state == "succeeded" and run.complete, run.error
    assert SyncRun.objects.get(id=preview).created == run.created, "the preview told what came"
    return made, run


def again(made, clock) -> SyncRun:
    clock.forward(minutes=2)
    return observed(made, clock)


def observed(made, clock) -> SyncRun:
    run_id = inventory.run(pool_id=made.id, clock=clock)
    assert run_id is not None, "nothing was due"
    return SyncRun.objects.get(id=run_id)


class TestAKubernetesPool:
    def test_is_registered_previewed_and_kept_in_step(self):
        clock, cluster = Clock(), Cluster()
        for number, style in enumerate(fleet.STYLES):
            cluster.put(NODES, fleet.node(style, number))
        cluster.put(PODS, fleet.pod("gpu-h100-00000"))

        with serving(cluster) as server:
            settings = {"api_url": server.url, "page_size": 10}
            made, run = activated(clock, name="k8s", kind="kubernetes", settings=settings, credential={"token": TOKEN})
            assert again(made, clock).unchanged == run.seen
            busy = cluster.put(PODS, fleet.pod("gpu-h100-00000", 1))
            one_more = again(made, clock)
            cluster.remove(PODS, busy["metadata"]["uid"])
            one_less = again(made, clock)

        assert Node.objects.count() == len(fleet.STYLES)
        assert (one_more.changed, one_less.changed) == (3, 3), "the node and the two cards of the pod"
        h100 = Device.objects.filter(node__name="gpu-h100-00000")
        assert set(h100.values_list("model__slug", flat=True)) == {"nvidia-h100-80gb"}
        assert sum(device.shadow_milli for device in h100) == 2000
        promised = CapacityRollup.objects.get(
            is_advisory=False, kind="counter", model__slug="nvidia-h100-80gb", profile=None
        )
        seen = Capacity.objects.filter(is_advisory=True, model__slug="nvidia-h100-80gb", profile=None)
        assert promised.total_milli == seen.aggregate(n=Sum("total_milli"))["n"]

    def test_of_another_cluster_behind_the_same_address_is_refused(self):
        clock, cluster = Clock(), Cluster()
        cluster.put(NODES, recorded("node_h100"))
        with serving(cluster) as server:
            made, _ = activated(
                clock, name="k8s", kind="kubernetes", settings={"api_url": server.url}, credential={"token": TOKEN}
            )
            cluster.uid = "22222222-2222-2222-2222-222222222222"

            run = again(made, clock)

        assert run.state == "failed" and run.error is not None and run.error["code"] == "identity_changed"
        assert Node.objects.filter(missing_since=None).count() == 1


class TestAnOpenStackPool:
    def test_is_registered_previewed_and_kept_in_step(self):
        clock = Clock()
        with served("idle") as cloud:
            made, run = activated(
                clock, name="cyborg", kind="openstack", settings=cloud.settings, credential=cloud.credential
            )
            same = again(made, clock)

        assert (Node.objects.count(), Device.objects.count()) == (5, 34)
        assert same.unchanged == run.seen
        assert Device.objects.filter(model__slug="nvidia-h100-80gb").exists()
        assert Capacity.objects.filter(kind="counter", profile__isnull=False).aggregate(n=Sum("units"))["n"] == 16


class TestAVSpherePool:
    @pytest.fixture
    def vcenter(self):
        vcenter = vsphere.busy()
        vcenter.page_limit = 5
        return vcenter

    @pytest.fixture
    def fields(self, vcenter):
        authority = Authority()
        with vsphere.running(vcenter, authority) as self.server:
            settings = {"url": self.server.url, "username": USER, "ca_pem": authority.pem}
            yield {"name": "vsphere", "kind": "vsphere", "settings": settings, "credential": {"password": PASSWORD}}

    def test_is_registered_previewed_and_kept_in_step(self, vcenter, fields):
        clock = Clock()

        made, run = activated(clock, **fields)
        same = again(made, clock)
        vcenter.add_vm("theirs-new", vcenter.hosts[4], vsphere.vgpu_device("grid_a100-40c"))
        one_more = again(made, clock)

        assert (Node.objects.count(), Device.objects.count()) == (8, 12) and same.unchanged == run.seen
        assert one_more.changed == 2, "the node and the card of the VM"
        assert set(Device.objects.values_list("model__slug", flat=True)) == {
            "nvidia-a100-pcie-40gb",
            "nvidia-h100-pcie-80gb",
        }

    def test_whose_session_ends_in_the_middle_of_a_sync_loses_nothing(self, vcenter, fields):
        clock = Clock()
        made, run = activated(clock, **fields)

        def ended(seen):
            if method_of(seen) == "ContinueRetrievePropertiesEx":
                self.server.handler = vcenter
                vcenter.end_sessions()
            return vcenter(seen)

        self.server.handler = ended
        after = again(made, clock)

        assert self.server.handler is vcenter and (after.state, after.unchanged) == ("succeeded", run.seen)
        assert not Node.objects.exclude(missing_since=None).exists()
