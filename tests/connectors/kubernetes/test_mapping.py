"""Nodes of every vendor style, as a real API server returned them, and what can happen to them."""

import msgspec
import pytest

from connectors.kubernetes import ascend, mapping, usage
from connectors.kubernetes.payloads import Node, Pod
from tests.connectors.kubernetes.double import recorded


def fact(body, *pods, report=None, warnings=None, **around):
    if isinstance(body, str):
        body = recorded(body)
    use: dict[str, usage.NodeUse] = {}
    for found in pods:
        bound = recorded(found) if isinstance(found, str) else found
        bound["spec"]["nodeName"] = body["metadata"]["name"]
        usage.add(use, msgspec.convert(bound, Pod), {})
    told = [] if warnings is None else warnings
    return mapping.node_fact(msgspec.convert(body, Node), mapping.Around(use=use, **around), report, told)


def uses(devices):
    return [[(use.holder, use.milli, use.is_counted) for use in device.uses] for device in devices]


def health(devices):
    return [device.health for device in devices]


class TestNode:
    def test_carries_identity_place_and_what_pods_may_have(self):
        node = fact("node_h100", "pod_running")

        assert node.ref == recorded("node_h100")["metadata"]["uid"]
        assert (node.name, node.uuid) == ("gpu-h100-00000", recorded("node_h100")["status"]["nodeInfo"]["systemUUID"])
        assert node.topology == {"region": "r1", "zone": "r1-a", "rack": "rack-0000"}
        assert (node.cpu_milli, node.memory_mib) == (190_000, 2_050_781)
        assert (node.cpu_used_milli, node.memory_used_mib) == (8_000, 65_536)
        assert node.is_available

    def test_keeps_labels_that_help_and_drops_what_changes_at_every_start(self):
        node = fact("node_h100")

        assert node.labels["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
        assert not [name for name in node.labels if "feature.node" in name or "timestamp" in name]

    @pytest.mark.parametrize(
        ("node", "resource"),
        [
            ("node_h100", "nvidia.com/gpu"),
            ("node_amd", "amd.com/gpu"),
            ("node_ascend", "huawei.com/Ascend910"),
            ("node_mlu", "cambricon.com/mlu"),
        ],
    )
    def test_tells_by_which_resource_its_cards_are_given_out(self, node, resource):
        assert {device.resource for device in fact(node).devices} == {resource}

    def test_whose_cards_are_cut_tells_their_pieces_by_resource_only(self):
        assert {device.resource for device in fact("node_migmix").devices} == {""}

    def test_without_accelerators_is_a_node_too(self):
        body = recorded("node_mlu")
        del body["status"]["capacity"]["cambricon.com/mlu"]

        node = fact(body)

        assert (node.devices, node.counters, node.cpu_milli) == ((), (), 190_000)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("node_cordoned", "It is cordoned."),
            (
                "node_not_ready",
                "It is not ready (NodeStatusUnknown). It is tainted: node.kubernetes.io/unreachable:NoExecute.",
            ),
        ],
    )
    def test_that_takes_no_work_says_why_and_keeps_its_cards(self, name, reason):
        node = fact(name)

        assert (node.is_available, node.unavailable_reason, len(node.devices)) == (False, reason, 8)

    def test_with_the_customary_taint_of_accelerators_is_available(self):
        assert recorded("node_shared")["spec"]["taints"][0]["key"] == "nvidia.com/gpu"

        assert fact("node_shared").is_available

    def test_whose_mig_is_being_reconfigured_takes_no_work_meanwhile(self):
        body = recorded("node_migmix")
        body["metadata"]["labels"]["nvidia.com/mig.config.state"] = "rebooting"

        node = fact(body)

        assert (node.is_available, len(node.devices)) == (False, 4)
        assert node.unavailable_reason == "MIG is being reconfigured (rebooting)."

    def test_without_a_ready_condition_takes_no_work(self):
        body = recorded("node_h100")
        body["status"]["conditions"] = []

        assert fact(body).unavailable_reason == "It is not ready (no condition)."

    def test_being_deleted_takes_no_work(self):
        body = recorded("node_h100")
        body["metadata"]["deletionTimestamp"] = "2026-11-22T00:00:00Z"

        assert fact(body).unavailable_reason == "It is being deleted."


class TestWholeCards:
    @pytest.mark.parametrize(
        ("name", "vendor", "model", "memory_mib"),
        [
            ("node_h100", "nvidia", "NVIDIA-H100-80GB-HBM3", 81_559),
            ("node_h20", "nvidia", "NVIDIA-H20", 97_871),
            ("node_amd", "amd", "AMD_Instinct_MI300X_OAM", 196_608),
            ("node_mlu", "cambricon", "mlu", 0),
            ("node_misc", "intel", "gaudi", 0),
        ],
    )
    def test_are_eight_with_the_model_that_labels_tell(self, name, vendor, model, memory_mib):
        devices = fact(name).devices

        assert {(device.vendor, device.model, device.memory_mib) for device in devices} == {(vendor, model, memory_mib)}
        assert [device.index for device in devices] == list(range(8))
        assert len({device.ref for device in devices}) == 8 and not any(device.uses for device in devices)

    def test_of_amd_have_a_pci_id(self):
        assert {device.pci_id for device in fact("node_amd").devices} == {"1002:74a1"}

    def test_give_counted_users_the_lowest_indexes(self):
        devices = fact("node_h100", "pod_running", "pod_init_container").devices

        zero, one = "team-00/train-00000-0", "team-00/train-00000-1"
        assert uses(devices) == [[(zero, 1000, True)]] * 4 + [[(one, 1000, True)]] * 2 + [[], []]

    def test_that_the_plugin_withdrew_are_faulty_from_the_end(self):
        body = recorded("node_h100")
        body["status"]["allocatable"]["nvidia.com/gpu"] = "6"

        devices = fact(body, "pod_running").devices

        assert health(devices) == ["ok"] * 6 + ["faulty"] * 2
        assert "offers 6 of 8" in devices[7].health_reason

    @pytest.mark.parametrize("capacity", ["8", "0", None])
    def test_stay_while_the_plugin_restarts_and_their_health_is_unknown(self, capacity):
        body = recorded("node_h100")
        body["status"]["allocatable"]["nvidia.com/gpu"] = "0"
        body["status"]["capacity"]["nvidia.com/gpu"] = capacity or "0"
        if capacity is None:
            del body["status"]["capacity"]["nvidia.com/gpu"], body["status"]["allocatable"]["nvidia.com/gpu"]

        devices = fact(body, "pod_running").devices

        assert health(devices) == ["unknown"] * 8
        assert [len(device.uses) for device in devices] == [1, 1, 0, 0, 0, 0, 0, 0]

    def test_show_users_that_were_bound_past_the_scheduler(self):
        greedy = recorded("pod_running")
        greedy["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "8"
        greedy["metadata"]["name"] = "zz"

        devices = fact("node_h100", "pod_init_container", greedy).devices

        assert [[use.milli for use in device.uses] for device in devices] == [[1000, 0]] * 4 + [[1000]] * 4

    def test_of_two_models_are_all_there_though_the_label_counts_one(self):
        body = recorded("node_h100")
        body["metadata"]["labels"]["nvidia.com/gpu.count"] = "4"

        node = fact(body)

        assert ([device.total_milli for device in node.devices], node.counters) == ([1000] * 8, ())

    def test_fall_back_to_the_name_of_the_resource_without_labels(self):
        body = recorded("node_h100")
        body["metadata"]["labels"] = {}

        devices = fact(body).devices

        assert {(device.model, device.memory_mib) for device in devices} == {("gpu", 0)} and len(devices) == 8


class TestMigMixed:
    def test_shows_cards_without_capacity_and_a_counter_for_each_profile(self):
        node = fact("node_migmix", "pod_mig")

        assert [(device.total_milli, device.memory_mib) for device in node.devices] == [(0, 81_920)] * 4
        small, large = node.counters
        assert (small.ref, small.profile, small.unit_milli, small.unit_memory_mib) == (
            "nvidia.com/mig-1g.10gb",
            "1g.10gb",
            142,
            9_728,
        )
        assert (small.total_units, [use.milli for use in small.uses]) == (14, [3 * 142])
        assert (large.profile, large.unit_milli, large.total_units, large.uses) == ("3g.40gb", 428, 4, ())
        assert {counter.model for counter in node.counters} == {"NVIDIA-A100-SXM4-80GB"}

    def test_leaves_the_cards_that_are_not_cut_as_whole_ones(self):
        body = recorded("node_migmix")
        body["metadata"]["labels"]["nvidia.com/gpu.count"] = "8"

        devices = fact(body, "pod_running").devices

        assert [device.total_milli for device in devices] == [1000] * 4 + [0] * 4
        assert [len(device.uses) for device in devices] == [1, 1, 0, 0, 0, 0, 0, 0]

    def test_counts_withdrawn_instances_as_faulty(self):
        body = recorded("node_migmix")
        body["status"]["allocatable"]["nvidia.com/mig-1g.10gb"] = "12"

        counters = fact(body).counters

        assert [counter.faulty_units for counter in counters] == [2, 0]


class TestMigSingle:
    def test_counts_equal_instances_of_the_card_behind_them(self):
        node = fact("node_migsingle")

        (counter,) = node.counters
        assert node.devices == ()
        assert (counter.ref, counter.model, counter.profile) == ("nvidia.com/gpu", "NVIDIA-A100-SXM4-80GB", "1g.10gb")
        assert (counter.total_units, counter.unit_milli, counter.unit_memory_mib) == (56, 142, 9_728)


class TestTimeSlicing:
    def test_counts_replicas_beside_cards_without_capacity(self):
        node = fact("node_shared", "pod_running")

        (counter,) = node.counters
        assert [(device.model, device.total_milli) for device in node.devices] == [("NVIDIA-L40S", 0)] * 8
        assert (counter.profile, counter.unit_milli, counter.unit_memory_mib) == ("shared-4", 250, 11_517)
        assert (counter.total_units, [use.milli for use in counter.uses]) == (32, [500])


class TestAscend:
    def test_names_the_chips_as_its_plugin_does(self):
        devices = fact("node_ascend", "pod_ascend").devices

        assert [device.ref for device in devices] == [f"Ascend910-{index}" for index in range(8)]
        assert {(device.vendor, device.model) for device in devices} == {("huawei", "Ascend910B3")}
        assert uses(devices) == [[("team-00/train-00080-0", 1000, False)]] * 4 + [[]] * 4

    def test_knows_the_faulty_chip_by_the_nodes_annotation(self):
        devices = fact("node_ascend_unhealthy").devices

        assert health(devices) == ["ok"] * 7 + ["faulty"]

    def test_knows_faults_and_their_codes_by_the_agents_report(self):
        lists = {
            "huawei.com/Ascend910": "Ascend910-0,Ascend910-1,Ascend910-3,Ascend910-4,Ascend910-5,Ascend910-6",
            "huawei.com/Ascend910-Unhealthy": "Ascend910-2",
            "huawei.com/Ascend910-NetworkUnhealthy": "Ascend910-7",
            "huawei.com/Ascend910-Fault": '[{"npu_name":"Ascend910-2","fault_code":"8C084E00",'
            '"fault_level":"SeparateNPU"},{"npu_name":"Ascend910-0","fault_code":"80C98000",'
            '"fault_level":"NotHandleFault"}]',
        }
        data = {"DeviceInfoCfg": msgspec.json.encode({"DeviceInfo": {"DeviceList": lists}}).decode()}

        devices = fact("node_ascend", report=ascend.report(data)).devices

        assert health(devices) == ["ok", "ok", "faulty", "ok", "ok", "ok", "ok", "faulty"]
        assert "8C084E00, SeparateNPU" in devices[2].health_reason
        assert "network" in devices[7].health_reason and "80C98000" in devices[0].health_reason

    def test_counts_a_withdrawn_chip_that_nobody_names(self):
        body = recorded("node_ascend")
        body["status"]["allocatable"]["huawei.com/Ascend910"] = "7"

        assert health(fact(body).devices) == ["ok"] * 7 + ["faulty"]

    def test_gives_a_pod_without_annotation_the_first_free_chips(self):
        silent = recorded("pod_ascend")
        silent["metadata"].update(name="silent", annotations={})

        devices = fact("node_ascend", "pod_ascend", silent).devices

        assert [len(device.uses) for device in devices] == [1] * 8
        assert [device.uses[0].is_counted for device in devices] == [False] * 4 + [True] * 4

    def test_counts_static_vnpus_by_their_template(self):
        body = recorded("node_ascend")
        body["status"]["capacity"]["huawei.com/Ascend310P-4c"] = "2"
        body["status"]["allocatable"]["huawei.com/Ascend310P-4c"] = "2"

        (counter,) = fact(body).counters

        assert (counter.profile, counter.total_units) == ("vir04", 2)

    @pytest.mark.parametrize("text", ["", "no json", "[]", '{"DeviceInfo": {"DeviceList": 3}}'])
    def test_does_without_a_report_that_cannot_be_read(self, text):
        assert ascend.report({"DeviceInfoCfg": text}) is None


class TestUnknownResource:
    def test_is_shown_and_not_counted(self):
        body = recorded("node_h100")
        body["status"]["capacity"]["example.com/warp-core"] = "3"
        body["status"]["capacity"]["rdma/hca"] = "1000"

        (counter,) = fact(body).counters

        assert (counter.ref, counter.vendor, counter.model) == ("example.com/warp-core", "", "")
        assert (counter.total_units, counter.unit_milli) == (3, 0)

    def test_that_counts_bytes_does_not_spoil_the_node(self):
        body = recorded("node_h100")
        body["status"]["capacity"]["example.com/bytes"] = "80Gi"

        (counter,) = fact(body).counters

        assert counter.total_units == 2**31 - 1

    def test_of_both_names_for_the_same_chips_counts_once(self):
        body = recorded("node_mlu")
        chips = {"aws.amazon.com/neuron": "4", "aws.amazon.com/neurondevice": "4", "aws.amazon.com/neuroncore": "8"}
        body["status"]["capacity"] = body["status"]["allocatable"] = {"cpu": "8", **chips}

        node = fact(body)

        assert ([device.ref.partition("#")[0] for device in node.devices], node.counters) == (
            ["aws.amazon.com/neuron"] * 4,
            (),
        )


class TestBlindness:
    def test_to_pods_makes_every_node_unavailable(self):
        node = fact("node_h100", use_unknown="Its use is unknown.")

        assert (node.is_available, node.unavailable_reason) == (False, "Its use is unknown.")

    def test_to_claims_matters_to_nodes_with_dra_devices_only(self):
        node = fact("node_h100", claims_unknown="Claims are unknown.")

        assert node.is_available
