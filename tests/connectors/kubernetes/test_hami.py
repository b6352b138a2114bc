"""The register of HAMi in its three forms and of Volcano, and the shares that pods hold."""

import json
from datetime import UTC, datetime

import pytest

from tests.connectors.kubernetes.double import recorded
from tests.connectors.kubernetes.test_mapping import fact, health, uses

FIRST_CARD = "GPU-07fcdac3-506f-c390-956f-f21a867d5cea"
REGISTER = "hami.io/node-nvidia-register"
HANDSHAKE = "hami.io/node-handshake"
REPORTED_AT = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)


def share(uuid, memory_mib=8192, cores=25, *, name="sharer", key="hami.io/vgpu-devices-allocated"):
    body = recorded("pod_hami")
    body["metadata"]["name"] = name
    body["metadata"]["annotations"] = {key: f"{uuid},NVIDIA,{memory_mib},{cores}:;"}
    return body


def registered(text, name="node_hami", key=REGISTER):
    body = recorded(name)
    body["metadata"]["annotations"][key] = text
    return body


class TestRegister:
    @pytest.mark.parametrize("name", ["node_hami", "node_hamijs"])
    def test_names_each_card_once_in_both_recorded_forms(self, name):
        node = fact(name)

        assert (len(node.devices), node.counters) == (8, ())
        assert {(device.model, device.memory_mib) for device in node.devices} == {("NVIDIA L40S", 49_140)}
        assert [device.index for device in node.devices] == list(range(8))
        assert [device.numa_node for device in node.devices] == [0] * 4 + [1] * 4
        assert all(device.uuid and device.uuid.startswith("GPU-") for device in node.devices)

    @pytest.mark.parametrize("name", ["node_hami_unhealthy", "node_hamijs_unhealthy"])
    def test_tells_which_card_is_faulty(self, name):
        assert health(fact(name).devices) == ["ok"] * 3 + ["faulty"] + ["ok"] * 4

    def test_of_older_releases_has_seven_fields(self):
        body = registered("GPU-a,10,24576,100,NVIDIA-Tesla T4,0,true:GPU-b,10,24576,100,NVIDIA-Tesla T4,1,false:")

        devices = fact(body).devices

        assert [(device.uuid, device.index, device.health) for device in devices] == [
            ("GPU-a", 0, "ok"),
            ("GPU-b", 1, "faulty"),
        ]

    def test_leaves_out_what_is_false_or_zero_in_json(self):
        body = registered('[{"id":"GPU-a","count":10,"devmem":24576,"devcore":100,"type":"NVIDIA-Tesla T4"}]')

        (device,) = fact(body).devices

        assert (device.uuid, device.health, device.memory_mib) == ("GPU-a", "faulty", 24_576)

    def test_of_volcano_has_six_fields(self):
        devices = fact("node_vgpu").devices

        assert [(device.model, device.memory_mib, device.health) for device in devices] == [
            ("Tesla V100-PCIE-32GB", 32_768, "ok")
        ] * 4

    def test_of_another_vendor_covers_that_vendors_cards(self):
        body = recorded("node_mlu")
        body["metadata"]["annotations"]["hami.io/node-mlu-register"] = "MLU-1,10,24576,100,MLU-MLU370-X8,0,true:"

        devices = fact(body).devices

        assert [(device.vendor, device.uuid) for device in devices] == [("cambricon", "MLU-1")]

    def test_that_names_a_card_twice_gives_it_once(self):
        one = "GPU-a,10,24576,100,NVIDIA-Tesla T4,0,true"

        devices = fact(registered(f"{one}:{one}:")).devices

        assert [device.uuid for device in devices] == ["GPU-a"]

    @pytest.mark.parametrize("text", ["[{", "nonsense", "a,b,c,d,e,f,g:", '{"id": 1}'])
    def test_that_cannot_be_read_leaves_the_counted_shares_and_a_warning(self, text):
        warnings: list[str] = []

        node = fact(registered(text), warnings=warnings)

        assert [(counter.profile, counter.total_units) for counter in node.counters] == [("shared-10", 80)]
        assert REGISTER in warnings[0] and "cannot be read" in warnings[0]

    def test_outlives_the_device_plugin_and_is_then_not_relied_on(self):
        body = recorded("node_hami")
        body["status"]["allocatable"]["nvidia.com/gpu"] = "0"

        assert health(fact(body).devices) == ["unknown"] * 8


class TestHandshake:
    def test_that_is_fresh_says_nothing(self):
        warnings: list[str] = []

        devices = fact("node_hami", api_time=REPORTED_AT, warnings=warnings).devices

        assert (health(devices), warnings) == (["ok"] * 8, [])

    @pytest.mark.parametrize("day", [20, 25])
    def test_of_a_wrong_clock_warns_and_removes_nothing(self, day):
        warnings: list[str] = []

        devices = fact("node_hami", api_time=datetime(2026, 11, day, tzinfo=UTC), warnings=warnings).devices

        assert health(devices) == ["ok"] * 8
        assert "check the clocks" in warnings[0]

    @pytest.mark.parametrize(
        ("text", "is_known"),
        [
            ("Requesting_2026-11-21 21:58:00", True),
            ("Requesting_2026-11-21 21:50:00", False),
            ("Requesting_2026.11.21 21:50:00", False),
            ("Deleted_2026-11-21 21:50:00", False),
            ("gibberish", True),
        ],
    )
    def test_that_nobody_answers_makes_health_unknown(self, text, is_known):
        body = recorded("node_hami")
        body["metadata"]["annotations"][HANDSHAKE] = text

        devices = fact(body, api_time=REPORTED_AT).devices

        assert health(devices) == ["ok" if is_known else "unknown"] * 8


class TestShare:
    def test_sits_on_the_card_that_the_annotation_names(self):
        devices = fact("node_hamijs", "pod_hami").devices

        (use,) = devices[0].uses
        assert devices[0].uuid == FIRST_CARD
        assert (use.holder, use.milli, use.memory_mib, use.is_counted) == ("team-05/train-00005-0", 250, 8192, False)
        assert not any(device.uses for device in devices[1:])

    def test_without_a_limit_of_cores_takes_what_its_memory_takes(self):
        devices = fact("node_hamijs", share(FIRST_CARD, memory_mib=24_570, cores=0)).devices

        assert [(use.milli, use.memory_mib) for use in devices[0].uses] == [(500, 24_570)]

    def test_of_several_containers_and_cards_is_read_whole(self):
        second = json.loads(recorded("node_hamijs")["metadata"]["annotations"][REGISTER])[1]["id"]
        body = share(FIRST_CARD)
        text = f"{FIRST_CARD},NVIDIA,1000,10:{second},NVIDIA,1000,10:;{FIRST_CARD}[0-1],NVIDIA,2000,20:;"
        body["metadata"]["annotations"]["hami.io/vgpu-devices-allocated"] = text

        devices = fact("node_hamijs", body).devices

        assert [[use.milli for use in device.uses] for device in devices[:3]] == [[100, 200], [100], []]

    def test_that_overlaps_others_without_a_limit_takes_no_more_than_is_left(self):
        limited, unlimited = share(FIRST_CARD, cores=75, name="a"), share(FIRST_CARD, 24_570, 0, name="b")

        devices = fact("node_hamijs", limited, unlimited).devices

        assert [(use.milli, use.memory_mib) for use in devices[0].uses] == [(750, 8192), (250, 24_570)]

    def test_of_volcano_is_read_from_its_own_annotation(self):
        uuid = "GPU-637b9adf-9b70-2b4a-5d7f-531ac546dc92"

        devices = fact("node_vgpu", share(uuid, key="volcano.sh/vgpu-ids-new")).devices

        assert uses(devices) == [[], [("team-05/sharer", 250, False)], [], []]

    def test_that_nothing_places_goes_to_the_first_card_with_room(self):
        full = share("GPU-254b2eaa-62e7-a94b-fad5-7d29b985e3e9", memory_mib=30_000, cores=90, name="full")

        devices = fact("node_vgpu", full, "pod_volcano_vgpu").devices

        assert uses(devices)[:2] == [[("team-05/full", 900, False)], [("team-03/train-00043-0", 250, True)]]
        assert devices[1].uses[0].memory_mib == 8192
