"""The helper on a host, below a folder: what it gives, takes, refuses, finds and repairs."""

import shutil
import subprocess
from itertools import count

import pytest

from connectors.baremetal.hostctl import acl, files
from connectors.baremetal.hostctl.host import Account
from tests.connectors.baremetal.double_host import (
    ALICE,
    ALICES,
    BOB,
    BOBS,
    BOTH,
    CARDS,
    DONE,
    INCOMPLETE,
    INSTALLATION,
    REFUSED,
    SHARED,
    STALE,
    Killed,
    PlayedHost,
    call,
    document,
    lease,
    objects,
)


class TestGiving:
    def test_lets_each_lessee_open_its_own_cards_and_no_others(self, leased):
        assert leased.may(61001) == sorted([CARDS[0], CARDS[1], *SHARED])
        assert leased.may(61002) == sorted([CARDS[2], *SHARED]) and leased.may(1000) == []

    def test_makes_accounts_with_fixed_uids_that_carry_installation_and_allocation(self, leased):
        assert Account("oc-alice", 61001, f"ocenter {INSTALLATION} A-oc-alice/0", "/home/oc-alice") in leased.accounts()

    def test_writes_keys_that_end_by_themselves_and_set_the_variable(self, leased):
        text = leased.text("/etc/ocenter/keys/oc-alice")

        assert text.splitlines()[1] == (
            'restrict,pty,expiry-time="20300102030405Z",environment="CUDA_VISIBLE_DEVICES=GPU-0,GPU-1" '
            f"{' '.join(ALICE.split()[:2])} A-oc-alice/0"
        )

    def test_tells_ends_in_another_zone_in_utc(self, host):
        call(host, "apply", document(1, lease("oc-a", 61001, 0, expires="2030-01-02T03:04:05+08:00")))

        assert 'expiry-time="20300101190405Z"' in host.text("/etc/ocenter/keys/oc-a")

    def test_goes_keys_last(self, host):
        given = objects(call(host, "apply", BOTH)[1])

        assert given[0] == "write document"
        assert given[-2:] == ["create /etc/ocenter/keys/oc-alice", "create /etc/ocenter/keys/oc-bob"]
        assert [each for each in given if "keys" in each] == given[-2:]

    def test_works_for_a_script_that_has_no_installation(self, host):
        assert call(host, "apply", {**BOTH, "installation": ""})[0] == DONE

    def test_a_second_time_changes_nothing(self, leased):
        assert call(leased, "apply", BOTH) == (DONE, {"changes": []}) == call(leased, "plan", BOTH)

    def test_is_planned_by_the_same_steps(self, host):
        planned = call(host, "plan", BOTH)

        assert planned == call(host, "apply", BOTH) and planned[1]["changes"]

    def test_without_systemd_reports_that_lists_alone_fence(self, leased):
        assert call(leased, "observe")[1]["enforced"] == ["acl"]

    def test_under_systemd_believes_what_systemd_says_of_the_slice(self, leased, monkeypatch):
        leased.path("/run/systemd/system").mkdir(parents=True)
        nodes = " ".join(f"{node} rw" for node in (*CARDS, *SHARED))
        monkeypatch.setattr(leased, "slice_policy", lambda uid: f"DevicePolicy=closed\nDeviceAllow={nodes}\n")
        assert call(leased, "observe")[1]["enforced"] == ["acl", "cgroup"]

        monkeypatch.setattr(leased, "slice_policy", lambda uid: "DevicePolicy=closed\nDeviceAllow=char-pts rw\n")

        assert call(leased, "observe")[1]["enforced"] == ["acl"]

    def test_waits_for_a_node_that_the_driver_has_not_made(self, host):
        host.path(CARDS[2]).unlink()

        code, answer = call(host, "apply", BOTH)

        assert code == INCOMPLETE and "driver" in answer["message"]
        assert (
            call(host, "observe")[1]["delivered"] == ["oc-alice"]
            or "oc-bob" not in call(host, "observe")[1]["delivered"]
        )


class TestTaking:
    def test_leaves_nothing_on_the_host(self, host):
        before = host.snapshot()
        call(host, "apply", BOTH)

        assert call(host, "apply", document(2))[0] == DONE

        assert host.snapshot() == before and host.may(1000) == sorted([*CARDS, *SHARED])

    def test_goes_keys_first_then_processes_lists_slices_and_accounts(self, leased):
        leased.start(700, 61001, CARDS[0])

        taken = [
            step.split(" ")[0] + " " + step.split(" ")[1].rsplit("/", 1)[0]
            for step in objects(call(leased, "apply", document(2))[1])
        ]

        kinds = list(dict.fromkeys(taken))
        assert kinds == [
            "write document",
            "remove /etc/ocenter/keys",
            "end processes",
            "unfence /dev",
            "remove /etc/systemd/system/user-61001.slice.d",
            "remove /etc/systemd/system/user-61002.slice.d",
            "remove account",
        ]

    def test_ends_a_program_that_holds_a_card(self, leased):
        leased.start(700, 61001, CARDS[0])

        call(leased, "apply", document(2, BOBS))

        assert leased.ended == [700] and leased.may(61002) == sorted([CARDS[2], *SHARED])

    def test_of_one_card_ends_its_holders_and_nobody_else(self, leased):
        leased.start(700, 61001, CARDS[1])
        leased.start(701, 61001, CARDS[0])
        leased.start(702, 61002, CARDS[2])

        call(leased, "apply", document(2, lease("oc-alice", 61001, 0), BOBS))

        assert leased.ended == [700] and leased.may(61001) == sorted([CARDS[0], *SHARED])

    def test_ends_a_holder_whose_node_was_made_anew(self, leased):
        leased.start(700, 61001, CARDS[1] + " (deleted)")

        call(leased, "apply", document(2, lease("oc-alice", 61001, 0), BOBS))

        assert leased.ended == [700]

    def test_of_a_key_removes_it_before_anything_is_given(self, leased):
        steps = objects(call(leased, "apply", document(2, {**ALICES, "keys": [BOB]}, BOBS))[1])

        assert steps == ["write document", "remove /etc/ocenter/keys/oc-alice", "replace /etc/ocenter/keys/oc-alice"]

    def test_extends_a_lease_without_a_moment_without_key(self, leased):
        longer = {**ALICES, "expires": "2031-01-02T03:04:05+00:00"}

        steps = objects(call(leased, "apply", document(2, longer, BOBS))[1])

        assert steps == ["write document", "replace /etc/ocenter/keys/oc-alice"]


class TestRefusing:
    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"host": "SHA256:another"}, "wrong_host"),
            ({"leases": [ALICES, lease("oc-bob", 61002, 1)]}, "no_capacity"),
            ({"leases": [{**ALICES, "devices": ["/dev/../etc/shadow"]}]}, "invalid"),
            ({"leases": [{**ALICES, "devices": ["/etc/shadow"]}]}, "invalid"),
            ({"leases": [{**ALICES, "devices": ["/dev/sda"]}]}, "invalid"),
            ({"leases": [{**ALICES, "shared": ["/dev/mem"]}]}, "invalid"),
            ({"nodes": ["/dev/shm/nvidia0"]}, "invalid"),
            ({"nodes": ["/dev/nvidia0\n"]}, "invalid"),
            ({"leases": [ALICES, {**BOBS, "shared": [CARDS[0]]}]}, "no_capacity"),
            ({"leases": [{**ALICES, "keys": [ALICE + "\nssh-ed25519 AAAA intruder"]}]}, "invalid"),
            ({"leases": [{**ALICES, "keys": ['command="id" ' + ALICE]}]}, "invalid"),
            ({"leases": [{**ALICES, "env": {"LD_PRELOAD": '"x\n'}}]}, "invalid"),
            ({"leases": [{**ALICES, "env": {"PATH": "/tmp", "A": 'x",command="id'}}]}, "invalid"),
            ({"leases": [{**ALICES, "user": "root"}]}, "invalid"),
            ({"leases": [{**ALICES, "user": "oc-../x"}]}, "invalid"),
            ({"leases": [{**ALICES, "uid": 0}]}, "invalid"),
            ({"leases": [{**ALICES, "uid": True}]}, "invalid"),
            ({"leases": [{**ALICES, "id": "a\n[Slice]"}]}, "invalid"),
            ({"leases": [{**ALICES, "expires": "2030-01-01T00:00:00"}]}, "invalid"),
            ({"leases": [{**ALICES, "expires": "soon"}]}, "invalid"),
            ({"leases": [ALICES, {**BOBS, "uid": 61001}]}, "invalid"),
            ({"version": 2}, "invalid"),
            ({"generation": -1}, "invalid"),
        ],
    )
    def test_names_what_is_wrong_and_changes_nothing(self, host, change, error):
        before = host.snapshot()

        code, answer = call(host, "apply", {**BOTH, **change})

        assert (code, answer["error"]) == (REFUSED, error) and host.snapshot() == before

    @pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"version": 1}', "9" * 5000])
    def test_takes_no_half_a_document(self, host, text):
        assert call(host, "apply", text)[0] == REFUSED

    @pytest.mark.parametrize("group", ["docker", "sudo", "video", "render"])
    def test_of_accounts_in_groups_that_get_past_every_fence(self, host, group):
        host.path("/etc/group").write_text(f"{group}:x:998:somebody,oc-alice\n")

        code, answer = call(host, "apply", BOTH)

        assert (code, answer["error"]) == (REFUSED, "invalid") and group in answer["message"]

    def test_of_a_uid_or_a_name_that_is_somebody_elses(self, host):
        with host.path("/etc/passwd").open("a") as file:
            file.write("carol:x:61001:61001::/home/carol:/bin/sh\n")

        assert "carol" in call(host, "apply", BOTH)[1]["message"]

    def test_of_a_card_that_somebody_else_holds(self, host):
        host.start(700, 1000, CARDS[2])
        host.start(701, 0, CARDS[0])  # a daemon of the driver

        code, answer = call(host, "apply", BOTH)

        assert (code, answer["error"]) == (REFUSED, "no_capacity") and CARDS[2] in answer["message"]
        assert call(host, "apply", document(1, ALICES))[0] == DONE

    def test_of_another_installation(self, leased):
        code, answer = call(leased, "apply", {**BOTH, "installation": "another", "generation": 9})

        assert (code, answer["error"]) == (REFUSED, "not_ours")

    def test_of_a_second_document_for_one_host(self, leased):
        code, answer = call(leased, "apply", {**BOTH, "target": "oc-second", "generation": 9})

        assert (code, answer["error"]) == (REFUSED, "no_capacity")

    def test_of_unknown_verbs(self, host):
        assert call(host, "shell")[0] == 64


def _extra_entry(host):
    access = acl.read(host.path(CARDS[0]))
    acl.fence(host.path(CARDS[0]), [*access.granted, 1000])


def _deleted_key(host):
    host.path("/etc/ocenter/keys/oc-alice").unlink()


def _deleted_slice(host):
    host.path(files.slice_path(61001)).unlink()


def _ghost(host):
    host.add_account("oc-ghost", 61177, "")


def _lost_entry(host):
    acl.fence(host.path(CARDS[0]), [])


def _new_nodes(host):
    host.make_node(CARDS[0])


class TestDrift:
    @pytest.mark.parametrize(
        ("drift", "named"),
        [
            (lambda host: host.path(CARDS[0]).chmod(0o666), f"fence {CARDS[0]}"),
            (_extra_entry, f"fence {CARDS[0]}"),
            (_deleted_key, "create /etc/ocenter/keys/oc-alice"),
            (_deleted_slice, f"create {files.slice_path(61001)}"),
            (_ghost, "remove account oc-ghost"),
            (_lost_entry, f"grant {CARDS[0]}"),
            (_new_nodes, f"fence {CARDS[0]}"),
            (lambda host: host.path(CARDS[0]).chmod(0o600), f"grant {CARDS[0]}"),
        ],
        ids=["chmod", "extra entry", "key", "slice", "ghost", "lost entry", "new node", "mask"],
    )
    def test_is_named_by_plan_and_repaired_by_apply(self, leased, drift, named):
        before = leased.snapshot()
        drift(leased)

        planned = call(leased, "plan", BOTH)[1]

        assert named in objects(planned) and {each.split(" ", 1)[1] for each in objects(planned)} == {
            named.split(" ", 1)[1]
        }
        assert call(leased, "apply", BOTH) == (DONE, planned) and leased.snapshot() == before

    def test_of_eight_kinds_at_once_is_named_item_by_item(self, leased):
        before = leased.snapshot()
        leased.path(CARDS[1]).chmod(0o666)
        _deleted_key(leased)
        _deleted_slice(leased)
        _ghost(leased)
        _new_nodes(leased)
        leased.path(CARDS[2]).chmod(0o600)
        acl.fence(leased.path(SHARED[0]), [61001, 61002, 1000])
        acl.fence(leased.path(SHARED[1]), [61001])

        planned = objects(call(leased, "plan", BOTH)[1])

        assert {each.split(" ", 1)[1] for each in planned} == {
            CARDS[0],
            CARDS[1],
            CARDS[2],
            SHARED[0],
            SHARED[1],
            "account oc-ghost",
            "/etc/ocenter/keys/oc-alice",
            files.slice_path(61001),
        }
        assert call(leased, "apply", BOTH)[0] == DONE and leased.snapshot() == before

    def test_of_a_key_that_root_added_is_taken_out(self, leased):
        with leased.path("/etc/ocenter/keys/oc-alice").open("a") as file:
            file.write(BOB + "\n")

        call(leased, "apply", BOTH)

        assert BOB.split()[1] not in leased.text("/etc/ocenter/keys/oc-alice")

    def test_is_told_by_observe_with_the_leases_it_harms(self, leased):
        _deleted_key(leased)

        told = call(leased, "observe")[1]

        assert told["delivered"] == ["oc-bob"] and len(told["remaining"]) == 1


class TestOthers:
    def test_keep_the_control_planes_own_key(self, leased):
        """The first draft's sweep of unknown key files locked the control plane out."""
        leased.path("/etc/ocenter/keys/ocenter").write_text("somebody put it here\n")

        call(leased, "apply", document(2))

        assert (
            leased.path("/etc/ocenter/service/ocenter").exists() and leased.path("/etc/ocenter/keys/ocenter").exists()
        )

    def test_keep_their_accounts_and_programs(self, leased):
        with leased.path("/etc/passwd").open("a") as file:
            file.write("oc-smith:x:1001:1001::/home/oc-smith:/bin/sh\ncarol:x:61100:61100::/home/carol:/bin/sh\n")
        leased.start(700, 1001, CARDS[0])
        leased.start(701, 61100, CARDS[0])

        call(leased, "apply", document(2))

        assert leased.ended == [] and {"oc-smith", "carol"} <= {account.name for account in leased.accounts()}

    def test_who_hold_a_card_are_told(self, leased):
        leased.start(700, 1000, CARDS[3])

        assert call(leased, "observe")[1]["holders"] == {CARDS[3]: [{"pid": 700, "uid": 1000}]}


class TestDeath:
    def test_at_any_write_is_mended_by_a_repeat(self, tmp_path):
        for number in count(1):
            host = PlayedHost(tmp_path / str(number))
            before = host.snapshot()
            host.dies_at = number
            try:
                call(host, "apply", BOTH)
                break
            except Killed:
                assert call(host, "apply", BOTH)[0] == DONE and call(host, "plan", BOTH)[1] == {"changes": []}
            call(host, "apply", document(2))
            assert host.snapshot() == before
        assert number > 10

    def test_at_any_write_of_taking_is_mended_by_a_repeat(self, tmp_path):
        for number in count(1):
            host = PlayedHost(tmp_path / str(number))
            before = host.snapshot()
            call(host, "apply", BOTH)
            host.dies_at = number
            try:
                call(host, "apply", document(2))
                break
            except Killed:
                assert call(host, "apply", document(2))[0] == DONE
            assert host.snapshot() == before
        assert number > 8

    def test_is_survived_by_the_wish(self, host):
        """A newer wish that was taken and not fulfilled is no reason to go back to an older one."""
        host.dies_at = 3
        with pytest.raises(Killed):
            call(host, "apply", document(5, ALICES, BOBS))

        assert call(host, "apply", document(4))[0] == STALE
        assert call(host, "restore")[0] == DONE and call(host, "plan", document(5, ALICES, BOBS))[1] == {"changes": []}


class TestSlice:
    def test_closes_all_devices_but_the_leased(self, leased):
        lines = leased.text(files.slice_path(61001)).splitlines()

        assert lines[1:4] == ["[Slice]", "DevicePolicy=closed", "DeviceAllow=char-pts rw"]
        assert lines[4:] == [f"DeviceAllow={node} rw" for node in (*CARDS[:2], *SHARED)]

    def test_limits_the_share_of_the_host(self, host):
        call(host, "apply", document(1, {**ALICES, "limits": {"memory_mib": 512, "cpu_milli": 2500, "tasks": 99}}))

        assert host.text(files.slice_path(61001)).splitlines()[-3:] == [
            "MemoryMax=512M",
            "CPUQuota=250%",
            "TasksMax=99",
        ]

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
    def test_passes_systemds_own_check(self, host, tmp_path):
        call(host, "apply", document(1, {**ALICES, "limits": {"memory_mib": 512, "cpu_milli": 2500, "tasks": 99}}))
        unit = tmp_path / "user-61001.slice"
        unit.write_text("[Unit]\nDescription=one user\n" + host.text(files.slice_path(61001)))

        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)

        complaints = [line for line in done.stderr.splitlines() if "user-61001" in line]
        assert complaints == [] and done.returncode == 0
