"""ResourceSlices and ResourceClaims, recorded ones and the shapes that the recording has not."""

import copy

import msgspec
import pytest

from connectors.kubernetes import dra
from connectors.kubernetes.payloads import ResourceClaim, ResourceSlice
from tests.connectors.kubernetes.double import recorded
from tests.connectors.kubernetes.test_mapping import fact, health

NODE = "gpu-dra-00008"


def recorded_slice():
    return recorded("resourceslicelist")["items"][0]


def pools(*slices, warnings=None):
    found = dra.Pools()
    for piece in slices:
        found.add(msgspec.convert(piece, ResourceSlice))
    return found.by_node([] if warnings is None else warnings)


def held(*claims):
    found: dict[dra.Key, list[dra.Holding]] = {}
    for claim in claims:
        for key, holding in dra.holdings(msgspec.convert(claim, ResourceClaim), {}):
            found.setdefault(key, []).append(holding)
    return found


def claim(*devices, pool=NODE, **result):
    body = recorded("resourceclaimlist")["items"][2]
    template = body["status"]["allocation"]["devices"]["results"][0]
    results = [{**template, "pool": pool, "device": device, **result} for device in devices]
    body["status"]["allocation"]["devices"]["results"] = results
    return body


def node(*slices, claims=()):
    return fact("node_dra", pools=pools(*slices), held=held(*claims))


def partitionable():
    """One card with two counters of its memory slices and two MIG devices that draw on them."""
    piece = recorded_slice()
    card = piece["spec"]["devices"][0]
    slots = {f"memory-slice-{at}": {"value": "1"} for at in range(7)}
    everything = {"multiprocessors": {"value": "140"}, **slots}
    piece["spec"]["sharedCounters"] = [{"name": "gpu-0-counters", "counters": everything}]
    card["consumesCounters"] = [{"counterSet": "gpu-0-counters", "counters": everything}]
    piece["spec"]["devices"] = [card]
    for name, share in (("gpu-0-mig-1g.10gb-0", 1), ("gpu-0-mig-3g.40gb-4", 3)):
        cut = copy.deepcopy(card)
        cut["name"] = name
        cut["attributes"]["type"]["string"] = "mig"
        cut["attributes"]["uuid"]["string"] = f"MIG-{name}"
        cut["attributes"]["profile"] = {"string": name[10:17]}
        cut["capacity"]["memory"]["value"] = f"{share * 10}Gi"
        drawn = {"multiprocessors": {"value": str(20 * share)}, "memory-slice-0": {"value": "1"}}
        cut["consumesCounters"] = [{"counterSet": "gpu-0-counters", "counters": drawn}]
        piece["spec"]["devices"].append(cut)
    return piece


class TestDevices:
    def test_of_a_recorded_slice_have_uuid_model_memory_and_place(self):
        devices = node(recorded_slice()).devices

        first = devices[0]
        assert len(devices) == 8 and health(devices) == ["ok"] * 8
        assert (first.ref, first.uuid) == (
            f"gpu.nvidia.com/{NODE}/gpu-0",
            "GPU-aaacbf21-b408-01fa-5659-900ff99f2d1f",
        )
        assert (first.vendor, first.model, first.memory_mib) == ("nvidia", "NVIDIA GB200", 189_471)
        assert first.pci_address == "0000:00:00.0"

    def test_of_v1beta1_lie_one_level_deeper(self):
        piece = recorded_slice()
        flat = piece["spec"]["devices"]
        piece["spec"]["devices"] = [{"name": d.pop("name"), "basic": d} for d in flat]

        assert node(piece).devices == node(recorded_slice()).devices

    def test_of_a_superseded_generation_do_not_count(self):
        new = recorded_slice()
        new["spec"]["pool"]["generation"] = 2
        new["spec"]["devices"] = new["spec"]["devices"][:4]

        for order in ((recorded_slice(), new), (new, recorded_slice())):
            assert len(node(*order).devices) == 4

    def test_stay_with_unknown_health_while_the_driver_rewrites_its_slices(self):
        new = recorded_slice()
        new["spec"]["pool"].update(generation=2, resourceSliceCount=2)
        new["spec"]["devices"] = new["spec"]["devices"][:4]

        devices = node(recorded_slice(), new).devices

        assert (len(devices), health(devices)) == (8, ["unknown"] * 8)
        assert "1 of 2 slices" in devices[0].health_reason

    @pytest.mark.parametrize(
        ("key", "effect", "expected"),
        [
            ("gpu.nvidia.com/xid", "NoSchedule", "faulty"),
            ("gpu.nvidia.com/gpu-lost", "NoExecute", "faulty"),
            ("gpu.nvidia.com/unmonitored", "NoSchedule", "unknown"),
            ("gpu.nvidia.com/xid", "None", "unknown"),
        ],
    )
    def test_tell_their_trouble_by_taints(self, key, effect, expected):
        piece = recorded_slice()
        piece["spec"]["devices"][2]["taints"] = [{"key": key, "value": "79", "effect": effect}]

        devices = node(piece).devices

        assert health(devices) == ["ok", "ok", expected] + ["ok"] * 5
        assert f"{key}=79:{effect}" in devices[2].health_reason

    def test_of_static_mig_are_partitions_of_their_own(self):
        piece = recorded_slice()
        told = piece["spec"]["devices"][0]["attributes"]
        told["type"]["string"] = "mig"
        told["profile"] = {"string": "1g.23gb"}

        first, second = node(piece).devices[:2]

        assert (first.profile, first.total_milli, second.profile) == ("1g.23gb", 1000, None)

    def test_that_no_single_node_has_are_told_and_not_shown(self):
        warnings: list[str] = []
        piece = recorded_slice()
        del piece["spec"]["nodeName"]
        piece["spec"]["allNodes"] = True

        assert pools(piece, warnings=warnings) == {}
        assert "belong to no single node" in warnings[0]

    def test_of_other_drivers_are_shown_and_not_counted(self):
        piece = recorded_slice()
        piece["spec"]["driver"] = "dra.example.net"

        found = node(piece)

        assert found.devices == ()
        assert [(counter.ref, counter.vendor, counter.total_units) for counter in found.counters] == [
            (f"dra.example.net/{NODE}", "", 8)
        ]


class TestClaims:
    def test_that_are_recorded_hold_what_the_scheduler_gave_them(self):
        found = held(*recorded("resourceclaimlist")["items"], recorded("resourceclaim_allocated_by_scheduler"))

        assert [holding.holder for holding in found["gpu.nvidia.com", "gpu-dra-00062", "gpu-0"]] == [
            "team-02/train-00062-0"
        ]
        assert [holding.holder for holding in found["gpu.nvidia.com", "gpu-dra-01889", "gpu-2"]] == ["oc-resv/dra-ext"]

    def test_hold_whole_devices(self):
        devices = node(recorded_slice(), claims=[claim("gpu-1", "gpu-3")]).devices

        assert [[(use.holder, use.milli) for use in device.uses] for device in devices[:4]] == [
            [],
            [("team-02/train-00062-0", 1000)],
            [],
            [("team-02/train-00062-0", 1000)],
        ]

    def test_with_admin_access_hold_nothing(self):
        devices = node(recorded_slice(), claims=[claim("gpu-1", adminAccess=True)]).devices

        assert not any(device.uses for device in devices)

    def test_that_are_not_allocated_hold_nothing(self):
        body = claim("gpu-1")
        body["status"] = {}

        assert held(body) == {}

    def test_that_no_pod_uses_any_more_hold_under_their_own_name(self):
        body = claim("gpu-1")
        body["status"]["reservedFor"] = []

        (holding,) = held(body)["gpu.nvidia.com", NODE, "gpu-1"]

        assert holding.holder == "team-02/train-00062-0-gpu"

    def test_of_consumable_capacity_hold_a_share(self):
        devices = node(recorded_slice(), claims=[claim("gpu-0", consumedCapacity={"memory": "18947Mi"})]).devices

        (use,) = devices[0].uses
        assert (use.milli, use.memory_mib) == (100, 18_947)


class TestPartitionable:
    def test_card_is_one_device_whatever_views_it_has(self):
        (device,) = node(partitionable()).devices

        assert (device.ref.rpartition("/")[2], device.total_milli, device.profile) == ("gpu-0", 1000, None)

    def test_card_is_used_by_what_each_cut_draws(self):
        claims = [claim("gpu-0-mig-1g.10gb-0"), claim("gpu-0-mig-3g.40gb-4")]

        (device,) = node(partitionable(), claims=claims).devices

        assert [(use.milli, use.memory_mib) for use in device.uses] == [(142, 10_240), (428, 30_720)]

    def test_cuts_without_a_profile_are_measured_by_their_counters(self):
        piece = partitionable()
        for device in piece["spec"]["devices"]:
            device["attributes"].pop("profile", None)

        (device,) = node(piece, claims=[claim("gpu-0-mig-3g.40gb-4")]).devices

        assert [use.milli for use in device.uses] == [429]


class TestBesideADevicePlugin:
    def test_the_same_cards_are_counted_once_and_its_users_sit_on_them(self):
        warnings: list[str] = []
        body = recorded("node_dra")
        body["status"]["capacity"]["nvidia.com/gpu"] = body["status"]["allocatable"]["nvidia.com/gpu"] = "8"

        found = fact(body, "pod_running", warnings=warnings, pools=pools(recorded_slice()), held=held(claim("gpu-0")))

        assert (len(found.devices), found.counters) == (8, ())
        assert [len(device.uses) for device in found.devices] == [1, 1, 1, 0, 0, 0, 0, 0]
        assert "beside DRA" in warnings[0]
