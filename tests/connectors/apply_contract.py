"""What a connector promises that can deliver: a second set of rules, with more fixtures.

``target`` makes the target of a generation; ``orders`` fit on it, two for ``SeveralOrdersContract``. ``other_target``
and ``other_orders`` compete for the very same capacity, ``impossible`` is an order that fits nowhere, ``smaller`` is
the first of ``orders`` with half its share. ``foreign_target`` is there and was made by somebody else. ``stranger`` is
a session of another installation to the same far end. ``unmark`` takes our marker off a target, as a careless person
would. ``made`` returns what is on the platform by our hand, each object with its marker texts.

Each of ``losing_the_answer`` (effect there, answer lost), ``losing_the_request`` (no effect),
``breaking_in_the_middle`` (some orders are there), ``answering_later`` and ``refusing_to_manage`` turns that on for the
next call when it is called; the last stays. ``interrupting(number, when)`` is a context in which that request which
changes something (counted from 1) breaks, before it is sent or after its effect; it yields a list that gets an entry
when it happens.
"""

import threading
import time
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.contract import (
    Absent,
    Call,
    CanResize,
    Connector,
    ConnectorError,
    Denied,
    Done,
    Found,
    NoCapacity,
    Order,
    Outcome,
    Pending,
    Target,
    Transient,
)
from tests.connectors.contract import INSTALLATION, nodes, parts, refused

MOST_CALLS = 20
MOST_REQUESTS = 60
MOST_WAIT_SECONDS = 0.5


def carry(connector: Connector, target: Target, orders: list[Order]) -> Done:
    """Apply until the platform is done; return that with all changes on the way."""
    changes: tuple[Call, ...] = ()
    for _ in range(MOST_CALLS):
        outcome: Outcome = connector.apply(target, orders)
        changes += outcome.changes
        if isinstance(outcome, Done):
            return replace(outcome, changes=changes)
        time.sleep(min(outcome.after_seconds, MOST_WAIT_SECONDS))
    raise AssertionError("the platform is never done")


def markers(orders: list[Order]) -> tuple[str, ...]:
    """Return the markers in the order in which they are found."""
    return tuple(sorted(order.marker for order in orders))


def our_use(connector: Connector) -> dict[str, int]:
    """Return the observed milli-devices of each marker of ours."""
    found: dict[str, int] = {}
    for part in parts(nodes(connector)):
        for use in part.uses:
            if use.marker:
                found[use.marker] = found.get(use.marker, 0) + use.milli
    return found


def where(connector: Connector, marker: str) -> set[tuple[str, str]]:
    """Return node and device or counter of all observed use with a marker."""
    return {
        (node.ref, part.ref)
        for node in nodes(connector)
        for part in parts([node])
        if any(use.marker == marker for use in part.uses)
    }


def use_of_others(connector: Connector) -> set[Any]:
    """Return all observed use without a marker of ours."""
    return {(part.ref, use) for part in parts(nodes(connector)) for use in part.uses if not use.marker}


class Delivering:
    """How use comes to be seen. On most platforms the order alone is seen as use, with its marker."""

    @pytest.fixture
    def using(self):
        """Return what a tenant does so that the use of a target is seen."""
        return lambda target, orders: None

    @pytest.fixture
    def expected_use(self):
        """Return the milli-devices a marker that are seen then."""
        return lambda target, orders: {order.marker: order.milli for order in orders}


class ApplyContract(Delivering):
    """To plan, to apply and to probe: for connectors whose manifest says ``apply``."""

    # --- carrying orders ----------------------------------------------------------------------------------------------

    def test_c40_a_target_carries_the_orders_it_was_given(self, connector, target, orders):
        done = carry(connector, target(1), orders)

        assert done.found == connector.probe(target(1)) and isinstance(done.found, Found)
        assert (done.found.generation, done.found.is_ours) == (target(1).generation, True)
        assert done.found.markers == markers(orders)

    def test_c41_the_same_orders_twice_change_nothing(self, connector, target, orders):
        first = carry(connector, target(1), orders)

        second = carry(connector, target(1), orders)

        assert first.changes and second.changes == () and second.found == first.found

    def test_c42_another_session_finds_the_same_target(self, connector, connect, target, orders):
        carry(connector, target(1), orders)

        assert carry(connect(), target(1), orders).changes == ()

    def test_c47_two_targets_do_not_disturb_each_other(self, connector, target, orders, other_target, other_orders):
        carry(connector, target(1), orders[:1])
        before = connector.probe(target(1))
        carry(connector, other_target(1), other_orders[:1])

        carry(connector, other_target(2), [])

        assert connector.probe(target(1)) == before

    # --- giving back --------------------------------------------------------------------------------------------------

    def test_c48_no_orders_remove_the_target(self, connector, target, orders):
        carry(connector, target(1), orders)

        done = carry(connector, target(2), [])

        assert done.found == Absent() == connector.probe(target(2)) and done.changes

    def test_c49_no_orders_on_an_absent_target_is_silent(self, connector, target):
        done = carry(connector, target(1), [])

        assert done.found == Absent() and done.changes == ()

    def test_c50_after_all_is_given_back_the_platform_is_as_before(self, connector, target, orders):
        before = nodes(connector)
        carry(connector, target(1), orders)

        carry(connector, target(2), [])

        assert nodes(connector) == before

    # --- generations --------------------------------------------------------------------------------------------------

    def test_c51_an_older_generation_never_overwrites_a_newer_one(self, connector, target, orders):
        carry(connector, target(5), orders)

        error = refused(connector.apply, target(4), orders)

        assert error.code == "stale_generation"
        assert connector.probe(target(5)) == carry(connector, target(5), orders).found

    def test_c52_an_older_generation_removes_nothing(self, connector, target, orders):
        carry(connector, target(5), orders)

        error = refused(connector.apply, target(4), [])

        assert error.code == "stale_generation" and isinstance(connector.probe(target(5)), Found)

    def test_c54_a_newer_generation_of_the_same_orders_is_remembered(self, connector, target, orders):
        carry(connector, target(1), orders)

        done = carry(connector, target(2), orders)

        assert isinstance(done.found, Found) and done.found.generation == target(2).generation
        assert refused(connector.apply, target(1), orders).code == "stale_generation"

    def test_c75_of_two_writers_at_once_the_newer_one_wins(self, connector, connect, target, orders):
        other = connect()
        for newest in (3, 5, 7):
            _at_once(
                lambda g=newest: other.apply(target(g - 1), []), lambda g=newest: connector.apply(target(g), orders)
            )

            done = carry(connector, target(newest), orders)

            assert isinstance(done.found, Found) and done.found == connector.probe(target(newest))
            assert (done.found.generation, done.found.markers) == (target(newest).generation, markers(orders))
            assert refused(other.apply, target(newest - 1), []).code == "stale_generation"

    # --- planning -----------------------------------------------------------------------------------------------------

    def test_c55_a_plan_lists_exactly_what_apply_then_does(self, connector, target, orders):
        plan = connector.plan(target(1), orders)

        assert plan.calls == carry(connector, target(1), orders).changes != ()

    def test_c56_a_plan_sends_nothing(self, connector, target, orders):
        before = nodes(connector)

        connector.plan(target(1), orders)

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before

    def test_c57_a_plan_for_orders_that_are_carried_is_empty(self, connector, target, orders):
        carry(connector, target(1), orders)

        assert connector.plan(target(1), orders).calls == ()

    def test_c58_a_plan_to_give_back_is_what_apply_then_does(self, connector, target, orders):
        carry(connector, target(1), orders)

        plan = connector.plan(target(2), [])

        assert plan.calls == carry(connector, target(2), []).changes != ()

    def test_c59_a_plan_finds_drift_and_apply_repairs_it(self, connector, target, orders, unmark):
        carry(connector, target(1), orders)
        unmark(target(1))

        assert connector.plan(target(1), orders).calls

        done = carry(connector, target(1), orders)
        assert connector.plan(target(1), orders).calls == () and done.found.markers == markers(orders)

    # --- what an observation shows of it, and what is not ours --------------------------------------------------------

    def test_c60_observed_use_carries_our_marker_and_the_ordered_share(
        self, connector, target, orders, using, expected_use
    ):
        carry(connector, target(1), orders)

        using(target(1), orders)

        assert our_use(connector) == expected_use(target(1), orders)

    def test_c61_nothing_of_others_is_touched(self, connector, target, orders):
        before = use_of_others(connector)

        carry(connector, target(1), orders)
        during = use_of_others(connector)
        carry(connector, target(2), [])

        assert before == during == use_of_others(connector) and before

    def test_c62_what_somebody_else_made_is_left_alone(self, connector, foreign_target, orders):
        before = connector.probe(foreign_target)

        assert refused(connector.apply, foreign_target, orders).code == "not_ours"
        assert refused(connector.apply, foreign_target, []).code == "not_ours"

        assert connector.probe(foreign_target) == before
        assert isinstance(before, Found) and not before.is_ours and before.markers == ()

    def test_c76_all_that_we_made_carries_installation_and_order(self, connector, target, orders, made):
        carry(connector, target(1), orders)

        found = made()

        assert found and all(INSTALLATION in text for text in found.values())
        assert all(order.marker in " ".join(found.values()) for order in orders)

    def test_c77_after_giving_back_nothing_of_ours_is_left(self, connector, target, orders, made):
        carry(connector, target(1), orders)

        carry(connector, target(2), [])

        assert made() == {}

    def test_c78_another_installation_leaves_our_target_alone(self, connector, stranger, target, orders):
        before = carry(connector, target(1), orders).found

        assert refused(stranger.apply, target(9), orders).code == "not_ours"
        assert refused(stranger.apply, target(9), []).code == "not_ours"

        assert not stranger.probe(target(9)).is_ours and our_use(stranger) == {}
        assert connector.probe(target(1)) == before

    # --- no permission ------------------------------------------------------------------------------------------------

    def test_c65_without_permission_to_manage_nothing_is_changed(self, connector, target, orders, refusing_to_manage):
        refusing_to_manage()

        with pytest.raises(Denied):
            connector.apply(target(1), orders)

        check = connector.check()
        assert (
            connector.probe(target(1)) == Absent() and not check.manage.ok and check.manage.missing and check.watch.ok
        )

    # --- when the way there breaks ------------------------------------------------------------------------------------

    def test_c66_after_a_lost_answer_a_repeat_makes_no_second_effect(
        self, connector, target, orders, losing_the_answer, using, expected_use
    ):
        losing_the_answer()
        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        done = carry(connector, target(1), orders)

        using(target(1), orders)
        assert done.found.markers == markers(orders) and our_use(connector) == expected_use(target(1), orders)

    def test_c67_after_a_lost_request_a_repeat_makes_the_effect(self, connector, target, orders, losing_the_request):
        losing_the_request()
        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        assert connector.probe(target(1)) == Absent()
        assert carry(connector, target(1), orders).changes

    def test_c70_after_a_lost_answer_to_giving_back_a_repeat_is_silent(
        self, connector, target, orders, losing_the_answer
    ):
        carry(connector, target(1), orders)
        losing_the_answer()
        with pytest.raises(Transient):
            connector.apply(target(2), [])

        again = carry(connector, target(2), [])

        assert again.found == Absent() and again.changes == ()

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_c73_a_break_at_any_request_is_mended_by_a_repeat(
        self, connector, target, orders, interrupting, made, when
    ):
        for number in count(1):
            with interrupting(number, when) as broken:
                _try(connector, target(2 * number), orders)

            done = carry(connector, target(2 * number), orders)

            assert done.found.markers == markers(orders) and connector.plan(target(2 * number), orders).calls == ()
            carry(connector, target(2 * number + 1), [])
            assert made() == {}
            if not broken:
                break
        assert 1 < number < MOST_REQUESTS

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_c74_a_break_at_any_request_of_giving_back_is_mended_by_a_repeat(
        self, connector, target, orders, interrupting, made, when
    ):
        for number in count(1):
            carry(connector, target(2 * number), orders)
            with interrupting(number, when) as broken:
                _try(connector, target(2 * number + 1), [])

            done = carry(connector, target(2 * number + 1), [])

            assert done.found == Absent() == connector.probe(target(2 * number + 1)) and made() == {}
            if not broken:
                break
        assert 1 < number < MOST_REQUESTS

    def test_c72_no_secret_gets_into_plans_outcomes_or_logs(self, connector, target, orders, secret, logged):
        told: list[object] = [connector.plan(target(1), orders), carry(connector, target(1), orders)]

        told += [connector.probe(target(1)), carry(connector, target(2), [])]

        assert secret not in str(told) + str(logged)


def _try(connector: Connector, target: Target, orders: list[Order]) -> None:
    """Apply until it is done or breaks."""
    try:
        carry(connector, target, orders)
    except Transient:
        return


def _at_once(*calls: Any) -> None:
    """Run calls in threads of their own, side by side. What they raise must be of the contract."""
    barrier = threading.Barrier(len(calls))
    bugs: list[BaseException] = []

    def run(call: Any) -> None:
        barrier.wait()
        try:
            call()
        except ConnectorError as error:
            if error.code == "connector_bug":
                bugs.append(error)
        except BaseException as error:
            bugs.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bugs == []


class LongWorkContract:
    """The platform takes orders and is not done at once."""

    def test_c71_long_work_is_pending_and_is_asked_for_again(self, connector, target, orders, answering_later):
        answering_later()

        first = connector.apply(target(1), orders)

        assert isinstance(first, Pending) and first.after_seconds > 0 and first.changes
        assert (
            carry(connector, target(1), orders).found.markers == connector.probe(target(1)).markers == markers(orders)
        )


class SeveralOrdersContract(Delivering):
    """A target carries orders of several allocations; ``orders`` are two."""

    def test_c43_an_order_that_is_no_longer_given_is_removed(self, connector, target, orders):
        carry(connector, target(1), orders)

        done = carry(connector, target(2), orders[:1])

        assert isinstance(done.found, Found) and done.found.markers == markers(orders[:1])
        assert connector.probe(target(2)) == done.found

    def test_c44_an_order_that_comes_later_joins_those_there(self, connector, target, orders):
        carry(connector, target(1), orders[:1])

        done = carry(connector, target(2), orders)

        assert isinstance(done.found, Found) and done.found.markers == markers(orders)

    def test_c45_the_sequence_of_orders_does_not_matter(self, connector, target, orders):
        carry(connector, target(1), orders)

        assert carry(connector, target(1), orders[::-1]).changes == ()

    def test_c68_a_half_done_gang_is_completed_by_a_repeat(
        self, connector, target, orders, breaking_in_the_middle, using, expected_use
    ):
        breaking_in_the_middle()
        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        done = carry(connector, target(1), orders)

        using(target(1), orders)
        assert done.found.markers == markers(orders) and our_use(connector) == expected_use(target(1), orders)

    def test_c69_a_half_done_gang_is_undone_by_giving_back(self, connector, target, orders, breaking_in_the_middle):
        before = nodes(connector)
        breaking_in_the_middle()
        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        carry(connector, target(2), [])

        assert nodes(connector) == before


class KeptOrdersContract:
    """A target is a host of many tenants; ``orders`` are two."""

    def test_c53_what_it_is_told_to_keep_stays_as_it_is(self, connector, target, orders):
        first, second = sorted(orders, key=lambda order: order.marker)
        both = carry(connector, target(1), orders).found

        def keeping(generation):
            return replace(target(generation), keeps=(second.marker, "oc-never-there"))

        assert connector.plan(keeping(1), orders).calls == () and connector.plan(keeping(1), [first]).calls == ()
        kept = connector.apply(keeping(2), [first])
        assert kept.found.markers == markers(orders) and kept.found.places == both.places
        assert connector.apply(keeping(2), [first]).changes == ()
        alone = connector.apply(keeping(3), [])
        assert alone.found.markers == (second.marker,) and connector.probe(target(3)) == alone.found
        assert connector.plan(keeping(3), []).calls == ()
        assert carry(connector, target(4), []).found == Absent()


class ResizeContract(Delivering):
    """Orders grow and shrink in place."""

    def test_c46_an_order_changes_its_size_in_place(self, connector, target, orders, smaller):
        before = carry(connector, target(1), orders).found.places.get(smaller.marker, ())

        done = carry(connector, target(2), [smaller, *orders[1:]])

        assert set(done.found.places.get(smaller.marker, ())) <= set(before) and smaller.milli < orders[0].milli
        assert connector.plan(target(2), [smaller, *orders[1:]]).calls == () != connector.plan(target(3), orders).calls
        assert isinstance(connector, CanResize)


class ScarceContract:
    """The platform itself gives capacity once, whatever ocenter believes."""

    def test_c63_what_fits_nowhere_is_no_capacity_and_leaves_nothing(self, connector, target, orders, impossible):
        before = nodes(connector)

        with pytest.raises(NoCapacity):
            connector.apply(target(1), [orders[0], impossible])

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before

    def test_c64_capacity_is_given_once(self, connector, target, orders, other_target, other_orders):
        carry(connector, target(1), orders)

        with pytest.raises(NoCapacity):
            connector.apply(other_target(1), other_orders)

        carry(connector, target(2), [])
        assert isinstance(carry(connector, other_target(1), other_orders).found, Found)
