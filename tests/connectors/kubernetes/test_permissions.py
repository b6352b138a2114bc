"""The two shipped roles are exactly what the connector needs, and ``check`` names whatever is taken from them."""

import pytest
import yaml
from msgspec.structs import replace

from connectors.contract import Absent, Denied, Order, Target
from connectors.kubernetes import permissions
from tests.connectors.apply_contract import carry
from tests.connectors.contract import pages
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NODES
from tests.connectors.server import json_answer

ORDER = Order(
    marker="oc-first", allocation="A", member=0, resource="nvidia.com/gpu", model="NVIDIA-H100-80GB-HBM3", milli=4000
)
RIGHTS = [(role, right) for role in ("watch", "manage") for right in permissions.rights(role)]


def target(generation):
    return Target(kind="namespace", ref="oc-target", generation=generation)


def given(*roles, without=None):
    """What an account with these roles may do; a right on one named object is no right on all."""
    rights = {right for role in roles for right in permissions.rights(role) if right != without}

    def may(asked):
        resource = asked["resource"] + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        wanted = (asked["verb"], asked["group"], resource)
        return any(
            (right.verb, right.group, right.resource) == wanted and right.name in ("", asked.get("name"))
            for right in rights
        )

    return may


@pytest.fixture(autouse=True)
def _node(cluster):
    cluster.put(NODES, fleet.node("h100"))


class TestRoles:
    @pytest.mark.parametrize("mode", ["quota", "kueue"])
    def test_of_both_let_all_be_done(self, connector, cluster, mode):
        cluster.rights = given("watch", "manage")
        first, second = (replace(target(generation), mode=mode) for generation in (1, 2))

        check = connector.check()
        carry(connector, first, [ORDER])
        connector.access(first, [ORDER])
        done = carry(connector, second, [])

        assert check.watch.ok and check.manage.ok and done.found == Absent()

    def test_to_watch_alone_lets_nothing_be_changed(self, connector, cluster):
        cluster.rights = given("watch")

        check = connector.check()

        assert check.watch.ok and set(check.manage.missing) == {str(right) for right in permissions.rights("manage")}
        assert pages(connector)[-1].last.complete
        with pytest.raises(Denied):
            connector.apply(target(1), [ORDER])

    @pytest.mark.parametrize(("role", "right"), RIGHTS, ids=lambda value: str(value))
    def test_with_one_right_less_are_told_by_the_check(self, connector, cluster, role, right):
        roles = ("watch",) if role == "watch" else ("watch", "manage")
        cluster.rights = given(*roles, without=right)

        check = connector.check()

        assert (check.watch if role == "watch" else check.manage).missing == (str(right),)
        assert role == "watch" or check.watch.ok

    @pytest.mark.parametrize(
        "missing", ["create namespaces", "create resourcequotas", "patch resourcequotas", "create serviceaccounts"]
    )
    def test_with_one_right_less_do_nothing_by_halves_that_cannot_be_given_back(self, connector, cluster, missing):
        (right,) = [right for right in permissions.rights("manage") if str(right) == missing]
        cluster.rights = given("watch", "manage", without=right)

        with pytest.raises(Denied) as raised:
            connector.apply(target(1), [ORDER])

        assert raised.value.code == "forbidden" and carry(connector, target(2), []).found == Absent()

    def test_on_kueue_are_not_asked_for_where_there_is_none(self, connector, cluster, server):
        cluster.rights = lambda asked: asked["group"] != permissions.KUEUE
        assert not connector.check().manage.ok

        server.alter = lambda seen, answer: json_answer({"groups": []}) if seen.path == "/apis" else answer

        assert connector.check().manage.ok

    def test_name_no_secret_and_no_wildcard(self):
        for role in ("watch", "manage"):
            for document in yaml.safe_load_all((permissions.ROLES / f"{role}.yaml").read_text()):
                for rule in document.get("rules", ()):
                    assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                    assert "secrets" not in rule["resources"] and "escalate" not in rule["verbs"]
