"""Hosts carry orders by their helper: the rules of the contract, on the real helper below a folder behind real SSH."""

from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from connectors.baremetal import apply, desired, sight
from connectors.baremetal.hostctl import host as host_module
from connectors.baremetal.ssh import bounded
from connectors.contract import Absent, Denied, NoCapacity, Order, Target, Transient
from tests.connectors.ability_contract import AccessContract, LeaseContract, SharedAccessContract
from tests.connectors.apply_contract import (
    ApplyContract,
    KeptOrdersContract,
    ResizeContract,
    ScarceContract,
    SeveralOrdersContract,
    carry,
    markers,
)
from tests.connectors.baremetal.double_host import ALICE, BOB, CARDS, SHARED, HelpedHost, Killed
from tests.connectors.baremetal.double_ssh import OTHER_KEY, nvidia_xml, served
from tests.connectors.contract import Sessions, nodes, pages, refused
from tests.connectors.write_faults import WriteFaultContract

GPUS = [f"GPU-aa0{number}" for number in range(4)]
OTHER_GPUS = [f"GPU-bb0{number}" for number in range(4)]
STRANGER = "0198c0de-0000-7000-8000-00000000beef"


class Helped(Sessions):
    """Two hosts with four cards each; on the second one somebody uses a card without an order."""

    @pytest.fixture
    def site(self, tmp_path):
        used = nvidia_xml(*OTHER_GPUS[:3], has_processes=True)
        hosts = [
            HelpedHost("gpu01", "127.77.9.11", {"nvidia-smi -q -x": nvidia_xml(*GPUS)}, tmp_path / "gpu01"),
            HelpedHost("gpu02", "127.77.9.12", {"nvidia-smi -q -x": used}, tmp_path / "gpu02"),
        ]
        with served(hosts) as site:
            yield site

    @pytest.fixture
    def host(self, site):
        return site["gpu01"]

    @pytest.fixture
    def secret(self, site):
        return site.credential["private_key"].splitlines()[2]

    @pytest.fixture
    def connect(self, site, open_session):
        return lambda **more: open_session("baremetal", site.settings, site.credential, **more)

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def target(self, host):
        return lambda generation: _target("oc-host", generation, host)

    @pytest.fixture
    def orders(self):
        return [
            Order(marker="oc-first", allocation="A", member=0, devices=tuple(GPUS[:2]), milli=2000, ssh_keys=(ALICE,)),
            Order(marker="oc-second", allocation="B", member=0, devices=(GPUS[2],), milli=1000, ssh_keys=(BOB,)),
        ]


def _target(ref, generation, host):
    return Target(kind="host", ref=ref, generation=generation, node_ref=host.key.get_fingerprint("sha256"))


class TestHelpedHosts(
    Helped,
    ApplyContract,
    SeveralOrdersContract,
    KeptOrdersContract,
    ResizeContract,
    ScarceContract,
    AccessContract,
    SharedAccessContract,
    LeaseContract,
    WriteFaultContract,
):
    @pytest.fixture
    def smaller(self, orders):
        return replace(orders[0], devices=(GPUS[0],), milli=1000)

    @pytest.fixture
    def impossible(self):
        return Order(marker="oc-third", allocation="C", member=0, devices=("GPU-nowhere",), milli=1000)

    @pytest.fixture
    def other_target(self, host):
        return lambda generation: _target("oc-other", generation, host)

    @pytest.fixture
    def other_orders(self):
        return [Order(marker="oc-third", allocation="C", member=0, devices=(GPUS[2],), milli=1000, ssh_keys=(BOB,))]

    @pytest.fixture
    def foreign_target(self, connect, site):
        target = _target("oc-theirs", 1, site["gpu02"])
        carry(
            connect(installation=STRANGER),
            target,
            [Order(marker="oc-theirs", allocation="T", member=0, devices=(OTHER_GPUS[1],), milli=1000)],
        )
        return replace(target, generation=9)

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation=STRANGER)

    @pytest.fixture
    def unmark(self, host):
        return lambda target: host.played.mark_account("oc-first", "")

    @pytest.fixture
    def made(self, host):
        return lambda: {
            name: text
            for name, text in _objects(host.played)
            if name.startswith(("account oc-", "/etc/ocenter/keys/", "/etc/systemd/system/"))
        }

    @pytest.fixture
    def refusing_to_manage(self, host):
        return lambda: setattr(host, "may_apply", False)

    @pytest.fixture
    def losing_the_answer(self, host):
        return lambda: host.cut_once.update({desired.APPLY: 0})

    @pytest.fixture
    def losing_the_request(self, host):
        return lambda: _next(host, lambda stdin, apply: (None, ""))

    @pytest.fixture
    def breaking_in_the_middle(self, host):
        return lambda: _next(host, _dying_at(host, 4))

    @pytest.fixture
    def interrupting(self, host):
        """The helper is asked to change something once an apply; test_hostctl kills it at each of its own writes."""

        @contextmanager
        def interrupting(number, when):
            broken = []

            def answer(stdin, apply):
                broken.append(number)
                return (None, "") if when == "before" else (apply(stdin) and None, "")

            if number == 1:
                with host.once(answer):
                    yield broken
            else:
                yield broken

        return interrupting

    @pytest.fixture
    def playing_write(self, host, connect, site, monkeypatch):
        monkeypatch.setattr(host_module, "LOCK_SECONDS", 0.1)

        def delete(stdin, apply):
            answer = apply(stdin)
            host.played.path("/etc/ocenter/keys/oc-first").unlink()
            return answer

        def lock(stdin, apply):
            with host.played.locked():
                return apply(stdin)

        answers = {
            "conflict": lock,
            "deleted_meanwhile": delete,
            "says_done_did_nothing": lambda stdin, apply: (0, '{"changes": []}'),
            "says_failed_did_it": lambda stdin, apply: (apply(stdin) and 4, '{"error": "incomplete", "message": "no"}'),
        }

        def play(fault):
            if fault == "refused_by_policy":
                host.played.path("/etc/group").write_text("docker:x:998:oc-first\n")
            elif fault == "permission_taken_away":
                host.may_apply = False
            elif fault == "clock_ahead":
                host.seconds_ahead = 3600
            elif fault == "token_ends":
                for each in site.hosts:  # the key is taken out of the accounts' authorized keys
                    each.accepts = OTHER_KEY
            elif fault in answers:
                _next(host, answers[fault])
            return connect()

        return play

    def test_c47_two_targets_do_not_disturb_each_other(self, connector, target, orders, site):
        """A host has one document, so two targets are two hosts."""
        carry(connector, target(1), orders[:1])
        before = connector.probe(target(1))
        other = [replace(orders[1], devices=(OTHER_GPUS[1],))]
        carry(connector, _target("oc-other", 1, site["gpu02"]), other)

        carry(connector, _target("oc-other", 2, site["gpu02"]), [])

        assert connector.probe(target(1)) == before

    def test_f18_an_upgrade_between_two_looks_is_the_same_far_end(self, connect, site):
        """A pool of hosts has no version of its own: each host is upgraded alone and keeps its key."""
        before = connect().identity()

        assert connect().identity() == before and pages(connect())[-1].last.complete


def _next(host, answer):
    """Let the next apply be answered so, and all after it as usual."""
    usual = host.on_apply

    def once(stdin):
        host.on_apply = usual
        return answer(stdin, usual)

    host.on_apply = once


def _dying_at(host, number):
    def answer(stdin, apply):
        host.played.dies_at = number
        try:
            return apply(stdin)
        except Killed:
            return None, ""

    return answer


def _objects(host):
    yield from ((f"account {account.name}", f"{account.name} {account.comment}") for account in host.accounts())
    for path in host.root.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            yield "/" + str(path.relative_to(host.root)), path.read_text()


class TestDocument(Helped):
    def test_of_another_host_is_refused_by_the_host_itself(self, connector, site, host, target, orders):
        host.played.path("/etc/ocenter/host").write_text("SHA256:another\n")

        error = refused(connector.apply, target(1), orders)

        assert error.code == "rejected" and "SHA256:another" in error.platform_words

    def test_with_a_card_in_two_orders_is_refused_by_the_host_itself(self, connector, target, orders):
        twice = [orders[0], replace(orders[1], devices=(GPUS[1],))]

        with pytest.raises(NoCapacity) as raised:
            connector.apply(target(1), twice)

        assert CARDS[1] in raised.value.platform_words

    def test_keeps_uids_while_orders_come_and_go(self, connector, target, orders):
        first = carry(connector, target(1), orders).found.detail["accounts"]

        after = carry(connector, target(2), orders[1:]).found.detail["accounts"]

        assert after["oc-second"] == first["oc-second"] and all(61000 <= uid <= 61183 for uid in first.values())

    def test_gives_no_uid_that_is_taken(self, connector, host, target, orders):
        uid = carry(connector, target(1), orders).found.detail["accounts"]["oc-first"]
        carry(connector, target(2), [])
        with host.played.path("/etc/passwd").open("a") as file:
            file.write(f"carol:x:{uid}:{uid}::/home/carol:/bin/sh\n")

        assert carry(connector, target(3), orders).found.detail["accounts"]["oc-first"] == uid + 1

    def test_fences_all_cards_of_the_host(self, connector, host, target, orders):
        done = carry(connector, target(1), orders[:1])

        uid = done.found.detail["accounts"]["oc-first"]
        assert host.played.may(uid) == sorted([*CARDS[:2], *SHARED]) and host.played.may(1000) == []

    def test_gives_back_with_a_broken_driver(self, connector, host, target, orders):
        carry(connector, target(1), orders)
        host.fail("nvidia-smi", 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")

        assert carry(connector, target(2), []).found == Absent()

    def test_gives_no_partition_that_nothing_could_fence(self, connector, host, target, orders, monkeypatch):
        whole = sight.look_at

        async def partitioned(session):
            seen = await whole(session)
            return replace(seen, cards=tuple(replace(card, nodes=()) for card in seen.cards))

        monkeypatch.setattr(apply, "look_at", partitioned)

        assert refused(connector.apply, target(1), orders).code == "not_supported"

    def test_needs_the_cards_to_be_chosen(self, connector, target, orders):
        assert refused(connector.apply, target(1), [replace(orders[0], devices=())]).code == "invalid"

    def test_of_nothing_is_remembered_so_that_no_older_one_comes_after_it(self, connector, target, orders):
        assert carry(connector, target(2), []).changes == ()

        assert refused(connector.apply, target(1), orders).code == "stale_generation"
        assert connector.probe(target(2)) == Absent()

    def test_follows_hardware_that_a_boot_numbered_anew(self, connector, host, target, orders):
        uid = carry(connector, target(1), orders).found.detail["accounts"]["oc-second"]
        host.replies[bounded("nvidia-smi -q -x")] = (0, nvidia_xml(*GPUS[:2], GPUS[3], GPUS[2]))

        carry(connector, target(1), orders)

        assert host.played.may(uid) == sorted([CARDS[3], *SHARED])


class TestADeadCard(Helped):
    """Of the second order, while the first is given back."""

    @pytest.fixture
    def both(self, connector, target, orders):
        return carry(connector, target(1), orders)

    def test_that_the_tool_no_longer_tells_keeps_nothing_from_being_given_back(
        self, connector, host, target, orders, both
    ):
        host.replies[bounded("nvidia-smi -q -x")] = (0, nvidia_xml(*GPUS[:2]))

        done = carry(connector, target(2), orders[1:])

        uid = both.found.detail["accounts"]["oc-second"]
        assert done.found.markers == ("oc-second",) and host.played.may(uid) == sorted([CARDS[2], *SHARED])
        assert host.played.may(1000) == [], "the cards that the tool tells, or told, are fenced"

    def test_that_breaks_the_tool_keeps_nothing_from_being_given_back(self, connector, host, target, orders, both):
        host.fail("nvidia-smi", 15, "Unable to determine the device handle for GPU 0000:1A:00.0: GPU is lost.")

        assert carry(connector, target(2), orders[1:]).found.markers == ("oc-second",)

    def test_whose_node_is_gone_is_told_while_the_other_is_given_back(self, connector, host, target, orders, both):
        host.played.path(CARDS[2]).unlink()

        with pytest.raises(Transient) as raised:
            connector.apply(target(2), orders[1:])

        found = connector.probe(target(2))
        assert raised.value.code == "incomplete" and f"{CARDS[2]} (oc-second)" in raised.value.platform_words
        assert "oc-second" not in str(raised.value), "all tenants of the host read the sentence"
        assert found.markers == () and found.detail["leaving"] == [] and list(found.detail["accounts"]) == ["oc-second"]

    def test_is_given_to_nobody_anew(self, connector, host, target, orders, both):
        host.fail("nvidia-smi", 15, "Unable to determine the device handle for GPU 0000:1A:00.0: GPU is lost.")

        with pytest.raises(Transient):
            connector.apply(target(2), [replace(orders[1], devices=GPUS[2:])])

        assert connector.probe(target(1)).markers == ("oc-first", "oc-second")

    def test_leaves_those_who_cannot_be_ended_named(self, connector, host, target, orders, both):
        host.played.start(700, both.found.detail["accounts"]["oc-first"], CARDS[0])
        host.played.deathless.add(700)

        with pytest.raises(Transient):
            connector.apply(target(2), orders[1:])

        found = connector.probe(target(2))
        assert found.markers == ("oc-second",) and found.detail["leaving"] == ["oc-first"]


class TestAccess(Helped):
    def test_tells_where_who_and_which_cards(self, connector, host, target, orders):
        carry(connector, target(1), orders)

        access = connector.access(target(1), orders[:1])

        assert access.kind == "ssh" and access.secrets == {}
        assert access.facts == {
            "host": host.address,
            "port": str(host.port),
            "account": "oc-first",
            "fingerprint": host.key.get_fingerprint("sha256"),
            "variables": f"CUDA_VISIBLE_DEVICES={GPUS[0]},{GPUS[1]}",
        }

    def test_is_not_told_while_something_lacks(self, connector, host, target, orders):
        carry(connector, target(1), orders)
        host.played.path("/etc/ocenter/keys/oc-first").unlink()

        assert connector.probe(target(1)).markers == ("oc-second",)
        assert refused(connector.access, target(1), orders).code == "not_found"


class TestHelper(Helped):
    def test_that_is_not_there_denies_and_leaves_watching(self, connector, host, target, orders):
        host.has_helper = False
        for verb in [command for command in host.replies if "ocenter-hostctl" in command]:
            host.replies[verb] = (1, "")

        with pytest.raises(Denied):
            connector.apply(target(1), orders)

        check = connector.check()
        assert check.watch.ok and any(missing.startswith("gpu01: ") for missing in check.manage.missing)
        assert nodes(connector)[0].devices

    def test_of_another_version_is_named(self, connector, host, target):
        host.replies[desired.OBSERVE] = (0, '{"version": 7}')

        assert refused(connector.probe, target(1)).code == "invalid_answer"

    def test_tells_places_and_the_fence(self, connector, host, target, orders):
        found = carry(connector, target(1), orders).found

        assert found.enforced == ("acl",) and found.markers == markers(orders)
        assert [(place.node_ref, place.device_ref) for place in found.places["oc-first"]] == [
            (host.key.get_fingerprint("sha256"), ref) for ref in GPUS[:2]
        ]
