"""Watches, as the recorded lines and the double of the API server play them."""

import msgspec
import pytest

from connectors.contract import Transient
from connectors.kubernetes import access, watching
from connectors.kubernetes.client import NODES as NODE_KIND
from connectors.kubernetes.client import PODS as POD_KIND
from connectors.kubernetes.client import Client
from connectors.kubernetes.payloads import Node, Pod
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NODES, PODS, TOKEN, recorded
from tests.connectors.server import LOOPBACK, Answer


@pytest.fixture
def client(server):
    client = Client(access.read({"api_url": server.url}, {"token": TOKEN}), LOOPBACK)
    yield client
    client.close()


def line(body):
    return msgspec.json.encode(body)


class TestRecordedLine:
    def test_of_an_expired_version_says_to_list_again(self):
        with pytest.raises(watching.Gone) as raised:
            list(watching.events([line(recorded("watch_error_410"))], Pod))

        assert "too old resource version" in raised.value.platform_words

    def test_of_a_pod_that_left_the_selector_is_a_deletion_of_its_last_state(self):
        (event,) = watching.events([line(recorded("watch_deleted_by_selector"))], Pod)

        assert (event.type, event.item.status.phase) == ("deleted", "Running")
        assert event.item.metadata.uid == "adbcdc55-87f1-4b2c-9168-ccdfa0833b74"

    def test_of_a_bookmark_moves_the_version_on_and_ends_the_initial_events(self):
        (event,) = watching.events([line(recorded("watch_bookmark_initial_events_end"))], Node)

        assert (event.type, event.resource_version, event.is_initial_end, event.item) == (
            "bookmark",
            "59927",
            True,
            None,
        )

    def test_that_is_damaged_begins_anew(self):
        with pytest.raises(Transient) as raised:
            list(watching.events([b'{"type":"ADDED","object":{"meta'], Node))

        assert raised.value.code == "truncated"

    def test_of_another_error_ends_the_watch(self):
        body = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcdserver: leader changed"}}

        with pytest.raises(Transient) as raised:
            list(watching.events([line(body)], Node))

        assert (raised.value.code, raised.value.platform_words) == ("failed", "etcdserver: leader changed")

    def test_of_a_type_of_the_future_is_skipped(self):
        assert list(watching.events([line({"type": "NEWER", "object": {}})], Node)) == []


class TestWatch:
    def test_tells_what_changed_since_the_list(self, client, cluster):
        since = str(cluster.version)
        cluster.put(NODES, fleet.node("h100", 1))
        cluster.remove(NODES, cluster.put(NODES, fleet.node("h20", 2))["metadata"]["uid"])

        events = list(client.watch(NODE_KIND, Node, since))

        assert [event.type for event in events] == ["added", "added", "deleted", "bookmark"]
        assert events[-1].resource_version == str(cluster.version)

    def test_tells_an_ended_pod_as_deleted(self, client, cluster):
        ended = cluster.put(PODS, fleet.pod("gpu-h100-00000"))
        since = str(cluster.version)
        ended["status"]["phase"] = "Succeeded"
        cluster.put(PODS, ended)

        events = list(client.watch(POD_KIND, Pod, since))

        assert [event.type for event in events] == ["deleted", "bookmark"]

    def test_from_before_a_restart_of_the_server_is_gone(self, client, cluster):
        since = str(cluster.version)
        cluster.put(NODES, fleet.node("h100", 1))
        cluster.restart()

        with pytest.raises(watching.Gone):
            list(client.watch(NODE_KIND, Node, since))

    def test_from_the_future_is_silence(self, client, cluster):
        cluster.put(NODES, fleet.node("h100", 1))

        assert list(client.watch(NODE_KIND, Node, str(cluster.version + 1000))) == []

    def test_that_is_cut_in_mid_line_tells_the_whole_lines_and_then_trouble(self, client, server):
        whole = line({"type": "ADDED", "object": fleet.node("h100", 1)}) + b"\n"
        server.play(Answer(body=(whole, whole), cut_after=len(whole) + 100), path=NODES)
        events = []

        with pytest.raises(Transient) as raised:
            events.extend(client.watch(NODE_KIND, Node, "1"))

        assert (len(events), raised.value.code) == (1, "truncated")

    def test_asks_for_bookmarks_and_an_end(self, client, cluster, server):
        list(client.watch(POD_KIND, Pod, str(cluster.version)))

        asked = server.requests[-1].query
        assert asked["allowWatchBookmarks"] == "true" and 300 <= int(asked["timeoutSeconds"]) < 360
        assert "status.phase!=Succeeded" in asked["fieldSelector"]
