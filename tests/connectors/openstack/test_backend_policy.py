"""The roles of policy.yaml on real services: with the file in place they are enough, with a rule less `check` names it.

oslo.policy reads the file again when it changed. The services of the backend share the folder of their settings, so
that one file is the policy of all of them.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from connectors.contract import Absent, Found, Order, Target
from connectors.openstack import permissions
from tests.connectors.apply_contract import carry
from tests.connectors.openstack.backend import replace
from tests.connectors.server import connect_here

pytestmark = pytest.mark.backend
SHIPPED = Path(permissions.__file__).with_name("policy.yaml").read_text()
RULES = yaml.safe_load(SHIPPED)
FOR_NEW_DEFAULTS = yaml.safe_load("\n".join(re.findall(r'^# ("cyborg:.*)$', SHIPPED, re.MULTILINE)))
PASSWORD = "only-for-this-test"
ACCOUNTS = {
    "watcher": ("ocenter-watch",),
    "manager": ("ocenter-watch", "ocenter-manage"),
    "binder": ("ocenter-watch", "ocenter-manage", "service"),
}


def rules_of(role):
    return [name for name, text in RULES.items() if text.endswith(f"role:{role}")]


class Identity:
    """Makes roles, a project and people in the backend's Keystone."""

    def __init__(self, backend):
        self._backend = backend
        self.project = self._make("project", {"name": "ocenter", "domain_id": "default"})
        known = self._ask("GET", "/roles")["roles"]
        self._roles = {role["name"]: role["id"] for role in known}

    def _ask(self, method, path, body=None):
        answer = self._backend.ask("identity", method, path, body)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def _make(self, kind, fields):
        return self._ask("POST", f"/{kind}s", {kind: fields})[kind]["id"]

    def account(self, name, roles):
        """Make a person who has just these roles in the project."""
        user = self._make("user", {"name": name, "password": PASSWORD, "domain_id": "default"})
        for role in roles:
            if role not in self._roles:
                self._roles[role] = self._make("role", {"name": role})
            self._ask("PUT", f"/projects/{self.project}/users/{user}/roles/{self._roles[role]}")


@pytest.fixture(scope="module")
def policy(nova_backend):
    """Write the policy of all services; at the end they have their own again."""
    file = nova_backend.fleet.with_name("etc") / "policy.yaml"

    def write(without=""):
        left = {name: text for name, text in RULES.items() if name != without}
        replace(file, SHIPPED if not without else yaml.safe_dump(left))

    yield write
    replace(file, "{}")


@pytest.fixture(scope="module")
def accounts(nova_backend):
    identity = Identity(nova_backend)
    for name, roles in ACCOUNTS.items():
        identity.account(name, roles)
    auth_url = yaml.safe_load(nova_backend.clouds_yaml)["clouds"]["booted-admin"]["auth"]["auth_url"]
    return {name: {"auth_url": auth_url, "username": name, "project_name": "ocenter"} for name in ACCOUNTS}


@pytest.fixture
def connect(accounts, policy):
    policy()
    opened = []

    def connect(name):
        opened.append(connect_here("openstack", accounts[name], {"password": PASSWORD}))
        return opened[-1].__enter__()

    yield connect
    for each in opened:
        each.__exit__(None, None, None)


class TestTheRoleToWatch:
    def test_is_nothing_without_the_file(self, connect, policy):
        connector = connect("watcher")
        policy(without=rules_of("ocenter-watch")[0])

        assert not connector.check().watch.ok

    def test_lets_a_pool_be_watched_and_no_more(self, connect, nova_backend):
        connector = connect("watcher")

        check = connector.check()
        pages = list(connector.observe(None))

        nodes = {node.name: node for page in pages for node in page.nodes}
        assert check.watch.ok and not check.manage.ok
        assert not any("alive" in warning for warning in check.warnings)
        assert pages[-1].last.complete and nodes == nova_backend.look()

    @pytest.mark.parametrize("rule", rules_of("ocenter-watch"))
    def test_with_a_rule_less_is_told_by_its_name(self, connect, policy, rule):
        connector = connect("watcher")
        policy(without=rule)

        check = connector.check()

        told = [*check.watch.missing, *check.warnings]
        assert [each for each in rules_of("ocenter-watch") if any(each in text for text in told)] == [rule]
        assert check.watch.ok == rule.startswith("os_compute_api:")


class TestTheRoleToManage:
    def test_lets_cards_be_held_bound_and_given_back(self, connect):
        connector = connect("binder")
        check = connector.check()
        node = next(node for page in connector.observe(None) for node in page.nodes if len(node.devices) >= 4)
        target = Target(kind="consumer", ref="oc-by-role", generation=1, node_ref=node.ref)
        wanted = Order(
            marker="oc-by-role", allocation="A", member=0, milli=2000, devices=tuple(d.ref for d in node.devices[:2])
        )

        held = connector.hold(target, [wanted])
        done = carry(connector, target, [wanted])
        delivery = connector.access(target, [wanted])
        given_back = carry(connector, Target(kind="consumer", ref="oc-by-role", generation=2, node_ref=node.ref), [])

        assert check.watch.ok and check.manage.ok and held.changes
        assert isinstance(done.found, Found) and done.found.markers == ("oc-by-role",)
        assert len(delivery.facts["devices"].split()) == 2 and given_back.found == Absent()

    def test_without_a_service_token_lacks_that_alone(self, connect):
        (missing,) = connect("manager").check().manage.missing

        assert "service token" in missing

    @pytest.mark.parametrize("rule", rules_of("ocenter-manage"))
    def test_with_a_rule_less_is_told_by_its_name(self, connect, policy, rule):
        connector = connect("manager")
        policy(without=rule)

        told = connector.check().manage.missing

        assert [each for each in rules_of("ocenter-manage") if any(each in text for text in told)] == [rule]


# Run by the backend's own Python: what Cyborg's rules, with the new defaults and a file beside them, let roles do.
ENFORCE = """
import json, sys
from cyborg import policies
from oslo_config import cfg
from oslo_policy import opts, policy
conf = cfg.ConfigOpts()
opts.set_defaults(conf, policy_file=sys.argv[1], enforce_new_defaults=True)
conf([])
enforcer = policy.Enforcer(conf)
enforcer.register_defaults(policies.list_policies())
who = {"roles": sys.argv[2].split(","), "project_id": "ours"}
rules = sorted(rule.name for rule in policies.list_policies() if ":" in rule.name)
allowed = [name for name in rules if enforcer.authorize(name, {"project_id": "ours"}, who)]
print(json.dumps({"rules": rules, "allowed": allowed}))
"""


class TestTheRulesForNewDefaults:
    """The backend runs with Cyborg's old defaults, so these are tried on Cyborg's rules and not on its service."""

    @pytest.fixture
    def enforced(self, nova_backend, tmp_path):
        def enforced(roles, rules):
            file = tmp_path / "policy.yaml"
            file.write_text(yaml.safe_dump(rules))
            python = nova_backend.fleet.parents[2] / "venv" / "bin" / "python"
            done = subprocess.run(
                [python, "-W", "ignore", "-c", ENFORCE, file, roles], capture_output=True, text=True, check=True
            )
            return json.loads(done.stdout)

        return enforced

    def test_are_of_cyborg_and_needed_there(self, enforced):
        without = enforced("ocenter-watch,ocenter-manage", RULES)

        assert set(FOR_NEW_DEFAULTS) <= set(without["rules"])
        assert not set(FOR_NEW_DEFAULTS) & set(without["allowed"])

    def test_let_the_roles_do_what_ocenter_asks_of_cyborg_and_no_more(self, enforced):
        watch = {name for name, text in FOR_NEW_DEFAULTS.items() if text.endswith("role:ocenter-watch")}

        watches = enforced("ocenter-watch", RULES | FOR_NEW_DEFAULTS)["allowed"]
        both = enforced("ocenter-watch,ocenter-manage", RULES | FOR_NEW_DEFAULTS)["allowed"]

        assert set(watches) == watch
        assert set(both) == {*FOR_NEW_DEFAULTS, "cyborg:device_profile:create", "cyborg:device_profile:delete"}
