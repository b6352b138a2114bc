"""What every connector promises, as named rules. A connector's test subclasses these and supplies fixtures only.

Fixtures of ``ConnectorContract``: ``connect`` opens another session to the same healthy far end, which shows at least
two pages; ``secret`` is the secret in its credential; ``with_wrong_credential``, ``nowhere``, ``without_permission``
and ``breaking`` are sessions to which that happened (``breaking`` fails after its first page and is whole the next
time); ``missing_permission`` is what ``check`` must name.

Fixtures of ``ApplyContract`` are listed there. The rules' numbers are in docs/connector-contract.md.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import structlog

from connectors.contract import (
    Check,
    Connector,
    ConnectorError,
    CounterFact,
    Denied,
    DeviceFact,
    Last,
    NodeFact,
    Page,
    Permanent,
    Transient,
)
from tests.connectors.server import INSTALLATION as INSTALLATION
from tests.connectors.server import connect_here

MAX_NODES_A_PAGE = 500
WIDE_TO_NARROW = ("region", "zone", "rack")

Connect = Callable[[], Connector]


def pages(connector: Connector) -> list[Page]:
    """Observe all."""
    return list(connector.observe(None))


def nodes(connector: Connector) -> list[NodeFact]:
    """Observe all, and return the nodes in their order."""
    return [node for page in pages(connector) for node in page.nodes]


def last_of(seen: list[Page]) -> Last:
    """Return how the observation ended."""
    assert seen and seen[-1].last is not None
    return seen[-1].last


def parts(found: list[NodeFact]) -> Iterator[DeviceFact | CounterFact]:
    """Yield all that can be used."""
    for node in found:
        yield from node.devices
        yield from node.counters


class Sessions:
    """Fixtures that every contract has."""

    @pytest.fixture
    def open_session(self):
        """Return session.connect; what it opens is closed at the end of the test."""
        with ExitStack() as stack:
            yield lambda *args, **kwargs: stack.enter_context(connect_here(*args, **kwargs))

    @pytest.fixture
    def logged(self):
        """Return what is logged, of every level."""
        with structlog.testing.capture_logs() as entries:
            yield entries


class ConnectorContract(Sessions):
    """To observe and to check: mandatory for every connector."""

    @pytest.fixture
    def connector(self, connect: Connect) -> Connector:
        return connect()

    # --- an observation -----------------------------------------------------------------------------------------------

    def test_c01_the_last_page_and_no_other_says_that_it_is_the_last(self, connector):
        seen = pages(connector)

        assert len(seen) >= 2 and [page.last is not None for page in seen] == [False] * (len(seen) - 1) + [True]

    def test_c02_a_healthy_platform_is_seen_completely(self, connector):
        last = last_of(pages(connector))

        assert last.complete and last.incomplete_because == ""

    def test_c03_a_full_observation_says_so_on_every_page(self, connector):
        assert all(page.is_full and not page.gone for page in pages(connector))

    def test_c04_pages_are_small_enough_to_merge_one_by_one(self, connector):
        assert all(len(page.nodes) <= MAX_NODES_A_PAGE for page in pages(connector))

    def test_c05_a_node_is_told_once(self, connector):
        refs = [node.ref for node in nodes(connector)]

        assert refs and len(refs) == len(set(refs)) and all(refs)

    def test_c06_devices_and_counters_of_a_node_have_refs_of_their_own(self, connector):
        for node in nodes(connector):
            for facts in (node.devices, node.counters):
                refs = [fact.ref for fact in facts]
                assert len(refs) == len(set(refs)) and all(refs)

    def test_c07_a_device_is_told_on_one_node(self, connector):
        uuids = [device.uuid for node in nodes(connector) for device in node.devices if device.uuid]

        assert len(uuids) == len(set(uuids))

    def test_c08_no_count_is_negative(self, connector):
        found = nodes(connector)

        for node in found:
            assert min(node.cpu_milli, node.memory_mib, node.cpu_used_milli, node.memory_used_mib) >= 0
            for device in node.devices:
                assert device.memory_mib >= 0
            for counter in node.counters:
                assert min(counter.unit_memory_mib, counter.faulty_units, counter.unit_milli) >= 0
                assert counter.faulty_units <= counter.total_units
        assert all(use.milli >= 0 and use.memory_mib >= 0 and use.holder for part in parts(found) for use in part.uses)

    def test_c09_a_device_is_one_device_or_counted_by_a_counter_of_its_node(self, connector):
        for node in nodes(connector):
            for device in node.devices:
                assert device.total_milli == 1000 or (device.total_milli == 0 and node.counters)

    def test_c10_use_fits_into_what_is_used(self, connector):
        for node in nodes(connector):
            for device in node.devices:
                assert sum(use.milli for use in device.uses) <= device.total_milli
            for counter in node.counters:
                assert sum(use.milli for use in counter.uses) <= counter.total_units * counter.unit_milli

    def test_c11_what_is_not_well_says_why(self, connector):
        found = nodes(connector)

        assert all(node.is_available or node.unavailable_reason for node in found)
        assert all(device.health != "faulty" or device.health_reason for node in found for device in node.devices)

    def test_c12_topology_leads_from_wide_to_narrow(self, connector):
        for node in nodes(connector):
            known = [key for key in node.topology if key in WIDE_TO_NARROW]
            assert known == sorted(known, key=WIDE_TO_NARROW.index) and all(node.topology.values())

    def test_c13_pci_ids_are_vendor_and_device_in_lower_case_hex(self, connector):
        ids = {part.pci_id for part in parts(nodes(connector)) if part.pci_id}

        assert all(re.fullmatch("[0-9a-f]{4}:[0-9a-f]{4}", pci_id) for pci_id in ids)

    def test_c14_a_node_without_devices_is_a_node_too(self, connector):
        assert any(not node.devices and not node.counters for node in nodes(connector))

    def test_c15_bytes_from_the_platform_are_counted(self, connector):
        assert sum(page.byte_count for page in pages(connector)) > 0

    # --- another observation ------------------------------------------------------------------------------------------

    def test_c16_the_same_fleet_gives_the_same_facts_in_the_same_order(self, connector):
        assert nodes(connector) == nodes(connector)

    def test_c17_another_session_sees_the_same(self, connector, connect):
        assert nodes(connector) == nodes(connect())

    def test_c18_two_observations_at_once_do_not_disturb_each_other(self, connector):
        first, second = connector.observe(None), connector.observe(None)

        seen = [next(first), next(second), *first]

        assert [node.ref for page in (seen[0], *seen[2:]) for node in page.nodes] == [
            node.ref for node in nodes(connector)
        ]

    def test_c19_a_cursor_survives_being_stored(self, connector):
        cursor = last_of(pages(connector)).cursor

        assert json.loads(json.dumps(cursor)) == cursor

    def test_c20_an_observation_can_go_on_from_its_cursor(self, connector):
        cursor = last_of(pages(connector)).cursor

        assert last_of(list(connector.observe(cursor))).complete

    def test_c21_a_cursor_of_another_time_leads_to_a_full_observation(self, connector):
        seen = list(connector.observe({"left": "over"}))

        assert last_of(seen).complete and all(page.is_full for page in seen)

    def test_c22_an_observation_left_in_the_middle_leaves_nothing_behind(self, connector):
        next(connector.observe(None))

        assert last_of(pages(connector)).complete

    def test_c23_an_observation_that_breaks_raises_and_never_says_last(self, breaking):
        seen = []

        with pytest.raises(Transient):
            seen.extend(breaking.observe(None))

        assert all(page.last is None for page in seen)

    def test_c24_after_a_break_the_next_observation_is_whole(self, breaking, connector):
        with pytest.raises(Transient):
            pages(breaking)

        assert nodes(breaking) == nodes(connector)

    # --- who is there and what we may do ------------------------------------------------------------------------------

    def test_c25_the_identity_stays(self, connector, connect):
        assert connector.identity().key == connector.identity().key == connect().identity().key != ""

    def test_c26_check_tells_the_same_identity(self, connector):
        assert connector.check().identity.key == connector.identity().key

    def test_c27_check_finds_that_all_is_there_to_watch(self, connector):
        check = connector.check()

        assert isinstance(check, Check) and check.watch.ok and check.watch.missing == ()

    def test_c28_check_says_what_the_connector_can_do(self, connector):
        assert "observe" in connector.check().capabilities

    def test_c29_check_names_each_missing_permission_and_does_not_fail(self, without_permission, missing_permission):
        check = without_permission.check()

        assert not check.watch.ok and any(missing_permission in missing for missing in check.watch.missing)

    def test_c30_without_permission_nothing_is_taken_for_complete(self, without_permission):
        try:
            seen = pages(without_permission)
        except Denied:
            return

        assert not last_of(seen).complete and last_of(seen).incomplete_because

    def test_c31_a_wrong_credential_is_denied(self, with_wrong_credential):
        for call in (with_wrong_credential.identity, with_wrong_credential.check, lambda: pages(with_wrong_credential)):
            with pytest.raises(Denied) as raised:
                call()
            assert raised.value.code == "unauthorized"

    def test_c32_a_far_end_that_is_not_there_is_transient(self, nowhere):
        for call in (nowhere.identity, nowhere.check, lambda: pages(nowhere)):
            with pytest.raises(Transient):
                call()

    def test_c33_no_secret_gets_into_logs_errors_or_facts(self, connector, with_wrong_credential, secret, logged):
        told = [str(connector.check()), str(pages(connector))]
        for call in (with_wrong_credential.check, lambda: pages(with_wrong_credential)):
            with pytest.raises(ConnectorError) as raised:
                call()
            told += [str(raised.value), raised.value.platform_words, repr(raised.value)]

        assert secret not in "".join(told) + str(logged) and logged

    def test_c34_every_call_leaves_a_line_with_its_time(self, connector, logged):
        pages(connector)

        (line,) = [entry for entry in logged if entry["event"] == "connector.call"]
        assert line["call"] == "observe" and line["ms"] >= 0 and line["pages"] >= 2 and line["nodes"] > 0

    def test_c35_closing_twice_is_silent(self, connector):
        connector.close()
        connector.close()


def refused(call: Callable[..., object], *args: object) -> Permanent:
    """Return the Permanent error with which a call ends."""
    with pytest.raises(Permanent) as raised:
        call(*args)
    return raised.value
