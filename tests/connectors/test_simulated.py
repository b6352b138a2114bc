"""The simulated platform keeps the contract, plays the fault list, lasts, and makes the same fleets everywhere."""

import json
import multiprocessing
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, NoCapacity, Order, Target, Transient, UseFact
from connectors.simulated import fleet
from connectors.simulated.fleet import LOOKS, Spec
from connectors.simulated.state import Store, TargetState
from tests.connectors.ability_contract import (
    AccessContract,
    HoldContract,
    LeaseContract,
    PowerContract,
    SharedAccessContract,
    TelemetryContract,
    WatchContract,
)
from tests.connectors.apply_contract import (
    ApplyContract,
    KeptOrdersContract,
    LongWorkContract,
    ResizeContract,
    ScarceContract,
    SeveralOrdersContract,
    carry,
    our_use,
)
from tests.connectors.contract import INSTALLATION, ConnectorContract, Sessions, last_of, nodes, pages, refused
from tests.connectors.faults import FaultContract
from tests.connectors.server import connect_here
from tests.connectors.write_faults import WriteFaultContract

SECRET = "simulated-secret-7781"
FLEET = "contract"


class OnDisk(Sessions):
    """A fleet with trouble whose state is in a folder."""

    more_settings: dict[str, object] = {}

    @pytest.fixture
    def character(self):
        return "baremetal"

    @pytest.fixture
    def settings(self, character, tmp_path):
        return {
            "fleet": FLEET,
            "character": character,
            "nodes": 40,
            "devices_per_node": 4,
            "used_percent": 25,
            "has_trouble": True,
            "page_size": 15,
            "state_folder": str(tmp_path),
            **self.more_settings,
        }

    @pytest.fixture
    def store(self, settings):
        return Store(settings["state_folder"], FLEET)

    @pytest.fixture
    def connect(self, open_session, settings):
        return lambda token=SECRET, **more: open_session("simulated", settings, {"token": token}, **more)

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def room(self, connector):
        """Return a node with three free devices, and how many it has."""
        for node in nodes(connector):
            free = sum(1 for device in node.devices if device.health == "ok" and device.total_milli and not device.uses)
            if node.is_available and free >= 3:
                return node.ref, free
        raise AssertionError("the fleet has no such node")

    @pytest.fixture
    def target(self, room):
        return lambda generation: Target(kind="host", ref="oc-target", generation=generation, node_ref=room[0])

    @pytest.fixture
    def orders(self):
        return [
            Order(marker="oc-first", allocation="A", member=0, milli=2000),
            Order(marker="oc-second", allocation="B", member=0, milli=500),
        ]


class TestSimulated(
    OnDisk,
    ConnectorContract,
    ApplyContract,
    LongWorkContract,
    SeveralOrdersContract,
    KeptOrdersContract,
    ResizeContract,
    ScarceContract,
    HoldContract,
    AccessContract,
    SharedAccessContract,
    LeaseContract,
    PowerContract,
    TelemetryContract,
    WatchContract,
    WriteFaultContract,
):
    @pytest.fixture
    def change(self, connector, store):
        ref = nodes(connector)[0].ref

        def change():
            with store.changing() as state:
                state.world.cordoned[ref] = f"change {state.version}"
            return ref

        return change

    @pytest.fixture(params=["kubernetes", "openstack"])
    def character(self, request):
        return request.param

    @pytest.fixture
    def secret(self):
        return SECRET

    @pytest.fixture
    def with_wrong_credential(self, connect):
        return connect("wrong-" + SECRET)

    @pytest.fixture
    def nowhere(self, connect, store):
        store.fail("unreachable", times=-1)
        return connect()

    @pytest.fixture
    def breaking(self, connect, store):
        store.fail("truncated", call="observe", when="during")
        return connect()

    @pytest.fixture
    def missing_permission(self):
        return "list nodes"

    @pytest.fixture
    def without_permission(self, connect, store, missing_permission):
        with store.changing() as state:
            state.knobs.missing_watch = (missing_permission,)
        return connect()

    @pytest.fixture
    def smaller(self, orders):
        return replace(orders[0], milli=1000)

    @pytest.fixture
    def impossible(self):
        return Order(marker="oc-third", allocation="C", member=0, milli=1_000_000)

    @pytest.fixture
    def other_target(self, room):
        return lambda generation: Target(kind="host", ref="oc-other", generation=generation, node_ref=room[0])

    @pytest.fixture
    def other_orders(self, room):
        return [
            Order(marker=f"oc-other-{number}", allocation="D", member=number, milli=1000) for number in range(room[1])
        ]

    @pytest.fixture
    def foreign_target(self, store):
        with store.changing() as state:
            state.targets["oc-theirs"] = TargetState(generation=1, installation=None)
        return Target(kind="host", ref="oc-theirs", generation=9)

    @pytest.fixture
    def unmark(self, store):
        def unmark(target):
            with store.changing() as state:
                state.targets[target.ref].is_marked = False

        return unmark

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation="0198c0de-0000-7000-8000-00000000beef")

    @pytest.fixture
    def made(self, store):
        def made():
            ours = store.read().targets.items()
            return {ref: str(kept) for ref, kept in ours if kept.installation == INSTALLATION}

        return made

    @pytest.fixture
    def switchable(self, room):
        return room[0]

    @pytest.fixture
    def interrupting(self, store):
        """The platform is asked once an apply."""

        @contextmanager
        def interrupting(number, when):
            broken = []
            if number == 1:
                store.fail("timeout", call="apply", when=when)
            yield broken
            if number == 1 and not store.read().knobs.faults:
                broken.append(number)

        return interrupting

    @pytest.fixture
    def playing_write(self, connect, store):
        faults = {
            "refused_by_policy": ("rejected", "before"),
            "conflict": ("conflict", "before"),
            "deleted_meanwhile": ("deleted", "during"),
            "says_failed_did_it": ("server_error", "after"),
        }
        knobs = {
            "says_done_did_nothing": ("does_nothing", True),
            "permission_taken_away": ("missing_manage", ("create targets",)),
            "clock_ahead": ("clock_ahead_seconds", 3600),
            "upgraded": ("version", "2"),
        }

        def play(fault):
            if fault in faults:
                code, when = faults[fault]
                store.fail(code, call="apply", when=when)
            elif fault == "token_ends":
                store.fail("unauthorized", call="observe", when="during")
            else:
                with store.changing() as state:
                    setattr(state.knobs, *knobs[fault])
            return connect()

        return play

    @pytest.fixture
    def losing_the_answer(self, store):
        return lambda: store.fail("timeout", call="apply", when="after")

    @pytest.fixture
    def losing_the_request(self, store):
        return lambda: store.fail("timeout", call="apply", when="before")

    @pytest.fixture
    def breaking_in_the_middle(self, store):
        return lambda: store.fail("server_error", call="apply", when="during")

    @pytest.fixture
    def refusing_to_manage(self, store):
        def refuse():
            with store.changing() as state:
                state.knobs.missing_manage = ("create targets",)

        return refuse

    @pytest.fixture
    def answering_later(self, store):
        def answer_later():
            with store.changing() as state:
                state.knobs.pending_calls = 2

        return answer_later


class TestFaultsOfSimulated(OnDisk, FaultContract):
    @pytest.fixture
    def playing(self, connect, store):
        codes = {
            "unreachable": "unreachable",
            "untrusted_tls": "tls_untrusted",
            "dns_failure": "dns_failed",
            "another_kind_of_server": "not_this_kind",
            "web_page": "not_this_kind",
        }
        knobs = {
            "repeated_page": ("repeats_page", True),
            "empty_list": ("is_empty", True),
            "duplicate_devices": ("doubles_devices", True),
            "long_names": ("has_long_names", True),
            "negative_counts": ("has_negative_counts", True),
            "clock_ahead": ("clock_ahead_seconds", 3600),
        }

        def play(fault):
            if fault == "wrong_credential":
                return connect("wrong-" + SECRET)
            if fault == "expired_token":
                return connect("expired-" + SECRET)
            if fault == "another_far_end":
                return connect(identity_key="the-one-before")
            if fault == "moving_device":
                return self.moving(connect(), store)
            if fault in ("truncated_page", "zero_bytes"):
                store.fail("truncated", call="observe", when="during" if fault == "truncated_page" else "before")
            elif fault in codes:
                store.fail(codes[fault], times=-1)
            else:
                with store.changing() as state:
                    setattr(state.knobs, *knobs[fault])
            return connect()

        return play

    def moving(self, connector, store):
        """Move a device to the next node whenever all was observed."""
        observe = connector.observe

        def observe_and_move(cursor):
            seen = list(observe(cursor))
            source, goal, *_ = [node for page in seen for node in page.nodes if node.devices]
            with store.changing() as state:
                state.world.moved[f"{source.ref}/{source.devices[0].ref}"] = goal.ref
            return iter(seen)

        connector.observe = observe_and_move
        return connector


class TestLie(OnDisk):
    def test_that_all_is_done_is_found_out_by_asking(self, connector, store, target, orders):
        with store.changing() as state:
            state.knobs.does_nothing = True

        with pytest.raises(Transient) as raised:
            connector.apply(target(1), orders)

        assert raised.value.code == "unconfirmed"
        assert connector.probe(target(1)) == Absent() and our_use(connector) == {}

    def test_that_all_failed_is_found_out_by_asking(self, connector, store, target, orders):
        store.fail("server_error", call="apply", when="after")

        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        assert connector.probe(target(1)).markers == ("oc-first", "oc-second")

    def test_of_a_bug_is_a_bug_and_tells_no_more_than_its_name(self, connector, store):
        store.fail("bug")

        error = refused(connector.identity)

        assert error.code == "connector_bug" and "ZeroDivisionError" in str(error) and error.__cause__ is None


class TestWorld(OnDisk):
    def test_shows_use_by_somebody_else(self, connector, store, room):
        node = next(node for node in nodes(connector) if node.ref == room[0])
        free = next(device for device in node.devices if not device.uses)
        with store.changing() as state:
            state.world.uses[f"{node.ref}/{free.ref}"] = UseFact(holder="somebody", milli=1000)

        node = next(node for node in nodes(connector) if node.ref == room[0])

        assert [use.holder for device in node.devices if device.ref == free.ref for use in device.uses] == ["somebody"]

    def test_shows_faults_cordons_power_and_loss(self, connector, store):
        first, second, third, fourth, *_ = nodes(connector)
        with store.changing() as state:
            state.world.health[f"{first.ref}/{first.devices[0].ref}"] = "XID 79"
            state.world.cordoned[second.ref] = "being repaired"
            state.world.gone.add(fourth.ref)
        connector.power(third.ref, "off")

        found = {node.ref: node for node in nodes(connector)}

        assert found[first.ref].devices[0].health_reason == "XID 79"
        assert found[second.ref].unavailable_reason == "being repaired"
        assert found[third.ref].unavailable_reason == "powered off" and fourth.ref not in found

    def test_churns_when_told_to(self, connector, store, monkeypatch):
        with store.changing() as state:
            state.knobs.churn_seconds = 60
        monkeypatch.setattr(time, "time", lambda: 600.0)
        before = nodes(connector)

        monkeypatch.setattr(time, "time", lambda: 660.0)

        assert nodes(connector) != before and len(nodes(connector)) == len(before)

    def test_measures_what_is_well_and_is_silent_about_the_rest(self, connector):
        found = {(node.ref, device.ref): device for node in nodes(connector) for device in node.devices}

        told = {(reading.node, reading.ref): reading for reading in connector.telemetry()}

        assert told.keys() == found.keys() and {device.health for device in found.values()} > {"ok"}
        assert all((told[at].power_watts is None) == (device.health != "ok") for at, device in found.items())


class TestIncremental(OnDisk):
    more_settings = {"is_incremental": True}

    def test_observation_shows_what_changed_and_nothing_else(self, connector, store, target, orders, room):
        all_nodes = nodes(connector)
        cursor = json.loads(json.dumps(last_of(pages(connector)).cursor))
        lost = next(node.ref for node in all_nodes if node.ref != room[0])
        carry(connector, target(1), orders)
        with store.changing() as state:
            state.world.gone.add(lost)

        seen = list(connector.observe(cursor))

        assert [node.ref for page in seen for node in page.nodes] == [room[0]]
        assert list(seen[-1].gone) == [lost] and not seen[-1].is_full and last_of(seen).complete

    def test_observation_without_a_change_is_empty(self, connector):
        cursor = last_of(pages(connector)).cursor

        assert [list(page.nodes) for page in connector.observe(cursor)] == [[]]


class TestState(OnDisk):
    def test_lasts_beyond_the_session(self, connect, target, orders):
        first = connect()
        carry(first, target(1), orders)
        first.close()

        assert connect().probe(target(1)).markers == ("oc-first", "oc-second")

    def test_remembers_removed_targets_so_that_a_late_call_revives_none(self, connector, target, orders):
        carry(connector, target(1), orders)
        carry(connector, target(2), [])

        assert refused(connector.apply, target(1), orders).code == "stale_generation"
        assert carry(connector, target(3), orders).found == connector.probe(target(3)) != Absent()

    def test_can_be_edited_by_hand_while_it_runs(self, connector, store, settings):
        store.fail("timeout", call="nothing")
        path = Path(settings["state_folder"], f"{FLEET}.json")
        written = json.loads(path.read_text())
        written["knobs"]["faults"] = [{"code": "throttled", "call": "check"}]
        path.write_text(json.dumps(written))

        with pytest.raises(Transient) as raised:
            connector.check()

        assert raised.value.code == "throttled" and raised.value.after_seconds
        assert connector.check()

    def test_that_is_damaged_is_named(self, connector, settings):
        Path(settings["state_folder"], f"{FLEET}.json").write_text("{")

        error = refused(connector.check)

        assert error.code == "invalid_settings" and FLEET in str(error)

    def test_stays_in_its_folder(self, open_session, settings):
        error = refused(open_session, "simulated", settings | {"fleet": "../other"}, {})

        assert error.code == "invalid_settings"

    @pytest.mark.parametrize("when", ["before", "during", "after"])
    def test_survives_a_process_that_is_killed_in_apply(self, connector, store, settings, target, orders, when):
        store.fail("die", call="apply", when=when)
        killed = _start(_apply, settings, target(1), orders)
        killed.join(30)

        carry(connector, target(1), orders)

        assert killed.exitcode == 137 and our_use(connector) == {"oc-first": 2000, "oc-second": 500}

    def test_gives_nothing_twice_to_processes_that_ask_at_once(self, connector, settings, room):
        targets = [Target(kind="host", ref=f"oc-{n}", generation=1, node_ref=room[0]) for n in range(6)]
        asking = [
            _start(_apply, settings, target, [Order(marker=target.ref, allocation="A", member=0, milli=1000)])
            for target in targets
        ]
        for process in asking:
            process.join(30)

        node = next(node for node in nodes(connector) if node.ref == room[0])

        assert all(sum(use.milli for use in device.uses) <= 1000 for device in node.devices)
        assert len(our_use(connector)) == min(room[1], 6) == sum(process.exitcode == 0 for process in asking)


def _start(work, *arguments):
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def _apply(settings, target, orders):
    try:
        with connect_here("simulated", settings, {"token": SECRET}) as connector:
            connector.apply(target, orders)
    except NoCapacity:
        raise SystemExit(1) from None


class TestFleet:
    def test_is_the_same_for_the_same_seed_and_another_for_another(self):
        spec = Spec(seed=7, nodes=30, used_percent=50, has_trouble=True)

        assert list(fleet.nodes(spec)) == list(fleet.nodes(spec))
        assert not {node.ref for node in fleet.nodes(spec)} & {node.ref for node in fleet.nodes(replace(spec, seed=8))}

    def test_keeps_its_nodes_when_it_grows(self):
        small, large = Spec(nodes=10), Spec(nodes=20)

        assert list(fleet.nodes(large))[:10] == list(fleet.nodes(small))

    def test_of_each_character_has_vendors_trouble_and_places(self):
        vendors = set()
        for character in LOOKS:
            found = list(fleet.nodes(Spec(nodes=120, character=character, used_percent=30, has_trouble=True)))
            devices = [device for node in found for device in node.devices]
            vendors |= {device.vendor for device in devices}

            assert {"ok", "faulty"} == {device.health for device in devices}
            assert any(not node.is_available for node in found) and "" in {device.vendor for device in devices}
            assert 0.2 < sum(bool(device.uses) for device in devices) / len(devices) < 0.4
            assert all(list(node.topology) == ["region", "zone", "rack"] for node in found)

        assert len(vendors - {""}) >= 5

    def test_of_40000_devices_is_made_in_well_under_a_second(self):
        began = time.process_time()

        found = sum(len(node.devices) for node in fleet.nodes(Spec(nodes=5000, used_percent=70)))

        assert found == 40_000 and time.process_time() - began < 1.0
