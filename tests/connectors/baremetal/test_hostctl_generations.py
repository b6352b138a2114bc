"""Which of two documents the helper on a host takes for the newer one, whatever came in between."""

import json
import threading

import pytest

from connectors.baremetal.hostctl import host as host_module
from connectors.baremetal.hostctl import memory
from tests.connectors.baremetal.double_host import (
    ALICES,
    BOB,
    BOBS,
    BOTH,
    CARDS,
    DONE,
    INCOMPLETE,
    REFUSED,
    SHARED,
    STALE,
    call,
    document,
    lease,
)


class TestGenerations:
    def test_that_are_older_are_stale(self, leased):
        call(leased, "apply", document(5, ALICES, BOBS))

        assert call(leased, "apply", document(4, ALICES))[0] == STALE == call(leased, "plan", document(4))[0]

    def test_that_are_equal_with_other_content_are_stale(self, leased):
        assert call(leased, "apply", document(1, ALICES))[0] == STALE

    def test_are_remembered_after_all_was_taken(self, leased):
        call(leased, "apply", document(2))

        assert call(leased, "apply", BOTH)[0] == STALE

    def test_of_five_at_once_the_newest_wins(self, host):
        codes: dict[int, int] = {}
        calls = [
            threading.Thread(target=lambda g=g: codes.update({g: call(host, "apply", document(g, ALICES))[0]}))
            for g in (3, 5, 1, 4, 2)
        ]
        for each in calls:
            each.start()
        for each in calls:
            each.join()

        assert codes[5] == DONE and set(codes.values()) <= {DONE, STALE}
        assert call(host, "observe")[1]["document"]["generation"] == 5

    def test_do_not_overtake_each_other_beyond_the_lock(self, host, monkeypatch):
        monkeypatch.setattr(host_module, "LOCK_SECONDS", 0.1)
        with host.locked():
            code, answer = call(host, "apply", BOTH)

        assert (code, answer["error"]) == (INCOMPLETE, "busy") and call(host, "observe")[1]["document"] is None


class TestEqualGenerations:
    def test_take_hardware_that_is_seen_otherwise(self, leased):
        """After a boot the driver may number cards anew, and a newer ocenter may name more nodes."""
        moved = {**BOBS, "devices": [CARDS[3]], "env": {"CUDA_VISIBLE_DEVICES": "3"}}

        code, _ = call(leased, "apply", document(1, ALICES, moved, nodes=[*CARDS, *SHARED, "/dev/nvidia-modeset"]))

        assert code == DONE and leased.may(61002) == sorted([CARDS[3], *SHARED])
        assert '"CUDA_VISIBLE_DEVICES=3"' in leased.text("/etc/ocenter/keys/oc-bob")

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "B/0"},
            {"uid": 61009},
            {"keys": [BOB]},
            {"cards": ["GPU-0", "GPU-3"]},
            {"limits": {"memory_mib": 1}},
            {"expires": "2031-01-02T03:04:05+00:00"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_are_stale_with_another_order(self, leased, change):
        assert call(leased, "apply", document(1, {**ALICES, **change}, BOBS))[0] == STALE

    def test_take_the_same_instant_in_other_words(self, leased):
        assert call(leased, "apply", document(1, {**ALICES, "expires": "2030-01-02T04:04:05+01:00"}, BOBS))[0] == DONE


class TestReleases:
    def test_of_nothing_let_no_older_document_come_after_them(self, host):
        before = host.snapshot()

        assert call(host, "apply", document(2)) == (DONE, {"changes": []}) and host.snapshot() == before

        assert call(host, "apply", BOTH)[0] == STALE == call(host, "apply", document(2, ALICES))[0]
        assert call(host, "apply", document(3, ALICES))[0] == DONE

    def test_are_remembered_while_another_document_is_carried(self, host):
        call(host, "apply", document(5, ALICES))
        call(host, "apply", document(6))
        call(host, "apply", document(1, BOBS, target="oc-other"))
        call(host, "apply", document(2, target="oc-other"))

        assert call(host, "apply", document(5, ALICES))[0] == STALE
        assert call(host, "apply", document(1, BOBS, target="oc-other"))[0] == STALE

    def test_of_what_is_not_there_take_nothing_from_others(self, leased):
        before = leased.snapshot()

        assert call(leased, "apply", document(7, target="oc-other")) == (DONE, {"changes": []})

        assert leased.snapshot() == before and call(leased, "plan", BOTH) == (DONE, {"changes": []})
        call(leased, "apply", document(2))
        assert call(leased, "apply", document(6, BOBS, target="oc-other"))[0] == STALE

    def test_for_another_installation_are_refused_and_not_remembered(self, leased):
        assert call(leased, "apply", document(7, installation="another"))[0] == REFUSED

        assert leased.text(memory.RELEASED) is None

    def test_that_are_planned_are_not_remembered(self, host):
        call(host, "plan", document(7))

        assert call(host, "apply", BOTH)[0] == DONE

    def test_are_remembered_up_to_a_number_the_last_ones_longest(self, host):
        for number in range(memory.MOST_RELEASED + 5):
            call(host, "apply", document(2, target=f"oc-{number}"))

        assert len(json.loads(host.text(memory.RELEASED))) == memory.MOST_RELEASED
        assert call(host, "apply", document(1, BOBS, target=f"oc-{number}"))[0] == STALE
        assert call(host, "apply", document(1, lease("oc-first", 61001, 0), target="oc-0"))[0] == DONE
