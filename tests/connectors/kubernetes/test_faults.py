"""The faults that every platform has some day, played by the double."""

from contextlib import ExitStack

import msgspec
import pytest

from connectors.contract import Permanent
from tests.connectors.faults import FaultContract
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NODES, TOKEN, Cluster, recorded_answer
from tests.connectors.server import HTML, Answer, Authority, json_answer, serving


def filled():
    """Fifteen nodes whose cards have UUIDs, in two pages."""
    cluster = Cluster()
    for number in range(15):
        cluster.put(NODES, fleet.node("hami", number))
    return cluster


def register(cluster, number):
    (node,) = [node for node in cluster.objects[NODES].values() if node["metadata"]["name"] == f"gpu-hami-{number:05}"]
    return node["metadata"]["annotations"]


class TestFaults(FaultContract):
    @pytest.fixture
    def playing(self, open_session):
        """Return a session to a cluster with the fault; each method below makes one."""
        with ExitStack() as servers:
            self.servers = servers

            def play(fault):
                settings, token = getattr(self, fault)()
                known = {"identity_key": filled().uid} if fault == "another_far_end" else {}
                return open_session("kubernetes", {"page_size": 10, **settings}, {"token": token}, **known)

            yield play

    def at(self, handler=None, alter=None, **more):
        server = self.servers.enter_context(serving(handler or filled(), **more))
        if alter:
            server.alter = alter
        return {"api_url": server.url}, TOKEN

    def on_nodes(self, answer):
        return self.at(alter=lambda seen, known: answer if seen.path == NODES else known)

    def wrong_credential(self):
        return self.at()[0], "wrong" * 5

    def expired_token(self):
        return self.at(lambda seen: recorded_answer("error_401_unauthorized"))

    def unreachable(self):
        with serving(filled()) as gone:
            return {"api_url": gone.url}, TOKEN

    def untrusted_tls(self):
        return self.at(identity=Authority().identity())

    def dns_failure(self):
        return {"api_url": "https://api.cluster.invalid:6443"}, TOKEN

    def another_kind_of_server(self):
        return self.at(lambda seen: json_answer({"versions": {"values": []}}))

    def web_page(self):
        return self.at(lambda seen: HTML)

    def another_far_end(self):
        other = filled()
        other.uid = "another-cluster"
        return self.at(other)

    def truncated_page(self):
        torn = json_answer({"kind": "NodeList", "items": ["x" * 5000]})
        torn.cut_after = 1000
        return self.on_nodes(torn)

    def zero_bytes(self):
        return self.on_nodes(Answer(headers={"Content-Type": "application/json"}))

    def repeated_page(self):
        def alter(seen, answer):
            if seen.path == NODES and "continue" not in seen.query:
                self.first = msgspec.json.decode(answer.body)
            return json_answer(self.first) if seen.path == NODES else answer

        return self.at(alter=alter)

    def empty_list(self):
        return self.at(Cluster())

    def duplicate_devices(self):
        cluster = filled()
        register(cluster, 1)["hami.io/node-nvidia-register"] = register(cluster, 0)["hami.io/node-nvidia-register"]
        return self.at(cluster)

    def moving_device(self):
        cluster = filled()

        def move(seen):
            if seen.path != NODES or "continue" not in seen.query:
                return
            cluster.after_page = lambda seen: None
            key = "hami.io/node-nvidia-register"
            moved, _, left = register(cluster, 3)[key].partition(":")
            register(cluster, 3)[key] = left
            register(cluster, 7)[key] += f"{moved}:"

        cluster.after_page = move
        return self.at(cluster)

    def long_names(self):
        cluster = filled()
        for node in cluster.objects[NODES].values():
            node["metadata"]["name"] = "n" * 10_000 + node["metadata"]["name"]
            node["metadata"]["labels"]["example.com/long"] = "l" * 10_000
            text = node["metadata"]["annotations"]["hami.io/node-nvidia-register"]
            node["metadata"]["annotations"]["hami.io/node-nvidia-register"] = text.replace("L40S", "L40S" * 2_500)
        return self.at(cluster)

    def negative_counts(self):
        cluster = filled()
        cluster.put(NODES, fleet.node("h100", 1, capacity={"nvidia.com/gpu": "-8"}))
        return self.at(cluster)

    def clock_ahead(self):
        def ahead(seen, answer):
            answer.headers = {**answer.headers, "Date": "Fri, 01 Jan 2100 00:00:00 GMT"}
            return answer

        return self.at(alter=ahead)

    def test_another_kind_of_server_that_knows_no_such_path_is_told(self, open_session):
        with serving(lambda seen: Answer(status=404, body=b"<h1>Not Found</h1>")) as server:
            connector = open_session("kubernetes", {"api_url": server.url}, {"token": TOKEN})

            with pytest.raises(Permanent, match="no namespace kube-system") as raised:
                connector.identity()

        assert raised.value.code == "not_this_kind"
