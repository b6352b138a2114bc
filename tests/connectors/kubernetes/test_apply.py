"""A namespace carries orders: what is made, what each refusal of the API server comes to, and what is left alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from msgspec.structs import replace

from connectors.contract import Absent, Denied, Done, Found, Order, Pending, Permanent, Target, Transient
from tests.connectors.apply_contract import carry
from tests.connectors.contract import refused
from tests.connectors.kubernetes.double import NAMESPACES, TOKEN, recorded_answer
from tests.connectors.server import INSTALLATION, Answer, connect_here, json_answer

GPU = "nvidia.com/gpu"
ORDER = Order(marker="oc-first", allocation="A", member=0, resource=GPU, milli=4000)
NAMESPACE = f"{NAMESPACES}/oc-target"
QUOTA = f"{NAMESPACE}/resourcequotas/ocenter"
ACCOUNT = f"{NAMESPACE}/serviceaccounts/ocenter"
BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/oc-target/rolebindings/ocenter"
ALL = (NAMESPACE, QUOTA, ACCOUNT, BINDING)
TENANTS = Target(kind="namespace", ref="team-a", generation=1, is_tenants=True)


def target(generation=1, **more):
    return Target(kind="namespace", ref="oc-target", generation=generation, **more)


def order(milli, resource=GPU, **more):
    return Order(marker=f"oc-{resource[-3:]}-{milli}", allocation="A", member=0, resource=resource, milli=milli, **more)


def changing(server):
    """The changes that arrived, as method and path."""
    asking = "/apis/authorization.k8s.io"
    return [
        f"{seen.method} {seen.path}"
        for seen in server.requests
        if seen.method != "GET" and not seen.path.startswith(asking)
    ]


@pytest.fixture
def tenants(cluster):
    """The tenant's own namespace, with a label of its own."""
    meta = {"name": "team-a", "uid": "ns-team-a", "labels": {"team": "a"}}
    cluster.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "status": {}})
    return TENANTS


class TestOrders:
    def test_make_a_namespace_a_quota_an_account_and_a_role_in_this_order(self, connector, cluster, server):
        carry(connector, target(3, project="acme/vision"), [ORDER])

        assert [call for call in changing(server) if call.startswith("PATCH")] == [f"PATCH {path}" for path in ALL]
        for path in ALL:
            meta = cluster.at(path)["metadata"]
            assert meta["labels"].items() >= {
                ("app.kubernetes.io/managed-by", "ocenter"),
                ("ocenter.io/installation", INSTALLATION),
                ("ocenter.io/allocation", "oc-first"),
            }
            assert meta["annotations"]["ocenter.io/generation"] == "3" and meta["annotations"]["ocenter.io/spec-hash"]
        told = cluster.at(NAMESPACE)["metadata"]["annotations"]
        assert told["ocenter.io/project"] == "acme/vision"
        assert json.loads(told["ocenter.io/orders"]) == {
            "oc-first": {"allocation": "A", "member": 0, "resource": GPU, "units": 4}
        }

    def test_are_one_quota_with_their_sum_of_accelerators_and_nothing_else(self, connector, cluster):
        orders = [ORDER, replace(ORDER, marker="oc-2", milli=1000, cpu_milli=8000), order(2000, "amd.com/gpu")]

        carry(connector, target(), orders)

        (quota,) = cluster.objects[QUOTA.rpartition("/")[0]].values()
        assert quota["spec"] == {"hard": {"requests.amd.com/gpu": "2", "requests.nvidia.com/gpu": "5"}}

    @pytest.mark.parametrize(
        ("resource", "profile", "milli", "key", "count"),
        [
            ("nvidia.com/mig-1g.10gb", "1g.10gb", 3 * 142, "requests.nvidia.com/mig-1g.10gb", "3"),
            ("nvidia.com/gpu", "shared-4", 500, "requests.nvidia.com/gpu", "2"),
            ("huawei.com/Ascend910-4c", "vir04", 250, "requests.huawei.com/Ascend910-4c", "2"),
            ("gpu.nvidia.com.deviceclass.resource.k8s.io/devices", None, 4000, "", "4"),
        ],
    )
    def test_of_cuts_and_of_device_classes_are_counted_in_units(
        self, connector, cluster, resource, profile, milli, key, count
    ):
        carry(connector, target(), [order(milli, resource, profile=profile)])

        assert cluster.at(QUOTA)["spec"]["hard"] == {key or resource: count}

    @pytest.mark.parametrize("wrong", [order(500), replace(ORDER, resource=""), replace(ORDER, milli=0)])
    def test_that_no_quota_can_say_are_refused_before_anything_is_sent(self, connector, server, wrong):
        error = refused(connector.apply, target(), [ORDER, wrong])

        assert error.code == "invalid" and changing(server) == []

    def test_that_no_longer_are_there_leave_no_limit_behind(self, connector, cluster):
        carry(connector, target(1), [ORDER, order(2000, "amd.com/gpu")])

        carry(connector, target(2), [ORDER])

        assert cluster.at(QUOTA)["spec"]["hard"] == {"requests.nvidia.com/gpu": "4"}

    def test_that_are_carried_are_not_written_again(self, connector, cluster):
        carry(connector, target(), [ORDER])
        before = cluster.version

        carry(connector, target(), [ORDER])

        assert cluster.version == before

    def test_applied_again_by_a_blind_repeat_leave_the_resource_version(self, connector, cluster, server):
        carry(connector, target(), [ORDER])
        version = cluster.at(QUOTA)["metadata"]["resourceVersion"]
        sent = next(seen for seen in server.requests if f"{seen.method} {seen.path}" == f"PATCH {QUOTA}")
        body = json.loads(sent.body)
        body["metadata"]["resourceVersion"] = version

        answer = cluster.change(replace(sent, body=json.dumps(body).encode()))

        assert answer.status == 200 and cluster.at(QUOTA)["metadata"]["resourceVersion"] == version

    def test_of_several_allocations_are_marked_by_the_target(self, connector, cluster):
        carry(connector, target(), [ORDER, replace(ORDER, marker="oc-2")])

        assert cluster.at(NAMESPACE)["metadata"]["labels"]["ocenter.io/allocation"] == "oc-target"


class TestProbe:
    def test_tells_limits_and_use_also_when_more_is_used_than_allowed(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.edit(
            QUOTA, "kube-controller-manager", lambda item: item.update(status={"used": {f"requests.{GPU}": "12"}})
        )

        found = connector.probe(target())

        assert found.detail == {"hard": {f"requests.{GPU}": "4"}, "used": {f"requests.{GPU}": "12"}}
        assert (found.markers, found.enforced) == (("oc-first",), ("quota",))

    @pytest.mark.parametrize("path", [QUOTA, ACCOUNT, BINDING])
    def test_takes_nothing_for_delivered_while_a_part_is_missing(self, connector, cluster, path):
        carry(connector, target(), [ORDER])
        cluster.lose(path)

        assert connector.probe(target()).markers == ()
        assert {call.object for call in connector.plan(target(), [ORDER]).calls} == {path.rpartition("/")[0], path}

        assert carry(connector, target(), [ORDER]).found.markers == ("oc-first",)


class TestConflict:
    """Somebody else changed what we set."""

    @pytest.fixture
    def taken(self, connector, cluster):
        carry(connector, target(), [ORDER])

        def raise_limit(item):
            item["spec"]["hard"][f"requests.{GPU}"] = "99"

        cluster.edit(QUOTA, "kubectl-edit", raise_limit)

    def test_is_found_and_reported_with_who_did_it_and_never_forced(self, connector, cluster, taken):
        assert [call.object for call in connector.plan(target(), [ORDER]).calls] == [QUOTA]

        error = refused(connector.apply, target(), [ORDER])

        assert error.code == "conflict" and '"kubectl-edit"' in error.platform_words
        assert cluster.at(QUOTA)["spec"]["hard"][f"requests.{GPU}"] == "99"

    def test_is_repaired_where_the_pool_says_so(self, cluster, server, taken):
        settings = {"api_url": server.url, "on_conflict": "repair"}
        with connect_here("kubernetes", settings, {"token": TOKEN}) as repairing:
            carry(repairing, target(), [ORDER])

        assert cluster.at(QUOTA)["spec"]["hard"][f"requests.{GPU}"] == "4"

    def test_with_a_limit_of_others_beside_ours_is_none(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.edit(QUOTA, "kubectl-edit", lambda item: item["spec"]["hard"].update(pods="20"))

        assert connector.plan(target(), [ORDER]).calls == ()


class TestMark:
    """Taken off by somebody."""

    def test_of_the_installation_that_is_gone_makes_a_namespace_not_ours(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.edit(NAMESPACE, "kubectl-label", lambda item: item["metadata"]["labels"].pop("ocenter.io/installation"))

        for orders in ([ORDER], []):
            error = refused(connector.apply, target(2), orders)
            assert error.code == "not_ours" and "give it its labels back" in str(error)

        assert cluster.at(QUOTA) and not connector.probe(target()).is_ours

    def test_that_is_missing_on_a_quota_of_our_name_stops_before_it(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.edit(QUOTA, "kubectl-label", lambda item: item["metadata"].update(labels={}))

        assert refused(connector.apply, target(2), [ORDER]).code == "not_ours"


class TestRefusal:
    def test_of_an_unknown_field_is_permanent_although_the_server_says_500(self, connector, server):
        server.alter = lambda seen, answer: (
            recorded_answer("error_apply_unknown_field") if seen.method == "PATCH" else answer
        )

        error = refused(connector.apply, target(), [ORDER])

        assert error.code == "rejected" and "field not declared in schema" in error.platform_words

    @pytest.mark.parametrize(
        "name", ["error_403_quota_exceeded", "error_403_quota_must_specify", "error_422_kueue_invalid"]
    )
    def test_by_a_rule_of_the_cluster_is_told_in_its_words(self, connector, cluster, name):
        cluster.refuse = lambda seen, at: recorded_answer(name)

        error = refused(connector.apply, target(), [ORDER])

        assert (error.code, type(error)) == ("rejected", Permanent) and error.platform_words

    @pytest.mark.parametrize("name", ["error_403_forbidden", "error_403_rbac_escalation"])
    def test_for_want_of_rights_is_denied(self, connector, cluster, name):
        cluster.refuse = lambda seen, at: recorded_answer(name)

        with pytest.raises(Denied) as raised:
            connector.apply(target(), [ORDER])

        assert raised.value.code == "forbidden"

    def test_by_a_throttled_server_says_when_to_come_again(self, connector, cluster):
        cluster.refuse = lambda seen, at: recorded_answer("error_429_throttled")

        with pytest.raises(Transient) as raised:
            connector.apply(target(), [ORDER])

        assert (raised.value.code, raised.value.after_seconds) == ("throttled", 1.0)

    def test_of_half_an_answer_leaves_the_effect_unknown(self, connector, server):
        torn = json_answer({"kind": "Namespace", "metadata": {"name": "x" * 5000}})
        torn.cut_after = 100
        server.alter = lambda seen, answer: torn if seen.method == "POST" else answer

        with pytest.raises(Transient) as raised:
            connector.apply(target(), [ORDER])

        assert raised.value.code == "truncated"


class TestRace:
    @pytest.fixture
    def overtaking(self, cluster, server):
        """Let another session carry orders of generation 9 right before the next change arrives."""

        def overtake(orders):
            def handle(seen):
                if seen.method in ("POST", "PATCH", "DELETE"):
                    server.handler = cluster
                    with connect_here("kubernetes", {"api_url": server.url}, {"token": TOKEN}) as other:
                        carry(other, target(9), orders)
                return cluster(seen)

            server.handler = handle

        return overtake

    def test_that_is_lost_again_and_again_is_told_after_some_attempts(self, connector, cluster, server):
        cluster.refuse = lambda seen, at: recorded_answer("error_409_conflict_stale_update")

        with pytest.raises(Transient) as raised:
            connector.apply(target(), [ORDER])

        assert raised.value.code == "conflict" and len(changing(server)) == 5

    def test_with_a_newer_writer_between_look_and_change_is_lost_by_the_older_one(self, connector, cluster, overtaking):
        carry(connector, target(1), [ORDER])
        overtaking([replace(ORDER, milli=1000)])

        assert refused(connector.apply, target(2), [replace(ORDER, milli=8000)]).code == "stale_generation"
        assert cluster.at(QUOTA)["spec"]["hard"] == {f"requests.{GPU}": "1"}

    def test_with_a_newer_writer_is_lost_by_an_older_one_that_gives_back(self, connector, overtaking):
        carry(connector, target(1), [ORDER])
        overtaking([ORDER])

        assert refused(connector.apply, target(2), []).code == "stale_generation"
        assert connector.probe(target()).generation == 9

    def test_of_two_that_make_the_same_namespace_has_one_maker(self, connector, overtaking):
        overtaking([ORDER])

        assert refused(connector.apply, target(2), [ORDER]).code == "stale_generation"

    def test_with_a_controller_that_writes_the_status_is_run_again(self, connector, cluster):
        def write_status(seen, at):
            if at.resource == "resourcequotas" and seen.method == "PATCH":
                cluster.refuse = lambda seen, at: None
                cluster.edit(QUOTA, "kube-controller-manager", lambda item: item.update(status={"used": {}}))

        cluster.refuse = write_status

        assert carry(connector, target(), [ORDER]).found.markers == ("oc-first",)


class TestGivingBack:
    def test_is_pending_while_the_namespace_terminates_and_done_when_it_is_gone(self, connector, cluster):
        carry(connector, target(1), [ORDER])
        cluster.looks_until_gone = 2

        first, second = connector.apply(target(2), []), connector.apply(target(2), [])
        last = connector.apply(target(2), [])

        assert isinstance(first, Pending) and [call.verb for call in first.changes] == ["DELETE"]
        assert isinstance(second, Pending) and second.changes == () and second.after_seconds > 0
        assert last == Done(found=Absent())

    def test_shows_nothing_as_delivered_while_the_namespace_terminates(self, connector, cluster):
        carry(connector, target(1), [ORDER])
        cluster.looks_until_gone = 9
        connector.apply(target(2), [])

        found = connector.probe(target(2))

        assert (found.markers, found.detail, found.is_ours) == ((), {"phase": "Terminating"}, True)
        assert isinstance(connector.apply(target(3), [ORDER]), Pending)

    def test_of_a_namespace_that_ends_under_our_hands_is_transient(self, connector, cluster):
        cluster.refuse = lambda seen, at: (
            recorded_answer("error_403_namespace_terminating") if at.resource == "resourcequotas" else None
        )

        with pytest.raises(Transient) as raised:
            connector.apply(target(), [ORDER])

        assert raised.value.code == "terminating" and raised.value.after_seconds

    def test_is_one_change_that_holds_for_that_very_namespace_only(self, connector, cluster, server):
        carry(connector, target(1), [ORDER])
        meta = cluster.at(NAMESPACE)["metadata"]

        carry(connector, target(2), [])

        sent = server.requests[[seen.method for seen in server.requests].index("DELETE")]
        assert sent.path == NAMESPACE
        assert json.loads(sent.body)["preconditions"] == {name: meta[name] for name in ("uid", "resourceVersion")}

    def test_leaves_a_namesake_that_somebody_made_meanwhile(self, connector, cluster):
        carry(connector, target(1), [ORDER])

        def swap(seen, at):
            cluster.refuse = lambda seen, at: None
            cluster.lose(NAMESPACE)
            cluster.put(NAMESPACES, {"kind": "Namespace", "metadata": {"name": "oc-target", "uid": "another"}})

        cluster.refuse = swap

        assert refused(connector.apply, target(2), []).code == "not_ours"
        assert cluster.at(NAMESPACE)["metadata"]["uid"] == "another"


class TestTenantsNamespace:
    def test_gets_our_objects_and_keeps_its_own_labels(self, connector, cluster, tenants):
        found = carry(connector, tenants, [ORDER]).found

        labels = cluster.at(f"{NAMESPACES}/team-a")["metadata"]["labels"]
        assert (
            found.markers == ("oc-first",) and labels["team"] == "a" and labels["ocenter.io/allocation"] == "oc-first"
        )
        assert "app.kubernetes.io/managed-by" not in labels

    def test_stays_when_all_is_given_back_and_only_ours_is_taken_off(self, connector, cluster, server, tenants):
        carry(connector, tenants, [ORDER])

        done = carry(connector, replace(tenants, generation=2), [])

        meta = cluster.at(f"{NAMESPACES}/team-a")["metadata"]
        assert done.found == Absent() == connector.probe(tenants)
        assert (meta["labels"], meta.get("annotations") or {}) == ({"team": "a"}, {})
        assert [call.object.split("/")[-2] for call in done.changes] == [
            "rolebindings",
            "serviceaccounts",
            "resourcequotas",
            "namespaces",
        ]
        assert not any(
            cluster.objects.get(f"{NAMESPACES}/team-a/{kind}") for kind in ("resourcequotas", "serviceaccounts")
        )

    def test_keeps_a_quota_that_we_did_not_make(self, connector, cluster, tenants):
        carry(connector, tenants, [ORDER])
        path = f"{NAMESPACES}/team-a/resourcequotas"
        cluster.put(path, {"kind": "ResourceQuota", "metadata": {"name": "theirs", "uid": "q-theirs"}})

        carry(connector, replace(tenants, generation=2), [])

        assert [item["metadata"]["name"] for item in cluster.objects[path].values()] == ["theirs"]

    def test_that_is_not_there_is_not_made(self, connector, server):
        error = refused(connector.apply, TENANTS, [ORDER])

        assert error.code == "not_found" and changing(server) == []
        assert connector.apply(TENANTS, []) == Done(found=Absent())

    def test_that_another_installation_uses_is_left_alone(self, connector, server, cluster, tenants):
        carry(connector, tenants, [ORDER])

        with connect_here("kubernetes", {"api_url": server.url}, {"token": TOKEN}, installation="other") as other:
            assert refused(other.apply, replace(tenants, generation=2), [ORDER]).code == "not_ours"
            assert not other.probe(tenants).is_ours

    def test_is_never_deleted_by_an_order_that_takes_it_for_ours(self, connector, cluster, tenants):
        carry(connector, tenants, [ORDER])

        assert refused(connector.apply, replace(tenants, generation=2, is_tenants=False), []).code == "not_ours"


class TestAName:
    @pytest.mark.parametrize("name", ["kube-system", "kube-public", "default", "openshift-config"])
    def test_of_the_cluster_itself_is_given_to_nobody(self, connector, server, name):
        target = replace(TENANTS, ref=name)

        for call in (connector.plan, connector.apply, connector.access):
            assert refused(call, target, [ORDER]).code == "invalid"
        assert not [seen for seen in server.requests if seen.method in ("POST", "PATCH", "DELETE")]

    @pytest.mark.parametrize("name", ["", "..", "a/b", "Team-A", "a" * 64, "-a", "a?b"])
    def test_that_is_none_gets_into_no_address(self, connector, server, name):
        assert refused(connector.apply, replace(TENANTS, ref=name), [ORDER]).code == "invalid"
        assert not [seen for seen in server.requests if name and name in seen.path]


class TestAccess:
    def test_is_a_kubeconfig_for_the_namespace_with_a_token_of_its_account(self, connector, cluster, server):
        carry(connector, target(), [ORDER])

        access = connector.access(target(), [ORDER])

        config = yaml.safe_load(access.secrets["kubeconfig"])
        assert config["users"][0]["user"] == {"token": cluster.tokens[0]}
        assert config["contexts"][0]["context"]["namespace"] == "oc-target"
        assert config["clusters"][0]["cluster"]["server"] == server.url == access.facts["server"]
        assert server.requests[-1].path == f"{ACCOUNT}/token"

    def test_lasts_as_long_as_the_platform_says_and_not_as_long_as_was_asked_for(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.most_token_seconds = 3600

        expires_at = datetime.fromisoformat(connector.access(target(), [ORDER]).expires_at)

        assert abs(expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=30)

    def test_near_the_end_of_the_lease_takes_the_shortest_that_the_platform_gives(self, connector, server):
        lease = replace(ORDER, lease_end_at=(datetime.now(UTC) + timedelta(minutes=2)).isoformat())
        carry(connector, target(), [lease])

        connector.access(target(), [lease])

        assert json.loads(server.requests[-1].body)["spec"] == {"expirationSeconds": 600}

    def test_after_the_lease_is_refused(self, connector):
        lease = replace(ORDER, lease_end_at=(datetime.now(UTC) - timedelta(minutes=2)).isoformat())
        carry(connector, target(), [lease])

        assert refused(connector.access, target(), [lease]).code == "invalid"

    def test_is_refused_while_the_role_is_missing(self, connector, cluster):
        carry(connector, target(), [ORDER])
        cluster.lose(BINDING)

        assert refused(connector.access, target(), [ORDER]).code == "not_found"

    def test_ends_with_the_account(self, connector, cluster):
        carry(connector, target(1), [ORDER])
        connector.access(target(1), [ORDER])

        carry(connector, target(2), [])

        assert cluster.at(ACCOUNT) is None and isinstance(connector.probe(target(2)), Absent)


class TestIdentity:
    def test_of_the_objects_is_found_by_another_session_after_a_restart_of_the_server(self, connector, cluster):
        carry(connector, target(), [ORDER])

        cluster.restart()

        assert isinstance(connector.probe(target()), Found) and connector.plan(target(), [ORDER]).calls == ()

    def test_of_a_server_without_the_kind_is_permanent(self, connector, cluster):
        cluster.refuse = lambda seen, at: Answer(status=404, body=b"404 page not found\n")

        assert refused(connector.apply, target(), [ORDER]).code == "not_found"
