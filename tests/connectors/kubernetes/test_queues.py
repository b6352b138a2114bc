"""Quota by model through Kueue. Its objects are played as any other; that Kueue keeps to them is not shown here."""

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, Done, Order, Pending, Target
from connectors.kubernetes import queues
from tests.connectors.apply_contract import carry
from tests.connectors.contract import pages, refused
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import FLAVORS, NAMESPACES, NODES
from tests.connectors.server import Answer

H100, H20, GPU = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H20", "nvidia.com/gpu"
KUEUE = "/apis/kueue.x-k8s.io/v1beta2"
QUEUE, ENTRY = f"{KUEUE}/clusterqueues/oc-target", f"{KUEUE}/namespaces/oc-target/localqueues/ocenter"
FIRST = Order(marker="oc-first", allocation="A", member=0, resource=GPU, model=H100, milli=4000)
SECOND = replace(FIRST, marker="oc-second", model=H20, milli=2000)


def target(generation):
    return Target(kind="namespace", ref="oc-target", generation=generation, mode="kueue")


def limits(cluster):
    """The queue's limit for each model, by what the flavors select."""
    flavors = {item["metadata"]["name"]: item.get("spec", {}) for item in cluster.objects[FLAVORS].values()}
    return {
        tuple(flavors[flavor["name"]].get("nodeLabels", {}).values()): {
            told["name"]: told["nominalQuota"] for told in flavor["resources"]
        }
        for group in cluster.at(QUEUE)["spec"]["resourceGroups"]
        for flavor in group["flavors"]
    }


@pytest.fixture(autouse=True)
def _nodes(cluster):
    """One node of each of two models behind one resource name."""
    for style, model in (("h100", H100), ("h20", H20)):
        node = fleet.node(style)
        node["metadata"]["labels"]["nvidia.com/gpu.product"] = model
        cluster.put(NODES, node)


class TestModels:
    def test_behind_one_resource_name_are_told(self, connector):
        warnings = [warning for page in pages(connector) for warning in page.warnings]

        assert any(f"{GPU} stands for {H100}, {H20}:" in warning for warning in warnings)

    def test_each_have_a_limit_of_their_own(self, connector, cluster):
        found = carry(connector, target(1), [FIRST, SECOND]).found

        told = limits(cluster)
        assert (told[H100,], told[H20,]) == ({GPU: "4"}, {GPU: "2"}) and "cpu" in told[()]
        assert cluster.at(ENTRY)["spec"]["clusterQueue"] == "oc-target"
        assert cluster.at(QUEUE)["spec"]["namespaceSelector"]["matchLabels"] == {
            "kubernetes.io/metadata.name": "oc-target"
        }
        assert found.markers == ("oc-first", "oc-second") and found.enforced == ("quota",)

    def test_that_no_node_has_are_refused(self, connector):
        error = refused(connector.apply, target(1), [replace(FIRST, model="NVIDIA-B300")])

        assert error.code == "invalid" and "nvidia.com/gpu.product=NVIDIA-B300" in str(error)

    @pytest.mark.parametrize(("resource", "model"), [("huawei.com/Ascend910", "Ascend910"), (GPU, "")])
    def test_that_no_label_tells_are_refused(self, connector, resource, model):
        error = refused(connector.apply, target(1), [replace(FIRST, resource=resource, model=model)])

        assert error.code == "invalid"

    def test_in_cards_shared_by_time_are_found_by_the_label_that_says_so(self, connector, cluster):
        node = fleet.node("h100", 7)
        node["metadata"]["labels"]["nvidia.com/gpu.product"] = f"{H100}-SHARED"
        cluster.put(NODES, node)

        carry(connector, target(1), [replace(FIRST, profile="shared-4", milli=500)])

        assert limits(cluster)[f"{H100}-SHARED",] == {GPU: "2"}


class TestQueue:
    def test_is_planned_as_it_is_made_and_stays_as_it_is(self, connector):
        plan = connector.plan(target(1), [FIRST, SECOND])

        assert plan.calls == carry(connector, target(1), [FIRST, SECOND]).changes
        assert connector.plan(target(1), [SECOND, FIRST]).calls == ()

    def test_drops_the_flavor_of_a_model_that_is_no_longer_ordered(self, connector, cluster):
        carry(connector, target(1), [FIRST, SECOND])

        carry(connector, target(2), [FIRST])

        assert limits(cluster).keys() == {(H100,), ()} and len(cluster.objects[FLAVORS]) == 2

    def test_goes_with_all_of_its_flavors(self, connector, cluster):
        carry(connector, target(1), [FIRST, SECOND])

        done = carry(connector, target(2), [])

        assert done.found == Absent() and cluster.objects[FLAVORS] == {} and cluster.at(QUEUE) is None

    def test_that_was_left_by_a_break_goes_without_its_namespace_too(self, connector, cluster):
        carry(connector, target(1), [FIRST])
        cluster.lose("/api/v1/namespaces/oc-target")

        assert carry(connector, target(2), []).changes and cluster.at(QUEUE) is None

    def test_that_kueue_still_holds_is_waited_for(self, connector, cluster):
        carry(connector, target(1), [FIRST])
        cluster.at(QUEUE)["metadata"]["deletionTimestamp"] = "2026-11-26T00:00:00Z"

        assert isinstance(connector.apply(target(2), []), Pending)

        cluster.lose(QUEUE)
        assert connector.apply(target(2), []) == Done(found=Absent())

    def test_is_enforced_by_the_scheduler_once_kueue_says_that_it_is_active(self, connector, cluster):
        carry(connector, target(1), [FIRST])
        status = {"conditions": [{"type": "Active", "status": "True"}], "flavorsUsage": [{"name": "x"}]}
        cluster.edit(QUEUE, "kueue", lambda item: item.update(status=status))

        found = connector.probe(target(1))

        assert found.enforced == ("quota", "scheduler") and found.detail["queue"] == [{"name": "x"}]

    def test_leaves_nothing_of_ours_in_a_tenants_namespace(self, connector, cluster):
        meta = {"name": "team-a", "uid": "ns-team-a", "labels": {"team": "a"}}
        cluster.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "status": {}})
        tenants = replace(target(1), ref="team-a", is_tenants=True)
        carry(connector, tenants, [FIRST])
        assert cluster.at(f"{KUEUE}/namespaces/team-a/localqueues/ocenter")

        carry(connector, replace(tenants, generation=2), [])

        left = [items for path, items in cluster.objects.items() if "/namespaces/team-a/" in path and items]
        assert left == [] and cluster.objects[FLAVORS] == {} and cluster.at(f"{NAMESPACES}/team-a")

    def test_of_a_cluster_without_kueue_cannot_be_made_and_is_given_back(self, connector, cluster):
        absent = Answer(status=404, body=b"404 page not found\n", headers={"Content-Type": "text/plain"})
        cluster.refuse = lambda seen, at: absent if at.group == "kueue.x-k8s.io" else None

        assert refused(connector.apply, target(1), [FIRST]).code == "not_found"
        assert carry(connector, target(2), []).found == Absent()

    def test_of_another_target_with_a_longer_name_is_left(self, connector, cluster):
        carry(connector, target(1), [FIRST])
        carry(connector, replace(target(1), ref="oc-targets"), [FIRST])

        carry(connector, target(2), [])

        assert len(cluster.objects[FLAVORS]) == 2 and cluster.at(f"{KUEUE}/clusterqueues/oc-targets")


class TestANameThatBeginsLikeAnother:
    def test_does_not_make_the_flavors_of_one_target_those_of_the_other(self):
        short = replace(target(1), ref="ml")

        assert queues.is_flavor_of(short, "ml-any") and queues.is_flavor_of(short, "ml-0123456789")
        assert not queues.is_flavor_of(short, "ml-prod-any") and not queues.is_flavor_of(short, "ml-prod-0123456789")
