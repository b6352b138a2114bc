"""Changes of a cluster as they come: news are told, heartbeats are not, and doubt asks for a look at all."""

import threading
import time

import pytest

from connectors.contract import Transient
from tests.connectors.ability_contract import WatchContract
from tests.connectors.contract import last_of, pages
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import CLAIMS, NAMESPACES, NODES, PODS, SLICES, TOKEN, recorded_answer
from tests.connectors.server import INSTALLATION, connect_here


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("connectors.kubernetes.changes.GATHER_SECONDS", 0.1)
    monkeypatch.setattr("connectors.kubernetes.changes.RETURN_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def _fleet(cluster):
    """Two nodes of each style, a pod on each, and DRA with claims."""
    paths = {"nodes": NODES, "pods": PODS, "slices": SLICES, "claims": CLAIMS}
    for key, item in fleet.bench_objects(2 * len(fleet.STYLES), pods_per_node=1):
        cluster.put(paths[key], item)


@pytest.fixture
def connect(server):
    opened = []

    def connect():
        settings = {"api_url": server.url, "page_size": 10}
        opened.append(connect_here("kubernetes", settings, {"token": TOKEN}))
        return opened[-1].__enter__()

    yield connect
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture
def connector(connect):
    return connect()


def named(cluster, name):
    return next(item for item in cluster.objects[NODES].values() if item["metadata"]["name"] == name)


def cordon(cluster, name="gpu-h100-00000"):
    node = named(cluster, name)
    node["spec"]["unschedulable"] = not node["spec"].get("unschedulable", False)
    return cluster.put(NODES, node)["metadata"]["uid"]


def begun(connector):
    """A watch from a look at all, and its cursor."""
    cursor = last_of(pages(connector)).cursor
    return connector.watch(cursor), cursor


def next_told(watched):
    return next(page for page in watched if page.nodes or page.gone)


def later(work, seconds=0.5):
    """Do it when the watch has begun."""
    threading.Timer(seconds, work).start()


def ours(allocation):
    """The namespace ``team``, given out to an allocation."""
    labels = {"ocenter.io/installation": INSTALLATION, "ocenter.io/allocation": allocation}
    return {"kind": "Namespace", "metadata": {"name": "team", "uid": "team", "labels": labels}}


def in_namespace(pod):
    return {**pod, "metadata": {**pod["metadata"], "namespace": "team"}}


def markers(page):
    (node,) = page.nodes
    return {use.marker for device in node.devices for use in device.uses if use.marker}


class TestKubernetesWatch(WatchContract):
    @pytest.fixture
    def change(self, cluster):
        return lambda: cordon(cluster)


class TestAChange:
    def test_of_a_node_is_told_with_its_devices_and_use(self, connector, cluster):
        watched, cursor = begun(connector)
        before = {node.ref: node for page in pages(connector) for node in page.nodes}
        ref = cordon(cluster)

        page = next_told(watched)

        (node,) = page.nodes
        assert (node.ref, node.unavailable_reason) == (ref, "It is cordoned.")
        assert node.devices == before[ref].devices and not page.is_full
        assert page.last.cursor["versions"] != cursor["versions"]

    def test_of_a_pod_is_told_as_its_nodes_use(self, connector, cluster):
        watched, _ = begun(connector)
        later(lambda: cluster.put(PODS, fleet.plain_pod("gpu-h100-00000", 900, "nvidia.com/gpu", 2)))

        (node,) = next_told(watched).nodes

        assert sum(1 for device in node.devices if device.uses) >= 2 and node.name == "gpu-h100-00000"

    def test_of_a_pod_that_ended_frees_what_it_used(self, connector, cluster):
        pod = cluster.put(PODS, fleet.plain_pod("gpu-h100-00000", 900, "nvidia.com/gpu", 4))
        watched, _ = begun(connector)
        used = sum(len(n.devices) and sum(map(bool, (d.uses for d in n.devices))) for p in pages(connector)
                   for n in p.nodes if n.name == "gpu-h100-00000")  # fmt: skip
        pod["status"]["phase"] = "Succeeded"
        later(lambda: cluster.put(PODS, pod))

        (node,) = next_told(watched).nodes

        assert sum(map(bool, (device.uses for device in node.devices))) < used

    def test_of_a_claim_is_told_as_its_nodes_use(self, connector, cluster):
        watched, _ = begun(connector)
        claim = next(item for item in cluster.objects[CLAIMS].values() if item.get("status", {}).get("allocation"))
        later(lambda: cluster.remove(CLAIMS, claim["metadata"]["uid"]))

        assert len(next_told(watched).nodes) == 1

    def test_of_a_deleted_node_is_told_as_gone(self, connector, cluster):
        watched, _ = begun(connector)
        uid = named(cluster, "gpu-h20-00001")["metadata"]["uid"]
        later(lambda: cluster.remove(NODES, uid))

        assert next_told(watched).gone == (uid,)

    def test_of_a_node_that_comes_back_under_its_name_is_one_gone_and_one_new(self, connector, cluster):
        watched, _ = begun(connector)
        node = named(cluster, "gpu-h20-00001")
        old = node["metadata"]["uid"]
        cluster.remove(NODES, old)
        cluster.put(NODES, {**node, "metadata": {**node["metadata"], "uid": "another-uid"}})

        page = next_told(watched)

        assert (page.gone, [node.ref for node in page.nodes]) == ((old,), ["another-uid"])

    def test_comes_with_others_of_the_moment_as_one_page(self, connector, cluster, monkeypatch):
        monkeypatch.setattr("connectors.kubernetes.changes.GATHER_SECONDS", 1.0)
        watched, _ = begun(connector)
        names = ["gpu-h100-00000", "gpu-h20-00001"]
        later(lambda: [cordon(cluster, name) for name in names])

        assert {node.name for node in next_told(watched).nodes} == set(names)


class TestOurNamespace:
    """What runs in it is ours by its labels, whether or not its pods change."""

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch):
        monkeypatch.setattr("connectors.kubernetes.changes.MARKERS_SECONDS", 0.2)

    @pytest.fixture
    def namespace(self, cluster):
        """One of ours with a pod on a node."""
        cluster.put(PODS, in_namespace(fleet.plain_pod("gpu-h100-00000", 900, "nvidia.com/gpu", 2)))
        return cluster.put(NAMESPACES, ours("oc-a"))

    def test_given_to_another_allocation_carries_the_new_marker(self, connector, cluster, namespace):
        watched, _ = begun(connector)
        later(lambda: cluster.put(NAMESPACES, ours("oc-b")))

        assert markers(next_told(watched)) == {"oc-b"}

    def test_whose_labels_were_taken_off_is_nobodys(self, connector, cluster, namespace):
        watched, _ = begun(connector)
        later(lambda: cluster.put(NAMESPACES, {**namespace, "metadata": {"name": "team", "uid": "team", "labels": {}}}))

        assert markers(next_told(watched)) == set()

    def test_that_somebody_made_anew_under_its_name_is_not_ours(self, connector, cluster, namespace):
        watched, _ = begun(connector)

        def anew():
            cluster.remove(NAMESPACES, "team")
            cluster.put(NAMESPACES, {"kind": "Namespace", "metadata": {"name": "team", "uid": "anew", "labels": {}}})

        later(anew)

        assert markers(next_told(watched)) == set()

    def test_that_a_watched_namespace_became_carries_the_marker(self, connector, cluster):
        cluster.put(PODS, in_namespace(fleet.plain_pod("gpu-h100-00000", 900, "nvidia.com/gpu", 2)))
        watched, _ = begun(connector)
        later(lambda: cluster.put(NAMESPACES, ours("oc-a")))

        assert markers(next_told(watched)) == {"oc-a"}

    def test_that_cannot_be_asked_for_is_believed_to_be_as_it_was(self, connector, cluster, server, namespace):
        watched, _ = begun(connector)

        def failing(seen, answer):
            return recorded_answer("error_504_rv_too_large", 503) if seen.path == NAMESPACES else answer

        later(lambda: setattr(server, "alter", failing))
        later(lambda: cluster.put(PODS, in_namespace(fleet.plain_pod("gpu-h100-00000", 901, "nvidia.com/gpu", 1))), 1.5)

        assert markers(next_told(watched)) == {"oc-a"}


class TestAHeartbeat:
    def test_of_a_kubelet_tells_nothing(self, connector, cluster, monkeypatch):
        monkeypatch.setattr("connectors.kubernetes.changes.QUIET_SECONDS", 1.0)
        watched, cursor = begun(connector)

        def beat():
            for node in list(cluster.objects[NODES].values()):
                for condition in node["status"].get("conditions", ()):
                    condition["lastHeartbeatTime"] = "2026-11-26T00:00:00Z"
                cluster.put(NODES, node)

        later(beat)
        time.sleep(0.1)
        page = next(watched)
        while page.last.cursor["versions"]["nodes"] == cursor["versions"]["nodes"]:
            page = next(watched)

        assert (page.nodes, page.gone) == ((), ())


class TestALookAtAll:
    def test_is_wanted_when_changes_are_forgotten(self, connector, cluster):
        watched, _ = begun(connector)
        cordon(cluster)
        cluster.restart()

        assert list(watched) == []

    def test_is_wanted_when_another_cluster_answers(self, connector, cluster):
        watched, _ = begun(connector)
        cluster.uid = "b5f3f3a0-0000-4000-8000-00000000beef"

        assert list(watched) == []

    def test_is_wanted_when_the_cluster_was_put_back(self, connector, cluster):
        watched, _ = begun(connector)
        cluster.version -= 500

        assert list(watched) == []

    def test_is_wanted_when_it_is_put_back_during_the_watch(self, connector, cluster):
        watched, _ = begun(connector)

        def put_back():
            cluster.version -= 500

        later(put_back)

        assert list(watched) == []


class TestTrouble:
    def test_that_passes_is_passed_over(self, connector, cluster, server):
        watched, _ = begun(connector)
        later(lambda: server.play(recorded_answer("error_429_throttled"), path=PODS))
        later(lambda: cordon(cluster), 1.0)

        assert len(next_told(watched).nodes) == 1

    def test_that_stays_is_told(self, connector, cluster, server):
        watched, _ = begun(connector)

        def broken(seen, answer):
            return recorded_answer("error_504_rv_too_large", 500) if seen.query.get("watch") else answer

        server.alter = broken

        with pytest.raises(Transient):
            list(watched)
