"""What is told of hosts and cards, and of those that do not answer."""

import json
from typing import Any

import pytest

from connectors.baremetal import observe
from connectors.baremetal.look import LOOK, READS
from connectors.baremetal.ssh import bounded
from connectors.contract import Connector, DeviceFact, Last, NodeFact, Permanent, Transient
from tests.connectors.baremetal.double_ssh import (
    OTHER_KEY,
    Site,
    nvidia_xml,
    recorded,
    served,
    with_document,
)
from tests.connectors.contract import INSTALLATION, Sessions, last_of

XML = bounded("nvidia-smi -q -x")


class Watched(Sessions):
    @pytest.fixture
    def site(self):
        with served() as site:
            yield site

    @pytest.fixture
    def open_pool(self, site, open_session):
        return lambda: open_session("baremetal", site.settings, site.credential)

    @pytest.fixture
    def pool(self, open_pool) -> Connector:
        connector: Connector = open_pool()
        return connector


def look_again(pool: Connector, cursor: Any) -> tuple[dict[str, NodeFact], Last]:
    seen = list(pool.observe(json.loads(json.dumps(cursor))))
    return {node.name: node for page in seen for node in page.nodes}, last_of(seen)


def first_look(pool: Connector) -> tuple[dict[str, NodeFact], Last]:
    return look_again(pool, None)


def kill(site: Site, name: str) -> None:
    """Nothing answers at its port any more."""
    site[name].port = 9


def told(device: DeviceFact) -> tuple[str, str]:
    return device.health, device.health_reason


class TestAHost(Watched):
    def test_is_told_by_its_pinned_key_with_its_size(self, site, pool):
        seen, _ = first_look(pool)

        node = seen["gpu01"]
        assert node.ref == site["gpu01"].key.get_fingerprint("sha256") and node.is_available
        assert (node.cpu_milli, node.memory_mib) == (64000, 515592)

    def test_is_asked_everything_in_one_log_in(self, site, pool):
        first_look(pool)

        assert site["gpu04"].logins.all == 1 and len(site["gpu04"].commands) == 3

    def test_is_said_nothing_that_it_would_not_end_by_itself(self, site, pool):
        first_look(pool)

        said = {command for host in site.hosts for command in host.commands}
        assert said <= set(READS) and all(command.startswith("timeout -k 2 20 ") for command in said)

    def test_without_cards_is_a_host_too(self, pool):
        seen, last = first_look(pool)

        assert seen["cpu01"].devices == () and seen["cpu01"].is_available and last.complete

    def test_that_lost_its_tool_s_devices_has_none(self, site, pool):
        site["gpu01"].fail("nvidia-smi", 6, "No devices were found\n")

        seen, last = first_look(pool)

        assert seen["gpu01"].devices == () and last.complete

    def test_fills_in_from_its_bus_what_a_tool_does_not_tell(self, site, pool):
        site["gpu04"].more_lines = ["pci 0000:0f:00.0 0x9999 0x4001 1", "pci 0000:34:00.0 0x9999 0x4001 -1"]

        seen, _ = first_look(pool)

        first, second = seen["gpu04"].devices[:2]
        assert (first.pci_id, first.numa_node) == ("9999:4001", 1)
        assert (second.pci_id, second.numa_node) == ("9999:4001", None)

    def test_that_lets_its_serial_be_read_is_told_with_it(self, site, pool):
        site["gpu01"].more_lines = ["serial SIMGPU01", "uuid 4c4c4544"]

        seen, _ = first_look(pool)

        assert (seen["gpu01"].serial, seen["gpu01"].uuid) == ("SIMGPU01", "4c4c4544")

    def test_that_is_no_linux_is_told_so_and_stops_nobody(self, site, pool):
        site["gpu01"].replies[LOOK] = (0, "name box\nend\n")

        seen, _ = first_look(pool)

        assert "no Linux" in seen["gpu01"].unavailable_reason and seen["gpu02"].is_available

    def test_whose_gate_lets_nobody_look_is_told_so(self, site, pool):
        site["gpu01"].replies[LOOK] = (77, "refused\n")

        assert "gpu01: log in (forbidden)" in pool.check().watch.missing


class TestAHostThatDoesNotAnswer(Watched):
    def test_does_not_fail_the_pool(self, site, open_pool):
        kill(site, "gpu02")

        seen, _ = first_look(open_pool())

        assert [name for name, node in seen.items() if not node.is_available] == ["gpu02"]
        assert seen["gpu02"].unavailable_reason.startswith("unreachable: ") and len(seen["gpu01"].devices) == 2

    def test_makes_the_observation_incomplete_while_nobody_knows_its_cards(self, site, open_pool):
        kill(site, "gpu02")

        _, last = first_look(open_pool())

        assert not last.complete and "gpu02" in last.incomplete_because

    def test_keeps_its_known_cards_with_unknown_health(self, site, pool, open_pool):
        _, before = first_look(pool)
        kill(site, "gpu02")

        seen, last = look_again(open_pool(), before.cursor)

        assert last.complete and [device.uuid for device in seen["gpu02"].devices] == ["GPU-bb01", "GPU-bb02"]
        assert {told(device) for device in seen["gpu02"].devices} == {("unknown", "unreachable")}

    def test_keeps_them_for_as_long_as_it_is_silent(self, site, pool, open_pool):
        _, before = first_look(pool)
        kill(site, "gpu02")
        silent = open_pool()

        _, later = look_again(silent, before.cursor)
        seen, last = look_again(silent, later.cursor)

        assert last.complete and len(seen["gpu02"].devices) == 2

    def test_keeps_the_leases_that_were_on_them(self, site, pool, open_pool):
        with_document(site["gpu02"], INSTALLATION, oc_a="/dev/nvidia0")
        _, before = first_look(pool)
        kill(site, "gpu02")

        seen, _ = look_again(open_pool(), before.cursor)

        assert [use.marker for device in seen["gpu02"].devices for use in device.uses] == ["oc-a"]

    def test_is_well_again_when_it_answers(self, site, pool, open_pool):
        healthy, before = first_look(pool)
        port = site["gpu02"].port
        kill(site, "gpu02")
        _, silent = look_again(open_pool(), before.cursor)
        site["gpu02"].port = port

        seen, last = look_again(open_pool(), silent.cursor)

        assert seen == healthy and last.complete

    def test_that_comes_back_with_fewer_cards_is_believed(self, site, pool):
        _, before = first_look(pool)
        site["gpu02"].replies[XML] = (0, nvidia_xml("GPU-bb01"))

        seen, last = look_again(pool, before.cursor)

        assert [device.uuid for device in seen["gpu02"].devices] == ["GPU-bb01"] and last.complete

    def test_that_shows_another_key_is_untrusted_and_never_logged_in_to(self, open_session):
        with served() as site:
            _, before = first_look(open_session("baremetal", site.settings, site.credential))
        site["gpu02"].shown_key = OTHER_KEY
        commands = len(site["gpu02"].commands)

        with served(site.hosts) as again:
            seen, last = look_again(open_session("baremetal", again.settings, again.credential), before.cursor)

        assert seen["gpu02"].unavailable_reason.startswith("untrusted: ") and seen["gpu01"].is_available
        assert len(site["gpu02"].commands) == commands and last.complete and len(seen["gpu02"].devices) == 2

    def test_that_refuses_the_key_is_named_by_check(self, site, pool):
        site["gpu02"].accepts = OTHER_KEY

        check = pool.check()

        assert check.watch.missing == ("gpu02: log in (unauthorized)",) and not check.watch.ok

    def test_is_a_warning_of_check(self, site, open_pool):
        kill(site, "gpu02")

        check = open_pool().check()

        assert any("gpu02" in warning for warning in check.warnings) and check.watch.ok

    def test_is_passed_over_when_the_pool_says_who_it_is(self, site, open_pool):
        kill(site, "gpu01")

        assert open_pool().identity().key == "baremetal/double"

    def test_beside_a_whole_page_of_its_kind_ends_the_observation_with_the_reason(self, site, open_pool, monkeypatch):
        monkeypatch.setattr(observe, "HOSTS_PER_PAGE", 2)
        pool = open_pool()
        for name in ("gpu03", "gpu04"):
            site[name].cut_once[LOOK] = 3
        seen = []

        with pytest.raises(Transient):
            seen.extend(pool.observe(None))

        assert [node.is_available for page in seen for node in page.nodes] == [True, True, False, False, True]
        assert all(page.last is None for page in seen)

    def test_is_no_page_of_its_own_at_the_end_of_a_long_list(self, site, open_pool, monkeypatch):
        monkeypatch.setattr(observe, "HOSTS_PER_PAGE", 4)
        kill(site, "cpu01")

        assert [len(page.nodes) for page in open_pool().observe(None)] == [3, 2]


class TestAToolThatFails(Watched):
    @pytest.mark.parametrize(
        ("code", "words", "trouble"),
        [
            (124, "", "nvidia-smi hangs: the driver does not answer"),
            (137, "", "nvidia-smi hangs: the driver does not answer"),
            (9, "NVIDIA-SMI has failed because it couldn't communicate with the driver.\n", "driver down: "),
            (15, "Unable to determine the device handle for GPU1: GPU is lost.  Reboot", "GPU 1 is lost: reboot"),
            (255, "Segmentation fault", "nvidia-smi failed with 255: Segmentation fault"),
        ],
    )
    def test_is_the_host_s_trouble_and_its_cards_stay(self, site, pool, code, words, trouble):
        _, before = first_look(pool)
        site["gpu01"].fail("nvidia-smi", code, words)

        seen, last = look_again(pool, before.cursor)

        node = seen["gpu01"]
        assert not node.is_available and node.unavailable_reason.startswith(trouble) and last.complete
        assert [device.uuid for device in node.devices] == ["GPU-aa01", "GPU-aa02"]
        assert all(device.health != "ok" and device.health_reason for device in node.devices)

    @pytest.mark.parametrize("name", ["1", "00000000:19:00.0"])
    def test_names_the_card_that_is_lost(self, site, pool, name):
        _, before = first_look(pool)
        site["gpu01"].fail("nvidia-smi", 15, f"Unable to determine the device handle for GPU {name}: GPU is lost.")

        seen, _ = look_again(pool, before.cursor)

        assert [device.health for device in seen["gpu01"].devices] == ["unknown", "faulty"]

    def test_before_anybody_saw_the_cards_leaves_the_observation_incomplete(self, site, pool):
        site["gpu01"].fail("nvidia-smi", 124, "")

        _, last = first_look(pool)

        assert not last.complete and "gpu01" in last.incomplete_because

    def test_is_a_warning_of_check(self, site, pool):
        site["gpu01"].fail("nvidia-smi", 124, "")

        assert any("gpu01" in warning and "hangs" in warning for warning in pool.check().warnings)

    def test_by_an_output_that_nobody_knows_is_not_guessed_at(self, site, pool):
        _, before = first_look(pool)
        site["gpu04"].replies[bounded("mx-smi")] = (0, "MetaX System Management 9\nGPU 0: fine\n")

        seen, last = look_again(pool, before.cursor)

        assert "not understood" in seen["gpu04"].unavailable_reason and len(seen["gpu04"].devices) == 8
        assert last.complete

    def test_that_has_no_recording_is_told_by_check(self, site, pool):
        site["cpu01"].more_lines = ["tool xpu-smi"]

        assert any("cpu01" in warning and "xpu-smi" in warning for warning in pool.check().warnings)

    def test_that_the_account_may_not_run_is_named(self, site, pool):
        site["gpu03"].fail("npu-smi", 1, "dcmi init failed: permission denied")

        assert "gpu03: execute npu-smi" in pool.check().watch.missing


class TestUse(Watched):
    def test_by_a_program_takes_the_whole_card(self, site, pool):
        site["gpu01"].replies[XML] = (0, nvidia_xml("GPU-aa01", has_processes=True))

        seen, _ = first_look(pool)

        ((use,),) = [device.uses for device in seen["gpu01"].devices]
        assert (use.holder, use.milli, use.memory_mib, use.marker) == ("python (pid 5762)", 1000, 1005, None)

    def test_by_several_programs_is_told_once(self, site, pool):
        xml = nvidia_xml("GPU-aa01", has_processes=True).replace("<type>G<", "<type>C+G<")
        site["gpu01"].replies[XML] = (0, xml)

        seen, _ = first_look(pool)

        ((use,),) = [device.uses for device in seen["gpu01"].devices]
        assert use.holder == "/usr/lib/xorg/Xorg (pid 675) and 1 more" and use.memory_mib == 1027

    def test_by_a_lease_of_ours_carries_its_marker(self, site, pool):
        with_document(site["gpu01"], INSTALLATION, oc_a="/dev/nvidia1")

        seen, _ = first_look(pool)

        free, leased = seen["gpu01"].devices
        assert free.uses == () and [(use.marker, use.milli) for use in leased.uses] == [("oc-a", 1000)]

    def test_by_a_lease_of_another_installation_is_only_taken(self, site, pool):
        with_document(site["gpu01"], "another", oc_a="/dev/nvidia1")

        seen, _ = first_look(pool)

        assert [(use.marker, use.holder) for use in seen["gpu01"].devices[1].uses] == [(None, "oc-a")]

    def test_by_somebody_whom_only_the_helper_sees_takes_the_card(self, site, pool):
        with_document(site["gpu01"], INSTALLATION, oc_a="/dev/nvidia1")
        (command, (code, text)) = next(item for item in site["gpu01"].replies.items() if "hostctl" in item[0])
        document = {**json.loads(text), "holders": {"/dev/nvidia0": [{"pid": 7, "uid": 1000}]}}
        site["gpu01"].replies[command] = (code, json.dumps(document))

        seen, _ = first_look(pool)

        assert [use.holder for use in seen["gpu01"].devices[0].uses] == ["uid 1000 (pid 7)"]

    @pytest.mark.parametrize(("code", "text"), [(1, "sudo: a password is required"), (0, "{}x")])
    def test_is_unknown_while_the_helper_does_not_tell_it_so_no_card_is_free(self, site, pool, code, text):
        with_document(site["gpu01"], INSTALLATION, oc_a="/dev/nvidia1")
        _, before = first_look(pool)
        command = next(command for command in site["gpu01"].replies if "hostctl" in command)
        site["gpu01"].replies[command] = (code, text)

        seen, _ = look_again(pool, before.cursor)

        node = seen["gpu01"]
        assert not node.is_available and "helper" in node.unavailable_reason
        assert [use.marker for device in node.devices for use in device.uses] == ["oc-a"]

    def test_of_an_instance_is_not_that_of_its_neighbours(self, site, pool):
        xml = recorded("a100-sxm4-v12.xml").replace("<attached_gpus>4<", "<attached_gpus>1<")
        process = (
            "<processes><process_info><gpu_instance_id>4</gpu_instance_id><compute_instance_id>0</compute_instance_id>"
            "<pid>77</pid><type>C</type><process_name>train</process_name><used_memory>9 MiB</used_memory>"
            "</process_info></processes>"
        )
        site["gpu01"].replies[XML] = (0, xml.replace("<processes />", process))

        seen, _ = first_look(pool)

        assert [len(device.uses) for device in seen["gpu01"].devices] == [0, 1, 0, 0]


class TestTheListOfHosts(Watched):
    @pytest.mark.parametrize(
        ("listed", "words"),
        [
            ("no JSON", "cannot be read"),
            ('[{"name": "a", "address": "10.0.0.1"}]', "host_key"),
            ('[{"name": "a", "address": "10.0.0.1", "host_key": "ssh-ed25519 AAAA"}]', "no public key"),
            ('[{"name": "a", "address": "10.0.0.1", "host_key": "", "password": "x"}]', "password"),
        ],
    )
    def test_that_cannot_be_used_is_refused_with_the_reason(self, open_session, site, listed, words):
        with pytest.raises(Permanent) as raised:
            open_session("baremetal", {"site": "x", "hosts": listed}, site.credential)

        assert raised.value.code == "invalid_settings" and words in str(raised.value)

    @pytest.mark.parametrize(("change", "words"), [({"port": 0}, "port"), ({"name": "gpu02"}, "Two hosts")])
    def test_refuses_ports_and_names_that_cannot_be(self, open_session, site, change, words):
        listed = json.loads(site.settings["hosts"])
        listed[0] |= change

        with pytest.raises(Permanent) as raised:
            open_session("baremetal", {"site": "x", "hosts": json.dumps(listed)}, site.credential)

        assert raised.value.code == "invalid_settings" and words in str(raised.value)

    def test_of_another_site_lends_no_memory(self, site, pool, open_pool, open_session):
        _, before = first_look(pool)
        kill(site, "gpu02")
        other = open_session("baremetal", {**site.settings, "site": "elsewhere"}, site.credential)

        seen, last = look_again(other, before.cursor)

        assert seen["gpu02"].devices == () and not last.complete
