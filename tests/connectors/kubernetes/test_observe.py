"""A whole observation over HTTP, in good days and in each of the bad ones that a cluster can have."""

import re

import pytest

from connectors.contract import Denied, Permanent, Transient
from connectors.kubernetes.manifest import MANIFEST
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import (
    CLAIMS,
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    PODS,
    SLICES,
    TOKEN,
    recorded,
    recorded_answer,
)
from tests.connectors.server import HTML, INSTALLATION, Answer, connect_here, json_answer

DEVICE_INFO = '{"DeviceInfo":{"DeviceList":{"huawei.com/Ascend910-Unhealthy":"Ascend910-5"}}}'


@pytest.fixture(autouse=True)
def _nodes(cluster):
    """25 nodes of all styles (three pages of ten), one of them with DRA and a claim."""
    for number in range(25):
        style = fleet.STYLES[number % len(fleet.STYLES)]
        cluster.put(NODES, fleet.node(style, number))
    holder = cluster.put(PODS, fleet.pod("gpu-dra-00007", 0, "pod_dra"))
    cluster.put(SLICES, fleet.resource_slice("gpu-dra-00007"))
    cluster.put(CLAIMS, fleet.claim("gpu-dra-00007", holder))
    cluster.put(PODS, fleet.pod("gpu-h100-00000"))


def observed(connector, cursor=None):
    pages = list(connector.observe(cursor))
    nodes = {node.name: node for page in pages for node in page.nodes}
    warnings = [warning for page in pages for warning in page.warnings]
    return nodes, pages[-1].last, warnings


def use(node):
    return sum(use.milli for device in node.devices for use in device.uses)


def lists(server, path):
    return [seen for seen in server.requests if seen.path == path]


def report(node_name):
    meta = {"name": f"mindx-dl-deviceinfo-{node_name}", "namespace": "kube-system", "uid": fleet.made_up_uid(node_name)}
    return {"metadata": meta, "data": {"DeviceInfoCfg": DEVICE_INFO}}


class TestObserve:
    def test_tells_every_node_with_cards_and_use(self, connector):
        nodes, last, warnings = observed(connector)

        assert (len(nodes), last.complete, last.incomplete_because) == (25, True, "")
        assert use(nodes["gpu-h100-00000"]) == 2000
        assert [len(device.uses) for device in nodes["gpu-dra-00007"].devices] == [1] + [0] * 7
        assert [warning for warning in warnings if not ("clock" in warning or "stands for" in warning)] == []

    def test_reads_consistent_pages_and_never_asks_the_cache_for_all(self, connector, server):
        observed(connector)

        pages = lists(server, NODES)
        assert [page.query["limit"] for page in pages] == ["10"] * 3
        assert not any("resourceVersion" in seen.query for seen in server.requests)

    def test_asks_only_for_pods_that_are_bound_and_not_ended(self, connector, cluster, server):
        for name in ("pod_succeeded", "pod_failed", "pod_pending_unschedulable"):
            cluster.put(PODS, recorded(name))

        observed(connector)

        asked = lists(server, PODS)[0].query["fieldSelector"]
        assert asked == "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="

    @pytest.mark.parametrize(("is_compressed", "encoding"), [(False, "identity"), (True, "gzip")])
    def test_asks_for_compressed_answers_only_where_people_want_them(self, server, is_compressed, encoding):
        settings = {"api_url": server.url, "compress": is_compressed}

        with connect_here("kubernetes", settings, {"token": TOKEN}) as connected:
            observed(connected)

        assert {seen.headers["accept-encoding"] for seen in server.requests} == {encoding}

    def test_counts_bytes_page_by_page(self, connector):
        pages = list(connector.observe(None))

        assert sum(page.byte_count for page in pages) > 100_000 and pages[0].byte_count > 0

    def test_twice_tells_the_same(self, connector):
        nodes, last, _ = observed(connector)

        again, _, _ = observed(connector, last.cursor)

        assert again == nodes

    def test_of_an_empty_cluster_is_complete_and_empty(self, connector, cluster):
        for uid in list(cluster.objects[NODES]):
            cluster.remove(NODES, uid)

        nodes, last, _ = observed(connector)

        assert (nodes, last.complete) == ({}, True)

    def test_marks_use_by_our_own_namespaces(self, connector, cluster):
        labels = {"ocenter.io/allocation": "oc-abc", "ocenter.io/installation": INSTALLATION}
        cluster.put(NAMESPACES, {"metadata": {"name": "team-00", "uid": "ns-1", "labels": labels}})

        nodes, _, _ = observed(connector)

        assert {found.marker for found in nodes["gpu-h100-00000"].devices[0].uses} == {"oc-abc"}


class TestObjectsThatChange:
    def test_node_made_again_under_its_name_is_another_node(self, connector, cluster):
        before, _, _ = observed(connector)
        again = fleet.node("h100", 0)
        cluster.remove(NODES, again["metadata"]["uid"])
        again["metadata"]["uid"] = "another-uid"
        cluster.put(NODES, again)

        after, _, _ = observed(connector)

        assert before["gpu-h100-00000"].ref != after["gpu-h100-00000"].ref == "another-uid"

    def test_pod_that_comes_back_under_its_name_counts_once(self, connector, cluster):
        again = fleet.pod("gpu-h100-00000")
        cluster.remove(PODS, again["metadata"]["uid"])
        again["metadata"]["uid"] = "another-uid"
        cluster.put(PODS, again)

        nodes, _, _ = observed(connector)

        assert use(nodes["gpu-h100-00000"]) == 2000

    def test_terminating_pod_counts_until_it_ended(self, connector, cluster):
        dying = fleet.pod("gpu-h100-00000")
        dying["metadata"]["deletionTimestamp"] = "2026-11-22T00:00:00Z"
        cluster.put(PODS, dying)
        while_dying, _, _ = observed(connector)
        dying["status"]["phase"] = "Succeeded"
        cluster.put(PODS, dying)

        ended, _, _ = observed(connector)

        assert (use(while_dying["gpu-h100-00000"]), use(ended["gpu-h100-00000"])) == (2000, 0)

    def test_restarting_device_plugin_loses_no_card(self, connector, cluster):
        cluster.put(NODES, fleet.node("h100", 0, allocatable={"nvidia.com/gpu": "0"}))

        nodes, last, _ = observed(connector)

        devices = nodes["gpu-h100-00000"].devices
        assert last.complete and [device.health for device in devices] == ["unknown"] * 8
        assert use(nodes["gpu-h100-00000"]) == 2000


class TestExpiredSnapshot:
    def test_starts_again_and_tells_each_node_once(self, connector, cluster, server):
        def compact_once(seen):
            if seen.path == NODES and "continue" in seen.query:
                cluster.after_page = lambda seen: None
                cluster.put(NODES, fleet.node("amd", 99))
                cluster.compact()

        cluster.after_page = compact_once

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (26, True)
        assert ["continue" in seen.query for seen in lists(server, NODES)] == [False, True, True, False, True, True]

    def test_drops_the_pods_that_were_counted_before_it(self, connector, cluster):
        for number in range(30):
            cluster.put(PODS, fleet.pod("gpu-h20-00001", number, nvidia_com__gpu="0", cpu="1"))

        def compact_once(seen):
            if seen.path == PODS:
                cluster.after_page = lambda seen: None
                cluster.compact()

        cluster.after_page = compact_once

        nodes, _, _ = observed(connector)

        assert nodes["gpu-h20-00001"].cpu_used_milli == 30_000
        assert use(nodes["gpu-h100-00000"]) == 2000

    def test_that_expires_again_and_again_gives_up_without_a_result(self, connector, cluster):
        cluster.after_page = lambda seen: cluster.compact()

        with pytest.raises(Transient) as raised:
            observed(connector)

        assert raised.value.code == "expired"
        assert "too old to display a consistent list" in raised.value.platform_words

    def test_at_the_first_page_is_no_reason_to_ask_for_ever(self, connector, server):
        server.play(recorded_answer("error_410_exact_rv"), path=NODES)

        with pytest.raises(Transient, match="forgot"):
            observed(connector)


class TestTrouble:
    def test_that_throttles_with_plain_text_is_waited_out(self, connector, server):
        server.play(recorded_answer("error_429_throttled"), path=NODES, times=2)

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (25, True)

    def test_that_throttles_on_is_told_with_the_time_to_wait(self, connector, server):
        server.play(recorded_answer("error_429_throttled"), path=NODES, times=3)

        with pytest.raises(Transient) as raised:
            observed(connector)

        assert (raised.value.code, raised.value.after_seconds) == ("throttled", 1.0)
        assert "Too many requests" in raised.value.platform_words

    def test_of_a_version_of_the_future_is_a_passing_one(self, connector, server):
        server.play(recorded_answer("error_504_rv_too_large"), path=PODS)

        _, last, _ = observed(connector)

        assert last.complete

    @pytest.mark.parametrize("path", [NODES, PODS, SLICES, CLAIMS])
    def test_in_the_middle_of_a_body_is_repeated(self, connector, server, path):
        torn = json_answer({"kind": "List", "items": ["x" * 5000]})
        torn.cut_after = 1000
        server.play(torn, path=path)

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (25, True)

    def test_of_torn_bodies_without_end_tells_no_end(self, connector, server):
        torn = json_answer({"kind": "NodeList", "items": ["x" * 5000]})
        torn.cut_after = 1000
        server.play(torn, path=NODES, times=3)

        with pytest.raises(Transient) as raised:
            observed(connector)

        assert raised.value.code == "truncated"

    def test_with_the_credential_in_mid_list_tells_no_end(self, connector, server):
        server.alter = lambda seen, answer: (
            recorded_answer("error_401_unauthorized") if "continue" in seen.query else answer
        )
        pages = []

        with pytest.raises(Denied) as raised:
            pages.extend(connector.observe(None))

        assert (raised.value.code, raised.value.platform_words) == ("unauthorized", "Unauthorized")
        assert not any(page.last for page in pages)

    def test_of_a_page_that_comes_again_and_again_ends(self, connector, server):
        stuck = {"resourceVersion": "5", "continue": "same"}
        page = {"kind": "NodeList", "metadata": stuck, "items": [fleet.node("h100", 1)]}
        server.play(json_answer(page), path=NODES, times=50)

        with pytest.raises(Transient) as raised:
            observed(connector)

        assert raised.value.code == "repeated_page"
        assert len(lists(server, NODES)) == 2

    @pytest.mark.parametrize("tokens", [("same",), ("one", "two", "three")])
    def test_of_empty_pages_whose_tokens_lead_in_a_circle_ends(self, connector, server, tokens):
        stuck = [{"resourceVersion": "5", "continue": token} for token in tokens]
        circle = [json_answer({"kind": "PodList", "metadata": metadata, "items": []}) for metadata in stuck]
        server.play(*circle, path=PODS, times=20)

        with pytest.raises(Transient) as raised:
            observed(connector)

        assert raised.value.code == "repeated_page"

    def test_with_the_server_answering_whole_in_spite_of_a_limit_is_none(self, connector, server):
        def whole(seen, answer):
            if seen.path != NODES:
                return answer
            items = [fleet.node("h100", number) for number in range(40)]
            return json_answer({"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": items})

        server.alter = whole

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (40, True)

    @pytest.mark.parametrize(
        "answer",
        [
            HTML,
            json_answer({}),
            json_answer([]),
            json_answer({"kind": "NodeList", "metadata": {"resourceVersion": "1"}}),
            json_answer({"kind": "ServerList", "metadata": {"resourceVersion": "1"}, "items": []}),
            Answer(body=b"pong"),
        ],
    )
    def test_of_another_kind_of_server_is_no_empty_cluster(self, connector, server, answer):
        server.play(answer, path=NODES)

        with pytest.raises(Permanent) as raised:
            observed(connector)

        assert raised.value.code == "not_this_kind"


class TestForbiddenKind:
    def test_of_nodes_is_denied_in_the_clusters_words(self, connector, cluster):
        cluster.forbidden.add(NODES)

        with pytest.raises(Denied) as raised:
            observed(connector)

        assert "cannot list resource" in raised.value.platform_words

    def test_of_pods_leaves_nodes_that_take_nothing_and_an_incomplete_look(self, connector, cluster):
        cluster.forbidden.add(PODS)

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (25, False)
        assert last.incomplete_because == "Pods may not be listed, so nobody knows what is in use."
        assert not any(node.is_available for node in nodes.values())

    def test_of_claims_closes_only_the_nodes_that_they_are_about(self, connector, cluster):
        cluster.forbidden.add(CLAIMS)

        nodes, last, _ = observed(connector)

        closed = [name for name, node in nodes.items() if "resourceclaims" in node.unavailable_reason]
        assert (closed, last.complete) == (["gpu-dra-00007"], False)

    def test_of_claims_matters_nothing_where_no_driver_publishes(self, connector, cluster):
        cluster.objects[SLICES].clear()
        cluster.forbidden.add(CLAIMS)

        _, last, _ = observed(connector)

        assert last.complete

    def test_of_slices_makes_the_look_incomplete(self, connector, cluster):
        cluster.forbidden.add(SLICES)

        nodes, last, _ = observed(connector)

        assert (len(nodes), last.complete) == (25, False)
        assert "ResourceSlices" in last.incomplete_because

    def test_of_namespaces_changes_nothing_but_our_marks(self, connector, server):
        server.alter = lambda seen, answer: (
            recorded_answer("error_403_forbidden") if seen.path == NAMESPACES else answer
        )

        _, last, _ = observed(connector)

        assert last.complete


class TestAbsentApi:
    def test_of_dra_is_normal(self, connector, cluster):
        cluster.has_dra = False

        nodes, last, warnings = observed(connector)

        assert (len(nodes), last.complete, nodes["gpu-dra-00007"].devices) == (25, True, ())
        assert not any("resource.k8s.io" in warning for warning in warnings)

    @pytest.mark.parametrize("has_dra", [True, False])
    def test_that_discovery_does_not_tell_is_found_by_trying(self, connector, cluster, server, has_dra):
        cluster.has_dra = has_dra
        server.play(recorded_answer("error_403_forbidden"), path="/apis/resource.k8s.io")

        nodes, last, _ = observed(connector)

        assert (last.complete, len(nodes["gpu-dra-00007"].devices)) == (True, 8 if has_dra else 0)

    @pytest.mark.parametrize(("served", "taken"), [(["v1beta1"], "v1beta1"), (["v1beta1", "v1beta2"], "v1beta2")])
    def test_of_the_newest_dra_version_takes_an_older_one(self, connector, server, served, taken):
        versions = [{"version": version, "groupVersion": f"resource.k8s.io/{version}"} for version in served]
        server.play(json_answer({"kind": "APIGroup", "name": "resource.k8s.io", "versions": versions}), path="/apis")
        for kind in ("ResourceSliceList", "ResourceClaimList"):
            empty: dict[str, object] = {"kind": kind, "metadata": {"resourceVersion": "1"}, "items": []}
            server.play(json_answer(empty), path=f"/apis/resource.k8s.io/{taken}")

        _, last, _ = observed(connector)

        assert last.complete
        assert [seen.path.rpartition("/")[2] for seen in server.requests if f"/{taken}/" in seen.path] == [
            "resourceslices",
            "resourceclaims",
        ]


class TestAscendReports:
    ASCEND = "gpu-ascend-00003"

    def test_are_listed_once_for_all_nodes(self, connector, cluster, server):
        cluster.put(CONFIG_MAPS, report(self.ASCEND))

        nodes, _, _ = observed(connector)

        assert [device.health for device in nodes[self.ASCEND].devices].index("faulty") == 5
        assert len([seen for seen in server.requests if "configmaps" in seen.path]) == 1

    def test_are_asked_for_one_by_one_where_listing_is_forbidden(self, connector, cluster, server):
        cluster.put(CONFIG_MAPS, report(self.ASCEND))
        server.alter = lambda seen, answer: (
            recorded_answer("error_403_forbidden") if seen.path == CONFIG_MAPS else answer
        )

        nodes, last, _ = observed(connector)

        assert last.complete and nodes[self.ASCEND].devices[5].health == "faulty"

    def test_that_are_forbidden_leave_a_warning(self, connector, cluster):
        cluster.forbidden.add(CONFIG_MAPS)

        _, last, warnings = observed(connector)

        assert last.complete
        assert [warning for warning in warnings if "configmaps" in warning]

    def test_are_not_asked_for_without_ascend_nodes(self, connector, cluster, server):
        for uid, node in list(cluster.objects[NODES].items()):
            if "ascend" in node["metadata"]["name"]:
                cluster.remove(NODES, uid)

        observed(connector)

        assert not [seen for seen in server.requests if "configmaps" in seen.path]


class TestAnotherCluster:
    def test_behind_the_address_is_refused_before_anything_is_told(self, connector, cluster):
        _, last, _ = observed(connector)
        cluster.uid = "another-cluster"

        with pytest.raises(Permanent) as raised:
            observed(connector, last.cursor)

        assert raised.value.code == "identity_changed"

    def test_that_takes_over_in_the_middle_is_noticed_before_the_end(self, connector, cluster):
        def switch(seen):
            cluster.uid = "another-cluster"

        cluster.after_page = switch
        pages = []

        with pytest.raises(Permanent) as raised:
            pages.extend(connector.observe(None))

        assert raised.value.code == "identity_changed" and not any(page.last for page in pages)

    def test_that_is_the_old_one_restored_from_a_backup_is_told(self, connector, cluster):
        _, last, _ = observed(connector)
        cluster.version -= 100

        nodes, again, warnings = observed(connector, last.cursor)

        assert again.complete and len(nodes) == 25
        assert any("restored from a backup" in warning for warning in warnings)


class TestIdentity:
    def test_is_the_uid_of_kube_system_and_the_version(self, connector, cluster):
        identity = connector.identity()

        assert (identity.key, identity.version) == (cluster.uid, "v1.36.2")

    def test_that_may_not_be_read_names_the_missing_right(self, connector, cluster):
        cluster.forbidden.add("/api/v1/namespaces/kube-system")

        with pytest.raises(Denied, match="may not get the namespace kube-system"):
            connector.identity()

    def test_of_another_server_with_namespaces_is_refused(self, connector, server):
        server.play(json_answer({"metadata": {"name": "kube-system"}}), path="/api/v1/namespaces/kube-system")

        with pytest.raises(Permanent) as raised:
            connector.identity()

        assert raised.value.code == "not_this_kind"


class TestCheck:
    def test_of_a_full_account_misses_nothing(self, connector, cluster):
        found = connector.check()

        assert (found.watch.ok, found.manage.ok, found.identity.key) == (True, True, cluster.uid)
        assert found.capabilities == (*MANIFEST.capabilities, "dra", "kueue")

    def test_of_a_watching_account_names_each_right_that_managing_needs(self, connector, cluster):
        cluster.rights = lambda asked: asked["verb"] in ("list", "get", "watch")

        found = connector.check()

        assert found.watch.ok and not found.manage.ok
        assert "create namespaces" in found.manage.missing
        assert "create serviceaccounts/token" in found.manage.missing
        assert "patch rolebindings.rbac.authorization.k8s.io" in found.manage.missing
        assert "bind clusterroles.rbac.authorization.k8s.io/edit" in found.manage.missing

    def test_of_an_account_without_claims_names_them(self, connector, cluster):
        cluster.rights = lambda asked: asked["resource"] != "resourceclaims"

        missing = connector.check().watch.missing

        assert missing == ("list resourceclaims.resource.k8s.io", "watch resourceclaims.resource.k8s.io")

    def test_of_a_cluster_without_dra_does_not_ask_for_it(self, connector, cluster):
        cluster.has_dra = False
        cluster.rights = lambda asked: asked["group"] != "resource.k8s.io"

        assert connector.check().watch.ok

    def test_changes_nothing(self, connector, server):
        connector.check()

        assert {seen.path for seen in server.requests if seen.method != "GET"} == {
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        }


class TestSecrets:
    def test_never_show_in_an_error(self, server):
        wrong = "wrong-token-" + "z" * 20
        server.play(Answer(status=401, body=f"who is {wrong}?".encode()), path="/")

        with (
            connect_here("kubernetes", {"api_url": server.url}, {"token": wrong}) as connected,
            pytest.raises(Denied) as raised,
        ):
            connected.identity()

        assert wrong not in f"{raised.value} {raised.value.platform_words}"
        assert re.search(r"who is \*\*\*", raised.value.platform_words)

    def test_are_sent_in_the_header_only(self, connector, server):
        observed(connector)

        assert {seen.headers["authorization"] for seen in server.requests} == {f"Bearer {TOKEN}"}
        assert not any(TOKEN in f"{seen.path}{seen.query}" for seen in server.requests)
