"""The rules of all connectors, held by this one."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, Order, Target, Transient
from tests.connectors.ability_contract import AccessContract, LeaseContract
from tests.connectors.apply_contract import ApplyContract, ResizeContract, SeveralOrdersContract, carry
from tests.connectors.contract import ConnectorContract, Sessions
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import CLAIMS, NAMESPACES, NODES, PODS, SLICES, TOKEN, recorded_answer
from tests.connectors.server import INSTALLATION, Answer, json_answer, serving
from tests.connectors.write_faults import WriteFaultContract

GPU, H100 = "nvidia.com/gpu", "NVIDIA-H100-80GB-HBM3"


@pytest.fixture(autouse=True)
def _fleet(cluster):
    """Two nodes of each style, a pod on each, DRA with a claim, and a node without accelerators."""
    paths = {"nodes": NODES, "pods": PODS, "slices": SLICES, "claims": CLAIMS}
    for key, item in fleet.bench_objects(2 * len(fleet.STYLES), pods_per_node=1):
        cluster.put(paths[key], item)
    plain = fleet.node("mlu", 99)
    del plain["status"]["capacity"]["cambricon.com/mlu"]
    cluster.put(NODES, plain)


class OnDouble(Sessions):
    """What the rules need, on the double."""

    mode = ""

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def secret(self):
        return TOKEN

    @pytest.fixture
    def at(self, open_session):
        """Open a session to a URL with the right credential, or another."""
        settings = {"page_size": 10}
        return lambda url, token=TOKEN, **more: open_session(
            "kubernetes", {"api_url": url, **settings}, {"token": token}, **more
        )

    @pytest.fixture
    def connect(self, at, server):
        return lambda **more: at(server.url, **more)

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

    # --- orders -------------------------------------------------------------------------------------------------------

    @pytest.fixture
    def target(self):
        return lambda generation: Target(kind="namespace", ref="oc-target", generation=generation, mode=self.mode)

    @pytest.fixture
    def orders(self):
        return [
            Order(marker="oc-first", allocation="A", member=0, resource=GPU, model=H100, milli=4000),
            Order(marker="oc-second", allocation="B", member=0, resource=GPU, model=H100, milli=1000),
        ]

    @pytest.fixture
    def smaller(self, orders):
        return replace(orders[0], milli=2000)

    @pytest.fixture
    def other_target(self):
        return lambda generation: Target(kind="namespace", ref="oc-other", generation=generation, mode=self.mode)

    @pytest.fixture
    def other_orders(self):
        return [Order(marker="oc-third", allocation="C", member=0, resource=GPU, model=H100, milli=8000)]

    @pytest.fixture
    def foreign_target(self, cluster):
        cluster.put(NAMESPACES, {"kind": "Namespace", "metadata": {"name": "theirs", "uid": "ns-theirs", "labels": {}}})
        return Target(kind="namespace", ref="theirs", generation=9, mode=self.mode)

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation="0198c0de-0000-7000-8000-00000000beef")

    @pytest.fixture
    def unmark(self, cluster):
        def unmark(target):
            path = f"{NAMESPACES}/{target.ref}"
            cluster.edit(path, "kubectl-label", lambda item: item["metadata"]["labels"].pop("ocenter.io/allocation"))

        return unmark

    @pytest.fixture
    def made(self, cluster):
        def made():
            found = [(path, item["metadata"]) for path, items in cluster.objects.items() for item in items.values()]
            return {
                f"{path}/{meta['name']}": json.dumps([meta.get("labels"), meta.get("annotations")])
                for path, meta in found
                if meta.get("labels", {}).get("ocenter.io/installation") == INSTALLATION
            }

        return made

    @pytest.fixture
    def using(self, cluster):
        """A quota is seen in use when the tenant's pods run: here they take all of it on one node."""

        def use(target, orders):
            pod = fleet.plain_pod("gpu-h100-00000", 500, GPU, sum(order.milli for order in orders) // 1000)
            pod["metadata"]["namespace"] = target.ref
            cluster.put(PODS, pod)

        return use

    @pytest.fixture
    def expected_use(self):
        """The platform does not tell for which order a pod runs when the namespace has several."""
        return lambda target, orders: {
            orders[0].marker if len(orders) == 1 else target.ref: sum(order.milli for order in orders)
        }

    # --- troubles -----------------------------------------------------------------------------------------------------

    @pytest.fixture
    def losing_the_answer(self, server):
        return lambda: lose(server, number=1)

    @pytest.fixture
    def losing_the_request(self, cluster):
        return lambda: refuse(cluster, Answer(raw=b""), number=1)

    @pytest.fixture
    def breaking_in_the_middle(self, cluster):
        return lambda: refuse(cluster, recorded_answer("error_504_rv_too_large", 500), number=4)

    @pytest.fixture
    def interrupting(self, cluster, server):
        @contextmanager
        def interrupting(number, when):
            broken = (
                refuse(cluster, Answer(raw=b""), number=number) if when == "before" else lose(server, number=number)
            )
            yield broken
            cluster.refuse, server.alter = (lambda seen, at: None), (lambda seen, answer: answer)

        return interrupting

    @pytest.fixture
    def refusing_to_manage(self, cluster):
        def refuse_to_manage():
            cluster.rights = lambda asked: asked["verb"] in ("get", "list", "watch")

        return refuse_to_manage

    @pytest.fixture
    def playing_write(self, cluster, server, connect, refusing_to_manage):
        def play(fault):
            if fault == "refused_by_policy":
                cluster.refuse = lambda seen, at: denied() if at.resource == "resourcequotas" else None
            elif fault == "conflict":
                refuse(cluster, recorded_answer("error_409_conflict_stale_update"), number=2)
            elif fault == "deleted_meanwhile":
                delete_namespace(cluster, number=4)
            elif fault == "says_done_did_nothing":
                cluster.refuse = lambda seen, at: json_answer({"metadata": {"name": at.name, "uid": "lie"}}, status=201)
            elif fault == "says_failed_did_it":
                lose(server, number=2, answer=recorded_answer("error_504_rv_too_large", 500))
            elif fault == "permission_taken_away":
                refusing_to_manage()
            elif fault == "clock_ahead":
                cluster.clock_ahead = timedelta(hours=1)
                server.alter = an_hour_ahead
            elif fault == "upgraded":
                server.alter = upgraded
            elif fault == "token_ends":
                server.alter = token_ends
            return connect()

        return play


class TestKubernetes(
    OnDouble,
    ConnectorContract,
    ApplyContract,
    SeveralOrdersContract,
    ResizeContract,
    AccessContract,
    LeaseContract,
    WriteFaultContract,
):
    def test_breaking_breaks_after_the_first_page(self, breaking):
        pages = breaking.observe(None)

        assert len(next(pages).nodes) == 10
        with pytest.raises(Transient):
            next(pages)


class TestByKueue(OnDouble, ApplyContract, SeveralOrdersContract, ResizeContract, WriteFaultContract):
    mode = "kueue"

    def test_c70_after_a_lost_answer_to_giving_back_a_repeat_is_silent(
        self, connector, target, orders, losing_the_answer
    ):
        """Queue and flavors are objects of the cluster, and not of the namespace: the repeat deletes what is left."""
        carry(connector, target(1), orders)
        losing_the_answer()
        with pytest.raises(Transient):
            connector.apply(target(2), [])

        again = carry(connector, target(2), [])

        assert again.found == Absent() and carry(connector, target(2), []).changes == ()


WRITES = ("POST", "PATCH", "DELETE")
REVIEWS = "/apis/authorization.k8s.io"


def refuse(cluster, answer, *, number):
    """Answer the change of that number before it has an effect, once. Returns a list that tells when it happened."""
    left, happened = iter(range(1, number + 1)), []

    def refuse_one(seen, at):
        if next(left, None) == number:
            happened.append(seen)
            return answer
        return None

    cluster.refuse = refuse_one
    return happened


def lose(server, *, number, answer=None):
    """Answer the change of that number, once it has had its effect, with nothing or with something else."""
    left, happened = iter(range(1, number + 1)), []

    def alter(seen, known):
        if seen.method in WRITES and not seen.path.startswith(REVIEWS) and next(left, None) == number:
            happened.append(seen)
            return answer or Answer(raw=b"")
        return known

    server.alter = alter
    return happened


def delete_namespace(cluster, *, number):
    """Somebody deletes the namespace right before the change of that number."""
    left = iter(range(1, number + 1))

    def delete(seen, at):
        if next(left, None) == number:
            cluster.lose(f"{NAMESPACES}/{at.namespace}")
        return None

    cluster.refuse = delete


def denied():
    """An admission webhook says no."""
    words = 'admission webhook "limits.example" denied the request: quotas are made by the platform team only'
    return json_answer({"kind": "Status", "status": "Failure", "message": words, "code": 403}, status=403)


def an_hour_ahead(seen, answer):
    answer.headers = {**answer.headers, "Date": f"{datetime.now(UTC) + timedelta(hours=1):%a, %d %b %Y %H:%M:%S GMT}"}
    return answer


def upgraded(seen, answer):
    return json_answer({**json.loads(answer.body), "gitVersion": "v1.37.0"}) if seen.path == "/version" else answer


def token_ends(seen, answer):
    is_in_the_middle = seen.path == NODES and "continue" in seen.query
    return recorded_answer("error_401_unauthorized") if is_in_the_middle else answer
