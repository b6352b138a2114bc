"""Settings, log-in, identity, permissions and trust."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors import catalog
from connectors.contract import Denied, Permanent, Target, Transient
from connectors.openstack import login, permissions
from connectors.openstack.connector import OpenStack
from tests.connectors.openstack.double import PASSWORD, served
from tests.connectors.openstack.live import living
from tests.connectors.server import HTML, LOOPBACK, Answer, Authority, connect_here, json_answer, serving

SECRET = "s3cret-of-the-cloud"
CLOUD = {
    "auth": {
        "auth_url": "https://keystone.example/v3",
        "username": "watcher",
        "password": SECRET,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_name": "Infra",
    },
    "region_name": "east",
    "interface": "internal",
}


@pytest.fixture
def cloud():
    with served("idle") as found:
        yield found


def from_yaml(**clouds: Any) -> str:
    return yaml.safe_dump({"clouds": clouds})


def read(settings: dict[str, Any], credential: dict[str, Any]) -> login.Login:
    """Read as the session does: the catalog fills in defaults first."""
    valid = catalog.validate("openstack", settings, credential)
    return login.read(valid.settings, valid.credential)


class TestLogin:
    def test_by_password_needs_a_user_a_project_and_a_password(self):
        whole = {"auth_url": "https://keystone.example", "username": "watcher", "project_name": "admin"}

        for name in whole:
            with pytest.raises(Permanent, match=name) as caught:
                read({key: value for key, value in whole.items() if key != name}, {"password": SECRET})
            assert caught.value.code == "invalid_settings"
        with pytest.raises(Permanent, match="password"):
            read(whole, {})

    def test_a_domain_is_a_name_or_an_id(self):
        whole = {"auth_url": "https://keystone.example", "username": "watcher", "project_name": "admin"}

        plugin: Any = read({**whole, "user_domain": "default", "project_domain": "Infra"}, {"password": SECRET}).plugin

        assert plugin.auth_methods[0].user_domain_id == "default" and plugin.auth_methods[0].user_domain_name is None
        assert plugin.project_domain_name == "Infra" and plugin.project_domain_id is None

    def test_clouds_yaml_says_everything(self):
        settings = {"auth_type": "clouds_yaml", "cloud": "east"}

        found = read(settings, {"clouds_yaml": from_yaml(east=CLOUD, west={})})

        assert (found.auth_url, found.region, found.interface) == ("https://keystone.example/v3", "east", "internal")
        plugin: Any = found.plugin
        assert plugin.auth_methods[0].user_domain_id == "default" and plugin.project_domain_name == "Infra"
        assert found.secrets == (SECRET,)

    def test_a_field_wins_over_clouds_yaml(self):
        settings = {"auth_type": "clouds_yaml", "region": "west"}

        assert read(settings, {"clouds_yaml": from_yaml(east=CLOUD)}).region == "west"

    def test_an_application_credential_in_clouds_yaml_is_used(self):
        auth = {
            "auth_url": "https://keystone.example",
            "application_credential_id": "i1",
            "application_credential_secret": SECRET,
        }
        text = from_yaml(east={"auth": auth, "auth_type": "v3applicationcredential"})

        found = read({"auth_type": "clouds_yaml"}, {"clouds_yaml": text})

        plugin: Any = found.plugin
        assert plugin.auth_methods[0].application_credential_id == "i1" and found.secrets == (SECRET,)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (f"password: [{SECRET}", "no YAML text"),
            (SECRET, "no YAML text"),
            (from_yaml(east=CLOUD, west=CLOUD), "has 2 clouds"),
            (from_yaml(east={"password": SECRET}), "no 'auth' entry"),
            (from_yaml(east={**CLOUD, "cacert": "/etc/ssl/ca.pem"}), "ca_pem"),
            (from_yaml(east={**CLOUD, "auth_type": "v3oidcpassword"}), "auth_type"),
        ],
    )
    def test_a_clouds_yaml_of_no_use_says_why_and_is_never_quoted(self, text, why):
        with pytest.raises(Permanent, match=why) as caught:
            read({"auth_type": "clouds_yaml"}, {"clouds_yaml": text})

        assert caught.value.code == "invalid_settings" and SECRET not in str(caught.value)

    def test_the_timeout_is_long_enough_for_cyborg(self):
        whole = {"auth_url": "https://keystone.example", "username": "watcher", "project_name": "admin"}

        assert read(whole, {"password": SECRET}).seconds == 90
        with pytest.raises(catalog.InvalidSettings):
            read({**whole, "request_timeout_seconds": 59}, {"password": SECRET})


class TestIdentity:
    def test_is_the_same_by_another_address(self, cloud):
        first = cloud.connector().identity()
        with served("idle") as other:
            second = other.connector().identity()

        assert first.key == second.key and first.label != second.label

    def test_costs_a_log_in_and_the_version_of_placement(self, cloud):
        cloud.connector().identity()

        assert cloud.server.paths() == ["POST /identity/v3/auth/tokens", "GET /placement/"]

    def test_stays_when_services_and_endpoints_are_made_anew(self, cloud):
        before = cloud.connector().identity().key
        for service in cloud.double.token["token"]["catalog"]:
            if service["type"] != "identity":
                service["id"] = service["id"][::-1]
            for endpoint in service["endpoints"]:
                endpoint["id"] = endpoint["id"][::-1]

        assert cloud.connector().identity().key == before

    def test_differs_by_region(self, cloud):
        before = cloud.connector().identity().key
        for service in cloud.double.token["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                endpoint |= {"region": "west", "region_id": "west"}

        assert cloud.connector().identity().key != before

    def test_another_cloud_behind_the_same_address_is_refused(self, cloud):
        key = cloud.connector().identity().key
        with served("busy") as other:
            cloud.double.token["token"]["catalog"] = other.double.token["token"]["catalog"]

        with (
            pytest.raises(Permanent) as caught,
            connect_here("openstack", cloud.settings, cloud.credential, identity_key=key) as connector,
        ):
            list(connector.observe(None))

        assert caught.value.code == "identity_changed"

    def test_a_cloud_of_several_regions_asks_for_one(self, cloud):
        placement = next(entry for entry in cloud.double.token["token"]["catalog"] if entry["type"] == "placement")
        west = {**placement["endpoints"][0], "region": "west", "region_id": "west"}
        placement["endpoints"].append(west)

        with pytest.raises(Permanent, match="RegionOne, west") as caught:
            cloud.connector().identity()

        assert caught.value.code == "invalid_settings"
        assert cloud.connector(region="west").identity().key.endswith("/west")

    def test_a_cloud_without_placement_is_of_no_use(self, cloud):
        cloud.double.without("placement")

        with pytest.raises(Permanent, match="placement") as caught:
            cloud.connector().identity()

        assert caught.value.code == "invalid_settings"


class TestTrouble:
    def test_a_wrong_password_is_told_without_it(self, cloud):
        cloud.double.password = "another"

        with pytest.raises(Denied) as caught:
            cloud.connector().identity()

        assert caught.value.code == "unauthorized" and PASSWORD not in f"{caught.value}{caught.value.platform_words}"

    def test_a_token_that_expires_in_between_is_fetched_anew(self, cloud):
        connector = cloud.connector()
        connector.identity()
        cloud.double.tokens.clear()

        pages = list(connector.observe(None))

        assert sum(len(node.devices) for page in pages for node in page.nodes) == 34 and cloud.double.logins == 2

    def test_a_token_that_is_never_accepted_ends_in_denied(self, cloud):
        connector = cloud.connector()
        cloud.server.alter = lambda seen, answer: answer if seen.method == "POST" else Answer(status=401)

        with pytest.raises(Denied) as caught:
            list(connector.observe(None))

        assert caught.value.code == "unauthorized" and cloud.double.logins == 2

    @pytest.mark.parametrize(
        "answer",
        [
            HTML,
            Answer(status=404, body=b"<html>nothing</html>"),
            Answer(status=405),
            json_answer({"kind": "Status", "apiVersion": "v1"}, status=201),
            json_answer([], status=201),
            json_answer({"token": {"catalog": []}}, status=201),
            json_answer({"token": 7}, status=201, headers={"X-Subject-Token": "t"}),
        ],
    )
    def test_another_kind_of_server_is_no_keystone(self, answer):
        with serving(lambda seen: answer) as server:
            settings = {"auth_url": f"{server.url}/v3", "username": "u", "project_name": "p"}
            connector = OpenStack(settings, {"password": PASSWORD}, LOOPBACK)

            with pytest.raises(Permanent) as caught:
                connector.check()

        assert caught.value.code in ("not_this_kind", "invalid_settings")

    def test_another_service_at_the_address_of_placement_is_refused(self, cloud):
        cloud.double.put("/placement/resource_providers", {"servers": []})

        with pytest.raises(Permanent) as caught:
            list(cloud.connector().observe(None))

        assert caught.value.code == "not_this_kind"

    def test_cyborgs_words_in_a_string_in_json_are_read(self, cloud):
        words = {"error_message": '{"faultcode": "Client", "faultstring": "Unknown argument: \\"limit\\""}'}
        cloud.double.put("/accelerator/v2/devices", words, status=400)

        with pytest.raises(Permanent) as caught:
            list(cloud.connector().observe(None))

        assert caught.value.platform_words == 'Unknown argument: "limit"'

    def test_a_nova_that_fails_is_no_nova_that_is_absent(self, cloud):
        cloud.double.put("/compute/os-hypervisors/detail", {}, status=503)

        with pytest.raises(Transient):
            list(cloud.connector().observe(None))

    def test_a_catalog_that_leads_cyborg_without_its_version_is_understood(self, cloud):
        for service in cloud.double.token["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                endpoint["url"] = endpoint["url"].removesuffix("/v2")

        assert sum(len(page.nodes) for page in cloud.connector().observe(None)) == 5


class TestTrust:
    @pytest.fixture
    def authority(self):
        return Authority()

    def test_the_ca_is_trusted_for_all_services(self, authority):
        with served("idle", identity=authority.identity()) as cloud:
            assert sum(len(page.nodes) for page in cloud.connector(ca_pem=authority.pem).observe(None)) == 5

    def test_without_the_ca_nothing_is_sent(self, authority):
        with served("idle", identity=authority.identity()) as cloud:
            with pytest.raises(Permanent) as caught:
                cloud.connector().identity()

            assert caught.value.code == "tls_untrusted" and cloud.server.requests == []

    def test_a_fingerprint_is_enough_and_must_be_right(self, authority):
        identity = authority.identity()
        with served("idle", identity=identity) as cloud:
            assert sum(
                len(page.nodes) for page in cloud.connector(tls_fingerprint=identity.fingerprint()).observe(None)
            )
            with pytest.raises(Permanent) as caught:
                cloud.connector(tls_fingerprint="0" * 64).identity()

        assert caught.value.code == "tls_untrusted"

    def test_insecure_is_loud(self, authority):
        with served("idle", identity=authority.identity()) as cloud:
            connector = cloud.connector(tls_verify="insecure")

            warnings = [*connector.check().warnings, *(w for page in connector.observe(None) for w in page.warnings)]

        assert sum("is not checked" in warning for warning in warnings) >= 2


class TestCheck:
    @pytest.mark.parametrize(
        ("role", "missing"),
        [
            ("service", ["cyborg:arq:delete and a service token"]),
            (
                "admin",
                ["placement:allocations:update", "cyborg:device_profile:create", "cyborg:device_profile:delete"],
            ),
        ],
    )
    def test_names_what_is_missing_to_manage(self, role, missing):
        with living() as (double, cloud):
            whole = cloud.connector().check()
            double.take_role(role)

            check = cloud.connector().check()

        assert whole.manage.ok and check.watch.ok and not check.manage.ok
        assert [text.split(" (")[0] for text in check.manage.missing] == missing

    def test_without_cyborg_nothing_can_be_bound(self, cloud):
        cloud.double.without("accelerator")

        assert cloud.connector().check().manage.missing[0].startswith("the service accelerator")

    def test_changes_nothing(self):
        with living() as (double, cloud):
            cloud.connector().check()

            assert (double.consumers, double.requests, double.profiles) == ({}, [], [])

    def test_a_project_user_learns_which_policies_refuse(self):
        with served("forbidden") as cloud:
            check = cloud.connector().check()

        assert not check.watch.ok
        assert check.watch.missing[0].startswith("placement:resource_providers:list (by default the role admin")
        assert "reader" in check.watch.missing[0]
        assert not any(missing.startswith("cyborg:") for missing in check.watch.missing)

    def test_a_project_user_observes_nothing_at_all(self):
        with served("forbidden") as cloud:
            pages = cloud.connector().observe(None)

            with pytest.raises(Denied) as caught:
                next(pages)

        assert caught.value.code == "forbidden" and "placement:resource_providers:list" in caught.value.platform_words

    def test_liveness_that_may_not_be_read_is_a_warning_only(self):
        with served("busy") as cloud:
            cloud.double.put("/compute/os-hypervisors/detail?limit=1", {"forbidden": {"message": "no"}}, status=403)

            check = cloud.connector().check()

        assert check.watch.ok and any("os-hypervisors" in warning for warning in check.warnings)


class TestPolicy:
    def test_that_is_shipped_has_every_policy_that_check_may_name(self):
        shipped = yaml.safe_load((Path(permissions.__file__).parent / "policy.yaml").read_text())
        asked = [ask.policy for ask in (*permissions.WATCH, *permissions.LIVENESS)]
        asked += [change.policy.split(" ")[0] for change in permissions.MANAGE]

        assert {name for name in asked if not name.startswith("cyborg:")} <= shipped.keys()
        assert {name for name in asked if "device_profile" in name} <= shipped.keys()


class TestTargets:
    def test_of_another_kind_are_refused(self, cloud):
        target = Target(kind="namespace", ref="oc-x", generation=1)

        for call in (cloud.connector().plan, cloud.connector().apply, cloud.connector().hold):
            with pytest.raises(Permanent) as caught:
                call(target, [])
            assert caught.value.code == "not_supported"
