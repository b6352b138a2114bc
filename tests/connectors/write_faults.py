"""The troubles that meet an order on its way, and what each connector reports then. Its double plays them.

A subclass supplies, beside the fixtures of ``ApplyContract``, ``playing_write``: a callable that takes one of
``WRITE_FAULTS`` and returns a session to a far end whose next write meets exactly this.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from connectors.contract import Absent, ConnectorError, Denied, Done, Permanent, Transient
from tests.connectors.apply_contract import Delivering, carry, markers, our_use
from tests.connectors.contract import last_of, pages

WRITE_FAULTS = (
    "refused_by_policy",
    "conflict",
    "deleted_meanwhile",
    "says_done_did_nothing",
    "says_failed_did_it",
    "permission_taken_away",
    "clock_ahead",
    "upgraded",
    "token_ends",
)


def outcome_of(call: Callable[[], object]) -> object:
    """Return what a call returns or, when it is an error of the contract, raises. Its message says what to do."""
    try:
        return call()
    except ConnectorError as error:
        message = str(error)
        assert message.count(". ") + message.count("; ") >= 1, f"says what is wrong, and not what to do: {message}"
        return error


class WriteFaultContract(Delivering):
    """Mandatory for every connector that applies."""

    def test_f11_a_refusal_by_the_platforms_own_rules_is_told_in_its_words(self, playing_write, target, orders, made):
        connector = playing_write("refused_by_policy")

        error = outcome_of(lambda: carry(connector, target(1), orders))

        assert isinstance(error, Permanent) and error.code == "rejected" and error.platform_words
        carry(connector, target(2), [])
        assert made() == {}

    def test_f12_a_lost_race_is_solved_by_reading_again_or_told(self, playing_write, target, orders):
        connector = playing_write("conflict")

        outcome = outcome_of(lambda: carry(connector, target(1), orders))

        assert isinstance(outcome, Done) or outcome.code == "conflict"
        assert carry(connector, target(1), orders).found.markers == markers(orders)

    def test_f13_what_is_deleted_while_we_apply_is_not_told_as_done(self, playing_write, target, orders):
        connector = playing_write("deleted_meanwhile")

        outcome = outcome_of(lambda: carry(connector, target(1), orders))

        assert isinstance(outcome, Transient) or outcome.found == connector.probe(target(1)) != Absent()
        assert carry(connector, target(1), orders).found.markers == markers(orders)

    def test_f14_success_without_the_effect_is_not_believed(self, playing_write, target, orders):
        connector = playing_write("says_done_did_nothing")

        error = outcome_of(lambda: carry(connector, target(1), orders))

        assert isinstance(error, Transient) and error.code == "unconfirmed"

    def test_f15_failure_with_the_effect_makes_no_second(self, playing_write, target, orders, using, expected_use):
        connector = playing_write("says_failed_did_it")

        outcome = outcome_of(lambda: carry(connector, target(1), orders))
        done = carry(connector, target(1), orders)

        using(target(1), orders)
        assert isinstance(outcome, Done | Transient)
        assert done.found.markers == markers(orders) and our_use(connector) == expected_use(target(1), orders)

    def test_f16_a_permission_taken_away_between_looking_and_applying_is_named(self, playing_write, target, orders):
        connector = playing_write("permission_taken_away")
        pages(connector)

        error = outcome_of(lambda: carry(connector, target(1), orders))

        assert isinstance(error, Denied) and error.code == "forbidden" and connector.check().manage.missing

    def test_f17_a_clock_an_hour_ahead_changes_no_order(self, playing_write, target, orders):
        connector = playing_write("clock_ahead")
        ends_at = datetime.now(UTC) + timedelta(hours=6)
        leased = [replace(order, lease_end_at=ends_at.isoformat()) for order in orders]

        done = carry(connector, target(1), leased)

        assert done.found.markers == markers(orders) and carry(connector, target(1), leased).changes == ()
        assert any("clock" in warning for warning in connector.check().warnings)

    def test_f18_an_upgrade_between_two_looks_is_the_same_far_end(self, playing_write, connect):
        before = connect().identity()

        upgraded = playing_write("upgraded")

        assert upgraded.identity().key == before.key and upgraded.identity().version != before.version
        assert last_of(pages(upgraded)).complete

    def test_f19_a_token_that_ends_in_the_middle_concludes_nothing(self, playing_write):
        connector = playing_write("token_ends")

        outcome = outcome_of(lambda: pages(connector))

        assert (isinstance(outcome, list) and last_of(outcome).complete) or outcome.code == "unauthorized"
