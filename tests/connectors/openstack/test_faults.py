"""The faults that every platform has some day, played by the double."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connectors.contract import Connector
from connectors.openstack import connector as module
from tests.connectors.contract import nodes
from tests.connectors.faults import FaultContract
from tests.connectors.openstack.double import Served, served
from tests.connectors.server import HTML, Answer, Authority, Seen, json_answer

PROVIDERS = "/placement/resource_providers"
CANDIDATES = "/placement/allocation_candidates"
SUMMARIES = f"{CANDIDATES}?resources=MEMORY_MB:1"
DEPLOYABLES = "/accelerator/v2/deployables"
HYPERVISORS = "/compute/os-hypervisors/detail"


def providers(cloud: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.double.body(PROVIDERS)["resource_providers"]
    return found


# --- each makes one fault ---------------------------------------------------------------------------------------------


def refused_credential(cloud: Served) -> None:
    cloud.double.password = "another"


def kubernetes_instead(cloud: Served) -> None:
    cloud.server.alter = lambda seen, answer: json_answer(
        {"kind": "Status", "apiVersion": "v1", "code": 404}, status=404
    )


def web_page_instead(cloud: Served) -> None:
    cloud.server.alter = lambda seen, answer: HTML


def truncated_page(cloud: Served) -> None:
    def cut(seen: Seen, answer: Answer) -> Answer:
        return Answer(body=answer.body, cut_after=500) if seen.path == CANDIDATES else answer

    cloud.server.alter = cut


def zero_bytes(cloud: Served) -> None:
    cloud.server.alter = lambda seen, answer: Answer() if seen.path == DEPLOYABLES else answer


def repeated_page(cloud: Served) -> None:
    link = [{"rel": "next", "href": f"{cloud.server.url}/compute/os-hypervisors/detail?marker=m"}]
    for path in (HYPERVISORS, f"{HYPERVISORS}?marker=m"):
        cloud.double.put(path, {**cloud.double.body(HYPERVISORS), "hypervisors_links": link})


def empty_list(cloud: Served) -> None:
    providers(cloud).clear()


def duplicate_devices(cloud: Served) -> None:
    deployables = cloud.double.body(DEPLOYABLES)["deployables"]
    deployables.append(copy.deepcopy(deployables[0]))


def long_names(cloud: Served) -> None:
    for number, provider in enumerate(each for each in providers(cloud) if each["parent_provider_uuid"] is None):
        provider["name"] = f"{'n' * 10_000}{number}"
    for device in cloud.double.body("/accelerator/v2/devices")["devices"]:
        device["model"] = "m" * 10_000


def negative_counts(cloud: Served) -> None:
    root = next(each["uuid"] for each in providers(cloud) if each["parent_provider_uuid"] is None)
    cloud.double.body(SUMMARIES)["provider_summaries"][root]["resources"]["MEMORY_MB"]["capacity"] = -5


def clock_ahead(cloud: Served) -> None:
    def later(seen: Seen, answer: Answer) -> Answer:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        return Answer(status=answer.status, body=answer.body, headers={**answer.headers, "Date": date})

    cloud.server.alter = later


FAULTS: dict[str, Callable[[Served], None]] = {
    "wrong_credential": refused_credential,
    "expired_token": refused_credential,  # Keystone says the same of an application credential past its end
    "another_kind_of_server": kubernetes_instead,
    "web_page": web_page_instead,
    "truncated_page": truncated_page,
    "zero_bytes": zero_bytes,
    "repeated_page": repeated_page,
    "empty_list": empty_list,
    "duplicate_devices": duplicate_devices,
    "long_names": long_names,
    "negative_counts": negative_counts,
    "clock_ahead": clock_ahead,
}


class TestFaultsOfOpenStack(FaultContract):
    @pytest.fixture
    def cloud(self, monkeypatch):
        monkeypatch.setattr(module, "NODES_PER_PAGE", 2)
        with served("busy") as cloud:
            yield cloud

    @pytest.fixture
    def untrusted(self):
        with served("idle", identity=Authority().identity()) as cloud:
            yield cloud

    @pytest.fixture
    def playing(self, cloud, untrusted, open_session):
        self.faulty = cloud
        application = {"auth_type": "application_credential", "application_credential_id": "i1"}
        secret = {"application_credential_secret": cloud.double.password}

        def play(fault: str) -> Connector:
            settings, credential, more = cloud.settings, cloud.credential, {}
            if fault == "untrusted_tls":
                settings = untrusted.settings
            elif fault == "unreachable":
                settings["auth_url"] = "http://127.0.0.1:9/v3"
            elif fault == "dns_failure":
                settings["auth_url"] = "http://no-such-host.invalid/v3"
            elif fault == "another_far_end":
                more["identity_key"] = "the-one-before"
            elif fault == "expired_token":
                settings, credential = {"auth_url": settings["auth_url"], **application}, secret
            FAULTS.get(fault, lambda cloud: None)(cloud)
            connector: Connector = open_session("openstack", settings, credential, **more)
            return connector

        return play

    def test_f07_a_device_that_moves_is_seen_where_it_is(self, playing):
        """No service tells what identifies the hardware: a card that moves gets another provider on another host."""
        connector = playing("none")
        before = {device.ref: node.name for node in nodes(connector) for device in node.devices}
        card = next(each for each in providers(self.faulty) if each["name"] == "east-002_0000:2c:00.0")
        goal = next(each for each in providers(self.faulty) if each["name"] == "east-003")
        card |= {"root_provider_uuid": goal["uuid"], "parent_provider_uuid": goal["uuid"]}

        after = {device.ref: node.name for node in nodes(connector) for device in node.devices}

        assert before.keys() == after.keys()
        assert [(before[ref], after[ref]) for ref in before if before[ref] != after[ref]] == [("east-002", "east-003")]
