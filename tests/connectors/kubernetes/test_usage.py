"""Every case was run against a kube-scheduler 1.36: a pod of exactly the rest was bound, one more unit was refused."""

import msgspec
import pytest

from connectors.kubernetes import usage
from connectors.kubernetes.payloads import Pod
from tests.connectors.kubernetes.double import recorded

GPU = "nvidia.com/gpu"


def asks(units, **more):
    return {"name": f"c{units}", "resources": {"requests": {GPU: str(units)}}, **more}


def sidecar(units):
    return asks(units, restartPolicy="Always")


def read(body):
    return msgspec.convert(body, Pod)


def pod(main, init=(), **spec):
    return read(
        {
            "metadata": {"name": "p", "namespace": "team", "uid": "u"},
            "spec": {"nodeName": "n", "containers": main, "initContainers": list(init), **spec},
            "status": {"phase": "Running"},
        }
    )


def counted(*pods, markers=None):
    uses: dict[str, usage.NodeUse] = {}
    for found in pods:
        usage.add(uses, found, markers or {})
    return uses


class TestRequested:
    @pytest.mark.parametrize(
        ("init", "main", "held_back"),
        [
            ([], [3, 2], 5),
            ([asks(6)], [4], 6),
            ([sidecar(2)], [4], 6),
            ([sidecar(2), asks(5)], [2], 7),
            ([asks(5), sidecar(2)], [2], 5),
            ([asks(3), asks(6), asks(2)], [1], 6),
            ([sidecar(1), sidecar(2)], [1], 4),
        ],
    )
    def test_counts_init_containers_and_sidecars_as_the_scheduler_does(self, init, main, held_back):
        found = pod([asks(units) for units in main], init)

        requested = usage.requested(found)

        assert requested == {GPU: held_back}

    def test_adds_the_overhead_of_the_runtime(self):
        found = pod([asks(1)], overhead={"cpu": "250m", "memory": "128Mi"})

        requested = usage.requested(found)

        assert requested == {GPU: 1, "cpu": 250, "memory": 128 * 2**20}

    def test_takes_the_level_of_the_pod_where_it_is_given(self):
        container = {"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi", GPU: "2"}}}
        found = pod([container], resources={"requests": {"cpu": "4"}})

        requested = usage.requested(found)

        assert requested == {"cpu": 4000, "memory": 2**30, GPU: 2}

    def test_leaves_the_clusters_own_resources_out(self):
        amounts = {"hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi", "example.kubernetes.io/odd": "3", GPU: "1"}
        found = pod([{"name": "c", "resources": {"requests": amounts}}])

        requested = usage.requested(found)

        assert requested == {GPU: 1}

    def test_leaves_out_what_a_claim_serves(self):
        found = read(recorded("pod_extended_resource_by_dra"))

        requested = usage.requested(found)

        assert requested == {"cpu": 1, "memory": 2**20}


class TestAdd:
    def test_counts_a_pod_that_is_bound_and_not_yet_running(self):
        pending = read(recorded("pod_hold_scheduled"))

        uses = counted(pending)

        assert uses["gpu-h100-02876"].pods[0].units == {GPU: 2}

    def test_counts_a_terminating_pod(self):
        body = recorded("pod_running")
        body["metadata"]["deletionTimestamp"] = "2026-11-22T00:00:00Z"

        uses = counted(read(body))

        assert uses["gpu-h100-00000"].pods[0].units == {GPU: 2}

    @pytest.mark.parametrize("name", ["pod_succeeded", "pod_failed", "pod_pending_unschedulable"])
    def test_counts_neither_ended_pods_nor_such_without_a_node(self, name):
        found = read(recorded(name))

        assert counted(found) == {}

    def test_sums_cpu_and_memory_of_all_pods_of_a_node(self):
        uses = counted(read(recorded("pod_running")), read(recorded("pod_init_container")))

        use = uses["gpu-h100-00000"]
        assert (use.cpu_milli, use.memory_bytes) == (16_000, 128 * 2**30)
        assert [(pod.holder, pod.units) for pod in use.pods] == [
            ("team-00/train-00000-1", {GPU: 2}),
            ("team-00/train-00000-0", {GPU: 4}),
        ]

    def test_has_the_mark_of_our_namespace(self):
        uses = counted(read(recorded("pod_running")), markers={"team-00": "oc-abc"})

        assert uses["gpu-h100-00000"].pods[0].marker == "oc-abc"

    @pytest.mark.parametrize("where", ["labels", "annotations"])
    def test_takes_no_mark_from_a_pod_itself_which_is_the_tenants_to_write(self, where):
        body = recorded("pod_running")
        body["metadata"].setdefault(where, {}).update({"ocenter.io/allocation": "oc-a", "ocenter.io/installation": ""})

        assert counted(read(body))["gpu-h100-00000"].pods[0].marker is None
