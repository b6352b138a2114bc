"""The rules of all connectors, held by this one."""

import pytest

from connectors.contract import Transient
from tests.connectors.contract import ConnectorContract
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import CLAIMS, NODES, PODS, SLICES, TOKEN, recorded_answer
from tests.connectors.server import Answer, serving


@pytest.fixture(autouse=True)
def _fleet(cluster):
    """Two nodes of each style, a pod on each, DRA with a claim, and a node without accelerators."""
    paths = {"nodes": NODES, "pods": PODS, "slices": SLICES, "claims": CLAIMS}
    for key, item in fleet.bench_objects(2 * len(fleet.STYLES), pods_per_node=1):
        cluster.put(paths[key], item)
    plain = fleet.node("mlu", 99)
    del plain["status"]["capacity"]["cambricon.com/mlu"]
    cluster.put(NODES, plain)


class TestKubernetes(ConnectorContract):
    @pytest.fixture
    def secret(self):
        return TOKEN

    @pytest.fixture
    def at(self, open_session):
        """Open a session to a URL with the right credential, or another."""
        return lambda url, token=TOKEN: open_session("kubernetes", {"api_url": url, "page_size": 10}, {"token": token})

    @pytest.fixture
    def connect(self, at, server):
        return lambda: at(server.url)

    @pytest.fixture
    def with_wrong_credential(self, at, server):
        return at(server.url, TOKEN[::-1])

    @pytest.fixture
    def nowhere(self, at):
        with serving(lambda seen: Answer()) as gone:
            url = gone.url
        return at(url)

    @pytest.fixture
    def missing_permission(self):
        return "list pods"

    @pytest.fixture
    def without_permission(self, at, cluster):
        cluster.forbidden.add(PODS)
        cluster.rights = lambda asked: asked["resource"] != "pods"
        with serving(cluster) as other:
            yield at(other.url)

    @pytest.fixture
    def breaking(self, at, cluster):
        """The second page of nodes fails as often as it is asked for, until one observation gave up."""
        left = [recorded_answer("error_504_rv_too_large")] * 3

        def broken(seen, answer):
            return left.pop() if seen.path == NODES and "continue" in seen.query and left else answer

        with serving(cluster) as other:
            other.alter = broken
            yield at(other.url)

    def test_breaking_breaks_after_the_first_page(self, breaking):
        pages = breaking.observe(None)

        assert len(next(pages).nodes) == 10
        with pytest.raises(Transient):
            next(pages)
