"""The double of a Kubernetes cluster, to which tenants speak with the kubeconfig that they were given."""

import copy
from typing import Any

import httpx
import yaml

from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NAMESPACES, NODES, SLICES, TOKEN, Cluster, Object
from tests.connectors.server import FaultServer
from tests.life.platform import Given, Platform, Shape

H100 = {"any_of": [{"model": "nvidia-h100-80gb"}]}
GB200 = {"any_of": [{"model": "nvidia-gb200-186gb"}]}
MIG = {"any_of": [{"vendor": "nvidia", "profile": "1g.10gb"}]}
GPU, BY_DRA = "requests.nvidia.com/gpu", "gpu.nvidia.com.deviceclass.resource.k8s.io/devices"
STYLES = ("h100", "migmix", "dra")
SHAPES = {
    "quota": {
        Shape("two whole cards", {**H100, "devices_per_member": 2}): {GPU: 2},
        Shape("a gang of two", {**H100, "members": 2, "devices_per_member": 3}): {GPU: 6},
        Shape("three pieces by MIG", {**MIG, "devices_per_member": 3}): {"requests.nvidia.com/mig-1g.10gb": 3},
        Shape("four whole cards by DRA", {**GB200, "devices_per_member": 4}): {BY_DRA: 4},
    },
    "kueue": {Shape("two whole cards of one model", {**H100, "devices_per_member": 2}): {GPU: 2}},
}
"""What each shape comes to, as the quota of a namespace says it."""


class Kubernetes(Platform):
    """A cluster in one mode, with nodes of several vendors' ways to cut cards."""

    kind = "kubernetes"

    def __init__(self, cluster: Cluster, server: FaultServer, mode: str) -> None:
        self.name, self.mode = f"kubernetes-{mode}", mode
        self._cluster, self._server = cluster, server
        self.shapes = tuple(SHAPES[mode])

    @property
    def settings(self) -> dict[str, Any]:
        return {"api_url": self._server.url}

    @property
    def credential(self) -> dict[str, Any]:
        return {"token": TOKEN}

    def picture(self) -> dict[str, Any]:
        """Every object of the cluster by its path, without those that tell only of time."""
        return {path: copy.deepcopy(found) for path, found in self._cluster.objects.items() if found}

    def prove(self, given: Given) -> str:
        (delivery,) = given.deliveries
        namespace = delivery["facts"]["namespace"]
        with _client(delivery) as client:
            (quota,) = _ok(client.get("resourcequotas"))["items"]
            units = {name: int(count) for name, count in quota["spec"]["hard"].items()}
            assert units == SHAPES[self.mode][given.shape], units
            for elsewhere in ("/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces/default/pods", NAMESPACES):
                assert client.get(elsewhere).status_code == 403, elsewhere
            ((key, count),) = units.items()
            said = self._run(client, key.removeprefix("requests."), count) if key.startswith("requests.") else ""
        return f"with the kubeconfig: the quota of {namespace} is {count} of {key}{said}; outside of it nothing is open"

    def _run(self, client: httpx.Client, resource: str, count: int) -> str:
        assert client.post("pods", json=_pod("all", resource, count)).status_code == 201
        more = client.post("pods", json=_pod("more", resource, 1))
        assert more.status_code == 403 and "exceeded quota" in more.json()["message"], more.text
        return ", a pod with all of it is let in and one with one more is not"

    def prove_ended(self, given: Given) -> str:
        with _client(given.deliveries[0]) as client:
            assert client.get("resourcequotas").status_code == 401
        return "its token is refused"


def cluster() -> Cluster:
    """Return a cluster with a node of each style."""
    made = Cluster()
    for number, style in enumerate(STYLES):
        node = made.put(NODES, fleet.node(style, number))
        if style == "dra":
            made.put(SLICES, fleet.resource_slice(node["metadata"]["name"]))
    return made


def _client(delivery: Any) -> httpx.Client:
    told = yaml.safe_load(delivery["secrets"]["kubeconfig"])
    (context,), (server,), (user,) = told["contexts"], told["clusters"], told["users"]
    assert context["context"]["namespace"] == delivery["facts"]["namespace"]
    base = f"{server['cluster']['server']}/api/v1/namespaces/{context['context']['namespace']}/"
    return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {user['user']['token']}"})


def _pod(name: str, resource: str, count: int) -> Object:
    asked = {resource: str(count)}
    container = {"name": "main", "image": "train", "resources": {"requests": asked, "limits": asked}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def _ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()
