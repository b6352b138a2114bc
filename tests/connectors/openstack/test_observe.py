"""What the connector makes of a cloud, as recorded from real services and changed where a test says so."""

import copy
import json
import re
from collections import ChainMap
from itertools import chain
from typing import Any

import pytest

from connectors.contract import CounterFact, DeviceFact, NodeFact, Transient, UseFact
from tests.connectors.openstack.double import Served, served
from tests.connectors.server import INSTALLATION

DEPLOYABLES = "/accelerator/v2/deployables"
DEVICES = "/accelerator/v2/devices"
REQUESTS = "/accelerator/v2/accelerator_requests"
PROVIDERS = "/placement/resource_providers"
CANDIDATES = "/placement/allocation_candidates?resources=MEMORY_MB:1"
HYPERVISORS = "/compute/os-hypervisors/detail"
STRANGER = "11111111-1111-1111-1111-111111111111"
OURS = "oc-abcdefghij234567abcd"


@pytest.fixture
def idle():
    with served("idle") as cloud:
        yield cloud


@pytest.fixture
def busy():
    with served("busy") as cloud:
        yield cloud


class Look:
    """One observation, easy to ask."""

    def __init__(self, cloud: Served) -> None:
        before = len(cloud.server.requests)
        connector = cloud.connector()
        self.pages = list(connector.observe(None))
        connector.close()
        self.requests = cloud.server.requests[before:]
        self.nodes: dict[str, NodeFact] = {node.name: node for page in self.pages for node in page.nodes}
        self.warnings = [warning for page in self.pages for warning in page.warnings]
        self.devices: list[DeviceFact] = [device for node in self.nodes.values() for device in node.devices]

    def card(self, host: str, address: str) -> DeviceFact:
        return next(device for device in self.nodes[host].devices if device.pci_address == address)

    def counter(self, host: str) -> CounterFact:
        (counter,) = self.nodes[host].counters
        return counter


def deployable(cloud: Served, name: str) -> Any:
    return next(each for each in cloud.double.body(DEPLOYABLES)["deployables"] if each["name"] == name)


def provider(cloud: Served, name: str) -> Any:
    return next(each for each in cloud.double.body(PROVIDERS)["resource_providers"] if each["name"] == name)


def summary(cloud: Served, name: str) -> Any:
    return cloud.double.body(CANDIDATES)["provider_summaries"][provider(cloud, name)["uuid"]]


def request(rp: str, **changes: Any) -> dict[str, Any]:
    return {
        "uuid": "22222222-2222-2222-2222-222222222222",
        "state": "Bound",
        "device_profile_name": "h100",
        "hostname": "no-such-host",
        "device_rp_uuid": rp,
        "instance_uuid": STRANGER,
        "project_id": "p1",
        **changes,
    }


class TestCards:
    def test_every_card_is_there_under_the_uuid_of_its_deployable(self, idle):
        look = Look(idle)

        assert len(look.devices) == 34
        assert {device.ref for device in look.devices} == {
            each["uuid"] for each in idle.double.body(DEPLOYABLES)["deployables"]
        }
        assert look.pages[-1].last is not None and look.pages[-1].last.complete

    def test_a_card_has_vendor_model_pci_id_and_address(self, idle):
        card = Look(idle).card("cyborg-001", "0000:1c:00.0")

        assert (card.vendor, card.pci_id) == ("nvidia", "10de:2330")
        assert card.model == "NVIDIA Corporation GH100 [H100 SXM5 80GB]"
        assert card.attributes["resource_class"] == "PGPU" and card.attributes["managed_by"] == "cyborg"
        assert card.total_milli == 1000 and card.health == "ok" and card.uses == ()

    def test_two_models_of_one_host_keep_their_own_names(self, idle):
        devices = idle.double.body(DEVICES)["devices"]
        other = next(each for each in devices if each["hostname"] == "cyborg-001")
        other |= {"model": "NVIDIA L40S", "std_board_info": '{"product_id": "26B9"}'}
        attributes = '[{"rc": "PGPU"}, {"trait0": "OWNER_CYBORG"}, {"trait1": "CUSTOM_NVIDIA_26B9"}]'
        deployable(idle, "cyborg-001_0000:10:00.0")["attributes_list"] = attributes

        look = Look(idle)

        assert look.card("cyborg-001", "0000:10:00.0").model == "NVIDIA L40S"
        assert look.card("cyborg-001", "0000:14:00.0").model == "NVIDIA Corporation GH100 [H100 SXM5 80GB]"

    def test_a_card_whose_device_is_gone_is_told_by_its_traits(self, idle):
        idle.double.body(DEVICES)["devices"].clear()

        card = Look(idle).card("cyborg-001", "0000:10:00.0")

        assert (card.vendor, card.pci_id, card.model) == ("nvidia", "10de:2330", "PGPU:CUSTOM_NVIDIA_2330")

    @pytest.mark.parametrize("attributes", [None, "", "{not json", [], "[1, null]"])
    def test_a_card_without_attributes_is_told_by_its_provider_and_the_only_kind_on_its_host(self, idle, attributes):
        name = "cyborg-001_0000:10:00.0"
        deployable(idle, name)["attributes_list"] = attributes
        summary(idle, name)["traits"] = []

        card = Look(idle).card("cyborg-001", "0000:10:00.0")

        assert card.attributes["resource_class"] == "PGPU"
        assert (card.pci_id, card.model) == ("10de:2330", "NVIDIA Corporation GH100 [H100 SXM5 80GB]")

    def test_attributes_that_come_as_a_list_are_read_too(self, idle):
        each = deployable(idle, "cyborg-001_0000:10:00.0")
        each["attributes_list"] = json.loads(each["attributes_list"])

        assert Look(idle).card("cyborg-001", "0000:10:00.0").pci_id == "10de:2330"

    def test_an_ascend_card_named_without_its_host_is_found_by_its_provider(self, idle):
        each = deployable(idle, "cyborg-001_0000:10:00.0")
        each |= {"name": "0000:10:00.0", "attributes_list": None, "driver_name": "huawei"}
        for device in idle.double.body(DEVICES)["devices"]:
            if device["hostname"] == "cyborg-001":
                device |= {"vendor": "19e5", "model": "Ascend 310", "std_board_info": '{"product_id": "d100"}'}
        summary(idle, "cyborg-001_0000:10:00.0")["traits"] = []

        card = Look(idle).card("cyborg-001", "0000:10:00.0")

        assert (card.vendor, card.model, card.pci_id) == ("huawei", "Ascend 310", "19e5:d100")

    def test_a_card_of_the_pci_driver_is_told_by_vendor_and_product_traits(self, idle):
        traits = ["OWNER_CYBORG", "CUSTOM_PCI_1002", "CUSTOM_PCI_PRODUCT_ID_74A1"]
        attributes = [{"rc": "CUSTOM_PCI"}, *({f"trait{n}": trait} for n, trait in enumerate(traits))]
        deployable(idle, "cyborg-001_0000:10:00.0")["attributes_list"] = json.dumps(attributes)
        summary(idle, "cyborg-001_0000:10:00.0")["resources"] = {"CUSTOM_PCI": {"capacity": 1, "used": 0}}
        device = idle.double.body(DEVICES)["devices"][0]
        device |= {"vendor": "1002", "model": "74a1", "std_board_info": '{"product_id": "74a1"}'}

        card = Look(idle).card("cyborg-001", "0000:10:00.0")

        assert (card.vendor, card.pci_id, card.model) == ("amd", "1002:74a1", "74a1")

    @pytest.mark.parametrize("resource_class", ["CUSTOM_NIC", "CUSTOM_SSD", "CUSTOM_QAT"])
    def test_network_cards_and_disks_are_left_out(self, idle, resource_class):
        deployable(idle, "cyborg-001_0000:10:00.0")["attributes_list"] = json.dumps([{"rc": resource_class}])

        assert len(Look(idle).devices) == 33

    def test_a_card_that_nobody_can_give_out_is_told_and_left_out(self, idle):
        deployable(idle, "cyborg-001_0000:10:00.0")["rp_uuid"] = None

        look = Look(idle)

        assert len(look.devices) == 33
        assert "Cards of Cyborg without a provider in Placement; nobody can get them (1): cyborg-001_0000:10:00.0." in (
            look.warnings
        )

    def test_of_two_entries_of_one_card_the_newer_counts(self, idle):
        old = deployable(idle, "cyborg-001_0000:10:00.0")
        new = {**old, "uuid": "33333333-3333-3333-3333-333333333333", "created_at": "2999-01-01T00:00:00+00:00"}
        idle.double.body(DEPLOYABLES)["deployables"].append(new)

        look = Look(idle)

        assert look.card("cyborg-001", "0000:10:00.0").ref == new["uuid"] and len(look.devices) == 34
        assert any("listed twice" in warning for warning in look.warnings)

    def test_the_integer_that_cyborg_calls_device_id_decides_nothing(self, idle):
        before = Look(idle).nodes
        for each in idle.double.body(DEPLOYABLES)["deployables"]:
            each["device_id"] = 1

        assert Look(idle).nodes == before


class TestSlots:
    @pytest.mark.parametrize("slots", [0, 5000])
    def test_a_card_of_no_slots_or_of_very_many_breaks_nothing(self, idle, slots):
        deployable(idle, "cyborg-001_0000:10:00.0")["num_accelerators"] = slots

        look = Look(idle)

        assert look.card("cyborg-001", "0000:10:00.0").total_milli == 0
        assert (look.counter("cyborg-001").total_units, look.counter("cyborg-001").unit_milli > 0) == (slots, True)

    def test_vgpus_are_counted_in_one_counter_of_their_node(self, idle):
        look = Look(idle)

        counter = look.counter("cyborg-v001")
        assert (counter.profile, counter.pci_id, counter.vendor) == ("T4-2Q", "10de:1eb8", "nvidia")
        assert (counter.total_units, counter.unit_milli, counter.faulty_units) == (16, 125, 0)
        assert [device.total_milli for device in look.nodes["cyborg-v001"].devices] == [0, 0]

    def test_used_vgpus_are_units_of_their_holder(self, busy):
        counter = Look(busy).counter("east-v001")

        (use,) = counter.uses
        assert use.milli == 375 and use.holder.endswith("/00000000-0000-0000-0000-000000000005")

    def test_vgpus_with_requests_need_no_further_call(self, idle):
        rp = provider(idle, "cyborg-v001_0000:10:00.0")["uuid"]
        summary(idle, "cyborg-v001_0000:10:00.0")["resources"]["VGPU"]["used"] = 2
        arqs = [request(rp, uuid=str(n), instance_uuid=f"vm-{n}") for n in range(2)]
        idle.double.put(REQUESTS, {"arqs": arqs})

        look = Look(idle)

        assert [use.holder for use in look.counter("cyborg-v001").uses] == ["p1/vm-0", "p1/vm-1"]
        assert not any("allocations" in seen.path for seen in look.requests)

    def test_reserved_vgpus_are_faulty_units(self, idle):
        summary(idle, "cyborg-v001_0000:10:00.0")["resources"]["VGPU"]["capacity"] = 5

        assert Look(idle).counter("cyborg-v001").faulty_units == 3

    def test_sixteen_slots_of_the_fake_driver_are_a_counter(self, idle):
        name = "cyborg-001_0000:10:00.0"
        attributes = '[{"rc": "FPGA"}, {"trait0": "CUSTOM_FAKE_DEVICE"}]'
        deployable(idle, name).update(num_accelerators=16, attributes_list=attributes)
        summary(idle, name)["resources"] = {"FPGA": {"capacity": 16, "used": 0}}

        counter = Look(idle).counter("cyborg-001")

        assert (counter.ref, counter.total_units, counter.unit_milli) == ("FPGA", 16, 62)


class TestUse:
    def test_a_server_holds_its_card_and_its_name_proves_nothing(self, busy):
        """Anybody can name a server oc-...; only a marker of this installation makes it ours."""
        uses = [use for device in Look(busy).nodes["east-001"].devices for use in device.uses]

        assert uses and all((use.milli, use.marker, use.holder.count("/")) == (1000, None, 1) for use in uses)

    @pytest.mark.parametrize(("installation", "marker"), [(INSTALLATION, OURS), ("another", None)])
    def test_a_hold_carries_our_marker(self, busy, installation, marker):
        consumer = "00000000-0000-0000-0000-000000000001"
        busy.double.body(f"/placement/allocations/{consumer}")["user_id"] = f"ocenter/{installation}/a/{OURS}/3"

        look = Look(busy)

        holder = f"55555555555555555555555555555555/{consumer}"
        assert look.card("east-002", "0000:10:00.0").uses == (UseFact(holder=holder, milli=1000, marker=marker),)

    def test_use_in_placement_without_a_request_counts_and_is_told(self, busy):
        look = Look(busy)

        (use,) = look.card("east-002", "0000:14:00.0").uses
        assert use.milli == 1000 and use.marker is None and use.holder.endswith("000000000002")
        assert "Cards in use in Placement without a request in Cyborg (1): east-002_0000:14:00.0." in look.warnings

    def test_a_bind_behind_placements_back_counts_and_is_told(self, busy):
        look = Look(busy)

        (use,) = look.card("east-003", "0000:10:00.0").uses
        assert use.milli == 1000 and use.holder.endswith("000000000003")
        assert any(
            "not counted in Placement" in warning and "east-003_0000:10:00.0" in warning for warning in look.warnings
        )

    def test_a_stranger_bound_to_a_card_that_placement_gave_to_another_takes_no_second_card(self, busy):
        rp = provider(busy, "east-002_0000:14:00.0")["uuid"]
        summary(busy, "east-002_0000:14:00.0")["resources"]["PGPU"]["used"] = 2  # so that the holders are asked
        busy.double.body(REQUESTS)["arqs"].append(request(rp))

        (use,) = Look(busy).card("east-002", "0000:14:00.0").uses

        assert use.holder.endswith("000000000002")

    @pytest.mark.parametrize("state", ["Initial", "BindStarted", "Unbound", "BindFailed", "UnbindFailed", "Deleting"])
    def test_only_bound_requests_count(self, idle, state):
        rp = provider(idle, "cyborg-001_0000:10:00.0")["uuid"]
        idle.double.put(REQUESTS, {"arqs": [request(rp, state=state)]})

        assert Look(idle).card("cyborg-001", "0000:10:00.0").uses == ()

    def test_the_host_in_a_request_decides_nothing(self, idle):
        rp = provider(idle, "cyborg-001_0000:10:00.0")["uuid"]
        idle.double.put(REQUESTS, {"arqs": [request(rp, hostname="no-such-host")]})

        assert [use.holder for use in Look(idle).card("cyborg-001", "0000:10:00.0").uses] == [f"p1/{STRANGER}"]

    @pytest.mark.parametrize(
        ("description", "marker"),
        [(f"ocenter/{INSTALLATION}/a/{OURS}/0", OURS), (f"ocenter/another/a/{OURS}/0", None), ("", None), (None, None)],
    )
    def test_a_request_is_ours_when_its_device_profile_says_so(self, idle, description, marker):
        rp = provider(idle, "cyborg-001_0000:10:00.0")["uuid"]
        idle.double.put(REQUESTS, {"arqs": [request(rp, device_profile_name=OURS)]})
        profile = {"uuid": "p", "name": OURS, "description": description, "groups": [{"resources:PGPU": "1"}]}
        idle.double.put("/accelerator/v2/device_profiles", {"device_profiles": [profile]})

        assert [use.marker for use in Look(idle).card("cyborg-001", "0000:10:00.0").uses] == [marker]

    def test_without_the_role_admin_missing_requests_are_no_conflict(self, busy):
        busy.double.token["token"]["roles"] = [{"name": "service", "id": "1"}]

        look = Look(busy)

        assert look.card("east-002", "0000:14:00.0").uses
        assert not any("without a request" in warning for warning in look.warnings)
        assert sum("Without the role admin" in warning for warning in look.warnings) == 1


class TestMaintenance:
    def test_a_card_in_maintenance_is_faulty(self, busy):
        faulty = [device for device in Look(busy).nodes["east-002"].devices if device.health == "faulty"]

        assert [device.health_reason for device in faulty] == ["In maintenance in Cyborg, and reserved in Placement."]

    def test_a_cloud_before_2_3_tells_no_status_and_placement_is_enough(self, busy):
        busy.double.newest["accelerator"] = (2, 2)

        faulty = [device for device in Look(busy).nodes["east-002"].devices if device.health == "faulty"]

        assert [device.health_reason for device in faulty] == [
            "Nothing new is given out of it: it is reserved in Placement, or has no inventory there."
        ]

    def test_maintenance_that_placement_does_not_know_is_told_and_takes_nothing_away(self, idle):
        idle.double.put(DEVICES, {"devices": [{**_first_device(idle), "status": "maintaining"}]})

        look = Look(idle)

        assert all(device.health == "ok" for device in look.devices)
        assert any("in maintenance in Cyborg that Placement still gives out" in warning for warning in look.warnings)


def _first_device(cloud: Served) -> Any:
    return copy.deepcopy(cloud.double.body(DEVICES)["devices"][0])


class TestHosts:
    def test_a_host_has_zone_cpu_and_memory(self, busy):
        node = Look(busy).nodes["east-001"]

        assert node.topology == {"region": "RegionOne", "zone": "nova"}
        assert (node.cpu_milli, node.cpu_used_milli) == (1_000_000, 2_000)
        assert (node.memory_mib, node.memory_used_mib) == (799488, 1024)

    def test_a_host_that_is_down_takes_nothing_new(self, busy):
        busy.double.body(HYPERVISORS)["hypervisors"][0]["state"] = "down"

        node = Look(busy).nodes["east-001"]

        assert not node.is_available and node.unavailable_reason == "Nova reports that the host is down."
        assert len(node.devices) == 12

    def test_a_disabled_host_says_why(self, busy):
        assert Look(busy).nodes["east-003"].unavailable_reason == "Disabled in Nova: new fans."

    def test_without_nova_hosts_count_as_available_and_that_is_told_once(self, idle):
        look = Look(idle)

        assert all(node.is_available for node in look.nodes.values())
        assert [warning for warning in look.warnings if "alive" in warning] == [
            "Whether hosts are alive is not known: no Nova answers. All count as available."
        ]

    def test_without_nova_in_the_catalog_it_is_the_same(self, idle):
        idle.double.without("compute")

        assert any("no compute service" in warning for warning in Look(idle).warnings)

    def test_without_the_right_to_ask_nova_it_is_the_same(self, busy):
        busy.double.put(HYPERVISORS, {"forbidden": {"code": 403, "message": "Policy doesn't allow"}}, status=403)

        look = Look(busy)

        assert any("may not list Nova's hypervisors" in warning for warning in look.warnings)
        assert not look.nodes["east-003"].is_available  # the trait in Placement tells it, too

    def test_host_names_with_an_underscore_are_no_trouble(self, idle):
        text = json.dumps(idle.double.body(PROVIDERS)).replace("cyborg-001", "rack_7_gpu_1")
        idle.double.put(PROVIDERS, json.loads(text))
        text = json.dumps(idle.double.body(DEPLOYABLES)).replace("cyborg-001", "rack_7_gpu_1")
        idle.double.put(DEPLOYABLES, json.loads(text))

        assert Look(idle).card("rack_7_gpu_1", "0000:10:00.0").pci_id == "10de:2330"

    def test_hypervisors_come_in_pages(self, busy):
        first, *others = busy.double.body(HYPERVISORS)["hypervisors"]
        link = [{"rel": "next", "href": "http://another-host/os-hypervisors/detail?marker=m1"}]
        busy.double.put(HYPERVISORS, {"hypervisors": [first], "hypervisors_links": link})
        busy.double.put(f"{HYPERVISORS}?marker=m1", {"hypervisors": others})

        assert Look(busy).nodes["east-003"].unavailable_reason == "Disabled in Nova: new fans."

    def test_a_page_that_comes_again_is_refused(self, busy):
        link = [{"rel": "next", "href": "/os-hypervisors/detail?marker=m1"}]
        for path in (HYPERVISORS, f"{HYPERVISORS}?marker=m1"):
            busy.double.put(path, {"hypervisors": [], "hypervisors_links": link})

        with pytest.raises(Transient) as caught:
            Look(busy)

        assert caught.value.code == "repeated_page"

    def test_shared_storage_and_machines_of_ironic_are_no_hosts(self, busy):
        providers = busy.double.body(PROVIDERS)["resource_providers"]
        for ref in ("storage", "ironic"):
            providers.append({"uuid": ref, "name": ref, "root_provider_uuid": ref, "parent_provider_uuid": None})
        disk = {"resources": {"DISK_GB": {"capacity": 9, "used": 0}}, "traits": []}
        busy.double.body(CANDIDATES)["provider_summaries"]["storage"] = disk
        machine = {**busy.double.body(HYPERVISORS)["hypervisors"][0], "id": "ironic", "hypervisor_type": "ironic"}
        busy.double.body(HYPERVISORS)["hypervisors"].append(machine)

        look = Look(busy)

        assert not {"storage", "ironic"} & look.nodes.keys()
        assert not any("/ironic/" in seen.path for seen in look.requests)


class TestCardsOfNova:
    def test_a_card_that_nova_passes_through_is_a_card(self, busy):
        card = Look(busy).card("east-001", "0000:82:00.0")

        assert (card.vendor, card.pci_id, card.total_milli) == ("nvidia", "10de:26b9", 1000)
        assert card.model == "CUSTOM_PCI_10DE_26B9" and card.attributes["managed_by"] == "nova"

    def test_its_use_comes_from_placement(self, busy):
        (use,) = Look(busy).card("east-001", "0000:81:00.0").uses

        assert use.holder.endswith("000000000006") and use.milli == 1000

    def test_a_reserved_one_is_faulty(self, busy):
        card = Look(busy).card("east-001", "0000:86:00.0")

        assert card.health == "faulty" and card.total_milli == 1000

    def test_a_network_card_is_none(self, busy):
        assert not [card for card in Look(busy).devices if card.pci_address == "0000:83:00.0"]

    def test_vgpus_of_an_unknown_card_are_shown_and_bear_no_model(self, busy):
        counter = Look(busy).counter("east-001")

        assert (counter.ref, counter.model, counter.total_units, counter.unit_milli) == ("VGPU", "", 4, 250)
        assert [use.milli for use in counter.uses] == [250]

    def test_a_card_on_a_host_that_is_given_out_to_the_last_bit_is_found_by_its_name(self, busy):
        card = Look(busy).card("east-004", "0000:85:00.0")

        assert (card.vendor, card.pci_id) == ("amd", "1002:74a1")

    @pytest.mark.parametrize(
        ("resource_class", "is_seen"),
        [
            ("CUSTOM_PCI_19E5_D802", True),
            ("CUSTOM_PCI_19E5_1822", False),  # a network card
            ("CUSTOM_PCI_8086_0BD5", True),
            ("CUSTOM_PCI_8086_1592", False),  # a network card
            ("CUSTOM_PCI_144D_A808", False),  # a disk
            ("CUSTOM_A16_GPU", True),
            ("CUSTOM_FAST_NIC", False),
        ],
    )
    def test_classes_tell_accelerators_from_other_cards(self, busy, resource_class, is_seen):
        only = summary(busy, "east-001_0000:82:00.0")
        only["resources"] = {resource_class: only["resources"].popitem()[1]}

        assert any(card.pci_address == "0000:82:00.0" for card in Look(busy).devices) == is_seen


class TestCalls:
    def test_an_idle_cloud_costs_one_login_and_six_reads(self, idle):
        assert [f"{seen.method} {seen.path}" for seen in Look(idle).requests] == [
            "POST /identity/v3/auth/tokens",
            "GET /accelerator/v2/deployables",
            "GET /accelerator/v2/devices",
            "GET /accelerator/v2/accelerator_requests",
            "GET /placement/resource_providers",
            "GET /placement/allocation_candidates",
            "GET /compute/os-hypervisors/detail",
        ]

    def test_ten_times_the_fleet_costs_no_call_more(self, idle):
        before = len(Look(idle).requests)
        _multiply(idle, 10)

        look = Look(idle)

        assert len(look.devices) == 340 and len(look.requests) == before

    def test_cyborg_is_never_asked_for_pages(self, busy):
        asked = [seen for seen in Look(busy).requests if seen.path.startswith("/accelerator")]

        assert len(asked) == 3 and not any(seen.query for seen in asked)

    def test_every_call_names_its_microversion(self, busy):
        versions = {seen.headers.get("openstack-api-version") for seen in Look(busy).requests[1:]}

        assert versions == {"accelerator 2.3", "placement 1.29", "placement 1.38", "compute 2.53"}

    def test_a_full_host_is_asked_one_by_one_and_tells_the_same(self, busy):
        look = Look(busy)

        node = look.nodes["east-004"]
        assert (node.memory_mib, node.memory_used_mib, node.cpu_used_milli) == (799488, 799488, 1_000_000)
        assert len(node.devices) == 9 and all(device.health == "ok" for device in node.devices)

    def test_a_card_of_a_full_host_that_has_a_request_needs_no_further_call(self, busy):
        name = "east-004_0000:10:00.0"
        busy.double.body(REQUESTS)["arqs"].append(request(provider(busy, name)["uuid"]))

        look = Look(busy)

        assert [use.holder for use in look.card("east-004", "0000:10:00.0").uses] == [f"p1/{STRANGER}"]
        assert not any(provider(busy, name)["uuid"] in seen.path for seen in look.requests)

    def test_a_card_of_a_full_host_that_cyborg_gives_no_attributes_keeps_its_model(self, busy):
        before = Look(busy).card("east-004", "0000:10:00.0")
        deployable(busy, "east-004_0000:10:00.0")["attributes_list"] = None

        assert Look(busy).card("east-004", "0000:10:00.0") == before

    def test_a_provider_that_vanishes_between_two_calls_is_left_out(self, busy):
        rp = provider(busy, "east-004_0000:10:00.0")["uuid"]
        busy.double.put(f"/placement/resource_providers/{rp}/inventories", {"errors": []}, status=404)

        assert len(Look(busy).nodes["east-004"].devices) == 8

    def test_a_placement_before_1_38_tells_no_consumer_type_and_is_read_all_the_same(self, busy):
        busy.double.newest["placement"] = (1, 36)
        busy.double.body("/placement/allocations/00000000-0000-0000-0000-000000000001").pop("consumer_type")

        (use,) = Look(busy).card("east-002", "0000:10:00.0").uses

        assert use.marker is None and use.holder.startswith("5555")


class TestCompleteness:
    def test_a_cloud_that_lost_cyborg_is_not_complete(self, idle):
        idle.double.without("accelerator")

        last = Look(idle).pages[-1].last

        assert last is not None and not last.complete and "Cyborg" in last.incomplete_because

    def test_a_cyborg_that_lists_nothing_while_placement_has_its_cards_is_not_complete(self, idle):
        idle.double.put(DEPLOYABLES, {"deployables": []})

        last = Look(idle).pages[-1].last

        assert last is not None and not last.complete

    def test_one_provider_left_over_is_told(self, idle):
        del idle.double.body(DEPLOYABLES)["deployables"][0]

        look = Look(idle)

        assert len(look.devices) == 33 and look.pages[-1].last is not None and look.pages[-1].last.complete
        assert any("Providers of Cyborg in Placement without a card" in warning for warning in look.warnings)

    def test_many_hosts_come_in_several_pages_and_only_the_last_says_so(self, idle):
        _multiply(idle, 50)

        pages = Look(idle).pages

        assert [len(page.nodes) for page in pages] == [200, 50]
        assert [page.last is not None for page in pages] == [False, True]
        assert pages[0].byte_count > 0 and pages[1].byte_count == 0


def _multiply(cloud: Served, times: int) -> None:
    """Copy hosts and cards under other names and uuids."""
    for path in (DEPLOYABLES, DEVICES, PROVIDERS, CANDIDATES):
        (key,) = cloud.double.body(path).keys() - {"allocation_requests"}
        texts = [json.dumps(cloud.double.body(path)[key])]
        texts += [_renamed(texts[0], number) for number in range(1, times)]
        copies = [json.loads(text) for text in texts]
        if isinstance(copies[0], dict):
            whole: Any = dict(ChainMap(*copies))
        else:
            whole = list(chain.from_iterable(copies))
        cloud.double.put(path, {key: whole})


def _renamed(text: str, number: int) -> str:
    text = text.replace("cyborg-", f"cyborg{number}-")
    return re.sub(r"\b([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", lambda found: f"{number}x{found[0]}", text)
