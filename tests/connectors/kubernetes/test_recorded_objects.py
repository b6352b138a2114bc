"""Every recorded object goes through the client, the payloads and the mapping; what is found is counted once more here.

The counts come from the raw JSON (``raw_counts``). A recorded file that is in none of the lists is a failure.
"""

import json
from collections import Counter
from itertools import chain

import msgspec
import pytest

from connectors.contract import ConnectorError
from connectors.kubernetes import watching
from connectors.kubernetes.payloads import (
    AccessReview,
    ApiGroupList,
    Namespace,
    Node,
    ObjectList,
    Pod,
    ResourceClaim,
    ResourceSlice,
    Version,
)
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import CLAIMS, NODES, PODS, RECORDED, SLICES, TOKEN, Cluster, recorded
from tests.connectors.kubernetes.raw_counts import (
    CLAIM_FILE,
    cards_of,
    claims,
    results_of,
    sick_of,
    units_held_by,
    units_of,
)
from tests.connectors.server import Answer, connect_here, serving

NODE_FILES = (
    *("node_amd", "node_ascend", "node_ascend_unhealthy", "node_cordoned", "node_dra", "node_h100", "node_h20"),
    *("node_hami", "node_hami_unhealthy", "node_hamijs", "node_hamijs_unhealthy", "node_migmix", "node_migsingle"),
    *("node_misc", "node_mlu", "node_not_ready", "node_shared", "node_vgpu"),
)
POD_FILES = (
    *("pod_ascend", "pod_dra", "pod_extended_resource_by_dra", "pod_failed", "pod_hami", "pod_hold_scheduled"),
    *("pod_init_container", "pod_mig", "pod_pending_unschedulable", "pod_running", "pod_succeeded"),
    "pod_volcano_vgpu",
)
LIST_FILES = {
    "list_page_with_continue": Pod,
    "resourceslicelist": ResourceSlice,
    "resourceclaimlist": ResourceClaim,
}
SMALL_FILES = (
    *("version", "apigrouplist", "selfsubjectaccessreview", "apply_namespace_created", "namespace_terminating"),
    *("watch_error_410", "watch_deleted_by_selector", "watch_bookmark_initial_events_end"),
)
_GIVING_OUT = "Part of giving capacity out, which this connector does not do yet."
TRANSPORT_ONLY = {
    "table_nodes": "A rendering for terminals; never asked for, and refused where it comes.",
    "metadata_only_nodes": "Objects without spec and status; never asked for, and refused where it comes.",
    "apiresourcelist_core_v1": "What a group serves is read from the list of groups.",
    "apiresourcelist_resource_v1": "What a group serves is read from the list of groups.",
    "deviceclasslist": "Classes choose among devices; what is there and in use is told by slices and claims.",
    "selfsubjectreview": "Who we are is nothing that the check shows; what we may do is asked right by right.",
    "selfsubjectrulesreview": "Rights are asked one by one: these rules do not say what a webhook grants.",
    "tokenrequest": _GIVING_OUT,
    "apply_resourcequota_created": _GIVING_OUT,
    "resourcequota_dra": _GIVING_OUT,
    "resourcequota_used_over_hard": _GIVING_OUT,
    "resourcequota_with_status": _GIVING_OUT,
    "kueue_clusterqueue": _GIVING_OUT,
    "kueue_clusterqueue_with_status": _GIVING_OUT,
    "kueue_localqueue": _GIVING_OUT,
    "kueue_resourceflavor": _GIVING_OUT,
}
"""Files that go through the HTTP client only, in ``test_recorded.py``, and why."""


def stand_in(name):
    """A node for pods and claims that name one which was not recorded: of the same style, with cards of its own."""
    body = json.dumps(recorded(f"node_{name.split('-')[1]}"))
    node = json.loads(body.replace("GPU-", f"GPU-{name[-5:]}-"))
    node["metadata"] |= {"name": name, "uid": f"stand-in-{name}"}
    return node


def everything():
    """A cluster of all that was recorded."""
    cluster = Cluster()
    nodes = [recorded(name) for name in NODE_FILES]
    pods = [recorded(name) for name in POD_FILES] + recorded("list_page_with_continue")["items"]
    pieces = recorded("resourceslicelist")["items"]
    named = {pod["spec"].get("nodeName") for pod in pods} | {
        pool for claim in claims() for pool, _ in results_of(claim)
    }
    named |= {piece["spec"]["nodeName"] for piece in pieces}
    absent = sorted(named - {node["metadata"]["name"] for node in nodes} - {None})
    published = {piece["spec"]["nodeName"] for piece in pieces}
    pieces += [fleet.resource_slice(name) for name in absent if "-dra-" in name and name not in published]
    for path, items in (
        (NODES, [*nodes, *map(stand_in, absent)]),
        (PODS, pods),
        (SLICES, pieces),
        (CLAIMS, claims()),
    ):
        for item in items:
            cluster.put(path, item)
    return cluster


def observed(answer):
    with serving(answer) as server:
        settings = {"api_url": server.url, "page_size": 10}
        with connect_here("kubernetes", settings, {"token": TOKEN}) as connector:
            return list(connector.observe(None))


@pytest.fixture(scope="module")
def pages():
    return observed(everything())


@pytest.fixture(scope="module")
def found(pages):
    return {node.ref: node for page in pages for node in page.nodes}


def uses(nodes):
    """(holder, units) of every use: a card is one unit, of a counter as many as its milli make."""
    for node in nodes:
        for device in node.devices:
            yield from ((use.holder, 1) for use in device.uses)
        for counter in node.counters:
            yield from ((use.holder, use.milli // counter.unit_milli) for use in counter.uses)


class TestEveryRecordedFile:
    def test_is_mapped_decoded_or_listed_as_not_read_with_the_reason(self):
        read = [*NODE_FILES, *POD_FILES, *LIST_FILES, CLAIM_FILE, *SMALL_FILES]
        there = {path.stem for path in RECORDED.glob("*.json") if not path.stem.startswith("error_")}

        assert Counter(chain(read, TRANSPORT_ONLY)) == Counter(there), "write a test for it, or the reason for none"
        assert all(TRANSPORT_ONLY.values())

    def test_that_is_not_read_is_of_a_kind_that_the_connector_never_asks_for(self):
        read = {"Node", "Pod", "Namespace", "ResourceSlice", "ResourceClaim", "ConfigMap", "APIGroup"}

        kinds = {recorded(name)["kind"].removesuffix("List") for name in TRANSPORT_ONLY}

        assert not kinds & read

    @pytest.mark.parametrize("name", ["table_nodes", "metadata_only_nodes", "deviceclasslist"])
    def test_of_another_form_is_refused_where_nodes_are_asked_for(self, name):
        cluster = everything()
        body = json.dumps(recorded(name)).encode()

        with pytest.raises(ConnectorError):
            observed(lambda seen: Answer(body=body) if seen.path == NODES else cluster(seen))


class TestARecordedNode:
    def test_is_found_with_all_others_in_a_complete_observation(self, pages, found):
        assert pages[-1].last.complete and not pages[-1].last.incomplete_because
        assert len(found) == sum(len(page.nodes) for page in pages)
        assert {recorded(name)["metadata"]["uid"] for name in NODE_FILES} <= found.keys()

    @pytest.mark.parametrize("name", NODE_FILES)
    def test_has_the_cards_units_and_faults_that_its_agents_tell(self, name, found):
        body = recorded(name)

        node = found[body["metadata"]["uid"]]

        assert len(node.devices) == cards_of(body)
        assert {counter.ref: counter.total_units for counter in node.counters} == units_of(body)
        assert len(node.devices) + len(node.counters) > 0
        assert sum(device.health == "faulty" for device in node.devices) == sick_of(body)
        assert len({device.ref for device in node.devices}) == len(node.devices)

    @pytest.mark.parametrize("name", NODE_FILES)
    def test_takes_work_unless_it_says_otherwise(self, name, found):
        body = recorded(name)
        ready = next(each["status"] for each in body["status"]["conditions"] if each["type"] == "Ready")

        node = found[body["metadata"]["uid"]]

        assert node.is_available == (ready == "True" and not body["spec"].get("unschedulable"))
        assert node.cpu_milli == 1000 * int(body["status"]["allocatable"]["cpu"])


class TestARecordedPod:
    @pytest.mark.parametrize("name", POD_FILES)
    def test_holds_as_many_cards_or_parts_as_it_asks_for(self, name, found):
        body = recorded(name)
        mine = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        where = [node for node in found.values() if node.name == body["spec"].get("nodeName")]

        held = [units for holder, units in uses(found.values()) if holder == mine]

        assert sum(held) == units_held_by(body)
        assert sorted(held) == sorted(units for holder, units in uses(where) if holder == mine), "on its own node only"

    def test_is_among_those_that_hold_something_and_there_are_no_others(self, found):
        bodies = [*map(recorded, POD_FILES), *recorded("list_page_with_continue")["items"]]
        holding = {
            f"{body['metadata']['namespace']}/{body['metadata']['name']}" for body in bodies if units_held_by(body)
        }

        assert {holder for holder, _ in uses(found.values())} == holding and len(holding) == 10


class TestARecordedList:
    @pytest.mark.parametrize("name", LIST_FILES)
    def test_is_a_page_with_all_its_items_and_the_way_to_the_next(self, name):
        body = recorded(name)

        page = msgspec.json.decode(json.dumps(body), type=ObjectList[LIST_FILES[name]])

        assert [item.metadata.uid for item in page.items] == [item["metadata"]["uid"] for item in body["items"]]
        assert page.metadata.next_page == body["metadata"]["continue"] != ""
        assert page.kind == f"{LIST_FILES[name].__name__}List"

    def test_of_slices_publishes_each_card_once_with_its_uuid_and_memory(self, found):
        for piece in recorded("resourceslicelist")["items"]:
            (node,) = (each for each in found.values() if each.name == piece["spec"]["nodeName"])
            told = {
                (device["attributes"]["uuid"]["string"], int(device["capacity"]["memory"]["value"].removesuffix("Mi")))
                for device in piece["spec"]["devices"]
            }

            assert {(device.uuid, device.memory_mib) for device in node.devices} == told

    def test_of_claims_holds_each_device_that_the_scheduler_gave(self, found):
        given = {
            (pool, f"gpu.nvidia.com/{pool}/{device}", f"{claim['metadata']['namespace']}/{user['name']}")
            for claim in claims()
            for user in claim["status"]["reservedFor"]
            for pool, device in results_of(claim)
        }

        held = {
            (node.name, device.ref, use.holder)
            for node in found.values()
            if "-dra-" in node.name
            for device in node.devices
            for use in device.uses
        }

        assert held == given and len(given) == 4


class TestASmallRecordedAnswer:
    def decoded(self, name, kind):
        return msgspec.json.decode(json.dumps(recorded(name)), type=kind)

    def events(self, name, kind):
        return list(watching.events([json.dumps(recorded(name)).encode()], kind))

    def test_tells_the_version(self):
        assert self.decoded("version", Version).git_version == "v1.36.2"

    def test_tells_the_groups_with_their_versions(self):
        groups = {group.name: [each.version for each in group.versions] for group in self.decoded(
            "apigrouplist", ApiGroupList).groups}  # fmt: skip

        assert "v1" in groups["resource.k8s.io"]
        assert groups.keys() == {group["name"] for group in recorded("apigrouplist")["groups"]}

    def test_tells_a_right(self):
        review = self.decoded("selfsubjectaccessreview", AccessReview)

        assert review.status.allowed is recorded("selfsubjectaccessreview")["status"]["allowed"]

    @pytest.mark.parametrize("name", ["apply_namespace_created", "namespace_terminating"])
    def test_names_a_namespace_and_whose_it_is(self, name):
        body, namespace = recorded(name), self.decoded(name, Namespace)

        assert namespace.metadata.name == body["metadata"]["name"]
        assert namespace.metadata.labels.allocation == body["metadata"]["labels"].get("ocenter.io/allocation", "")

    def test_is_a_line_of_a_watch(self):
        (deleted,) = self.events("watch_deleted_by_selector", Pod)
        (bookmark,) = self.events("watch_bookmark_initial_events_end", Node)
        with pytest.raises(watching.Gone):
            self.events("watch_error_410", Pod)

        assert (deleted.type, deleted.item.metadata.name) == (
            "deleted",
            recorded("watch_deleted_by_selector")["object"]["metadata"]["name"],
        )
        assert bookmark.is_initial_end
