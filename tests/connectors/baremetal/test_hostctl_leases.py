"""Each lease of a document is carried, or given back, on its own; what an account left goes before the account."""

import shutil

import pytest

from connectors.baremetal.hostctl.errors import Incomplete
from tests.connectors.baremetal.double_host import (
    BOBS,
    BOTH,
    CARDS,
    DONE,
    INCOMPLETE,
    SHARED,
    Killed,
    call,
    document,
    lease,
    objects,
)

CAROLS = lease("oc-carol", 61003, 3)


def accounts(host):
    return sorted(each.name for each in host.accounts() if each.is_ours)


class TestADeadCard:
    def test_of_one_lease_keeps_no_other_from_being_given(self, host):
        host.path(CARDS[0]).unlink()

        code, answer = call(host, "apply", BOTH)

        assert code == INCOMPLETE and "(oc-alice): it is not there" in answer["message"]
        assert "oc-bob" not in answer["message"] and call(host, "observe")[1]["delivered"] == ["oc-bob"]
        assert host.may(61002) == sorted([CARDS[2], *SHARED])
        assert host.names("/etc/ocenter/keys") == ["oc-bob"], "a key without the card"

    def test_of_one_lease_keeps_no_other_from_being_given_back(self, leased):
        leased.path(CARDS[2]).unlink()

        assert call(leased, "apply", document(2, BOBS))[0] == INCOMPLETE

        told = call(leased, "observe")[1]
        assert accounts(leased) == ["oc-bob"] and (told["delivered"], told["leaving"]) == ([], [])

    def test_that_came_back_is_given_by_a_repeat(self, host):
        host.path(CARDS[0]).unlink()
        call(host, "apply", BOTH)
        host.make_node(CARDS[0])

        assert call(host, "apply", BOTH)[0] == DONE and host.may(61001) == sorted([*CARDS[:2], *SHARED])


class TestAProgramThatDoesNotEnd:
    @pytest.fixture
    def stuck(self, leased):
        leased.start(700, 61001, CARDS[0])
        leased.deathless.add(700)
        return leased

    def test_keeps_its_account_and_no_other_lease(self, stuck):
        code, answer = call(stuck, "apply", document(2, BOBS, CAROLS))

        told = call(stuck, "observe")[1]
        assert code == INCOMPLETE and "[700] cannot be ended" in answer["message"]
        assert told["delivered"] == ["oc-bob", "oc-carol"] and told["leaving"] == ["oc-alice"]
        assert accounts(stuck) == ["oc-alice", "oc-bob", "oc-carol"]

    def test_loses_its_key_all_the_same(self, stuck):
        call(stuck, "apply", document(2, BOBS))

        assert stuck.names("/etc/ocenter/keys") == ["oc-bob"] and stuck.may(61001) == []

    def test_keeps_its_card_from_the_next_lessee(self, stuck):
        call(stuck, "apply", document(2, BOBS, lease("oc-carol", 61003, 0)))

        assert call(stuck, "observe")[1]["delivered"] == ["oc-bob"] and CARDS[0] not in stuck.may(61003)

        stuck.deathless.clear()
        assert call(stuck, "apply", document(2, BOBS, lease("oc-carol", 61003, 0)))[0] == DONE
        assert stuck.may(61003) == sorted([CARDS[0], *SHARED])


class TestTheWish:
    def test_that_cannot_be_kept_is_not_fulfilled(self, leased, monkeypatch):
        before = leased.snapshot()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(leased, "write", full)

        assert call(leased, "apply", document(2, BOBS))[0] == INCOMPLETE and leased.snapshot() == before


class TestLeftovers:
    @pytest.fixture
    def used(self, leased):
        for name in ("/tmp/mine", "/home/oc-alice/mine"):
            leased.path(name).write_text("alice's")
        leased.owners["/tmp/mine"] = 61001
        return leased

    def test_go_before_their_account(self, used, monkeypatch):
        """Once the account is gone, nobody knows whose they are, and the next one with the uid owns them."""
        usual = used.run

        def run(*command):
            if command[0] == "userdel":
                raise Killed
            return usual(*command)

        monkeypatch.setattr(used, "run", run)
        with pytest.raises(Killed):
            call(used, "apply", document(2, BOBS))
        assert not used.path("/tmp/mine").exists() and not used.path("/home/oc-alice").exists()
        assert accounts(used) == ["oc-alice", "oc-bob"] and call(used, "observe")[1]["leaving"] == ["oc-alice"]

        monkeypatch.undo()
        assert call(used, "apply", document(2, BOBS))[0] == DONE and accounts(used) == ["oc-bob"]

    def test_that_cannot_be_removed_are_told_and_removed_by_the_next_call(self, used, monkeypatch):
        def busy(path):
            raise OSError(16, f"Device or resource busy: {path}")

        monkeypatch.setattr(shutil, "rmtree", busy)
        code, answer = call(used, "apply", document(2, BOBS))
        assert code == INCOMPLETE and "remove account oc-alice" in answer["message"] and "busy" in answer["message"]
        assert accounts(used) == ["oc-alice", "oc-bob"]

        monkeypatch.undo()
        assert call(used, "apply", document(2, BOBS))[0] == DONE
        assert accounts(used) == ["oc-bob"] and not used.path("/home/oc-alice").exists()

    def test_of_an_account_that_somebody_else_removed_are_not_the_next_ones(self, host):
        host.path("/tmp/old").write_text("of a lease before")
        host.owners["/tmp/old"] = 61001

        call(host, "apply", BOTH)

        assert not host.path("/tmp/old").exists()

    def test_of_other_people_stay(self, used):
        used.path("/tmp/theirs").write_text("carol's")
        used.owners["/tmp/theirs"] = 1000

        call(used, "apply", document(2))

        assert used.path("/tmp/theirs").exists()

    def test_in_the_group_file_are_removed_too(self, host):
        """Else an account of this name could not be made again."""
        with host.path("/etc/group").open("a") as file:
            file.write("oc-alice:x:61001:\noc-people:x:1001:\n")

        steps = objects(call(host, "apply", BOTH)[1])

        assert "remove group oc-alice" in steps and "remove group oc-people" not in steps

    def test_stay_while_the_account_runs_a_program(self, used):
        used.start(700, 61001, CARDS[0])
        alice = next(each for each in used.accounts() if each.name == "oc-alice")

        with pytest.raises(Incomplete):
            used.remove_account(alice)

        assert "oc-alice" in accounts(used)


class TestRestore:
    def test_brings_back_what_a_boot_takes(self, leased):
        before = leased.snapshot()
        for node in (*CARDS, *SHARED):
            leased.make_node(node)

        assert call(leased, "restore")[0] == DONE

        assert leased.snapshot() == before and call(leased, "restore")[1] == {"changes": []}

    def test_does_nothing_where_nothing_was(self, host):
        before = host.snapshot()

        assert call(host, "restore") == (DONE, {"changes": []}) and host.snapshot() == before

    def test_stops_at_no_node_that_is_missing(self, leased):
        for node in (*CARDS, *SHARED):
            leased.make_node(node)
        leased.path(CARDS[0]).unlink()

        code, answer = call(leased, "restore")

        assert code == INCOMPLETE and CARDS[0] in answer["message"]
        assert leased.may(61002) == sorted([CARDS[2], *SHARED]) and leased.may(1000) == []
