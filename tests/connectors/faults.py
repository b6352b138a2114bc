"""The faults that every platform has some day, and what each connector reports then. Its double plays them.

A subclass supplies the fixture ``playing``: a callable that takes one of ``FAULTS`` and returns a session to a far end
with exactly this fault. The far end has at least two pages of nodes, some with several devices.
"""

import json
from collections.abc import Callable

import pytest

from connectors.contract import Connector, ConnectorError, Denied, NodeFact, Page, Permanent, Transient
from connectors.facts import MAX_NAME
from tests.connectors.contract import Sessions, last_of, nodes, pages

FAULTS = (
    "wrong_credential",
    "expired_token",
    "unreachable",
    "untrusted_tls",
    "dns_failure",
    "another_kind_of_server",
    "web_page",
    "another_far_end",
    "truncated_page",
    "zero_bytes",
    "repeated_page",
    "empty_list",
    "duplicate_devices",
    "moving_device",
    "long_names",
    "negative_counts",
    "clock_ahead",
)

Playing = Callable[[str], Connector]


def report(call: Callable[[], object]) -> ConnectorError:
    """Return the error of a call; its message must be made for a person who wants to go on."""
    with pytest.raises(ConnectorError) as raised:
        call()
    message = str(raised.value)
    assert message.count(". ") + message.count("; ") >= 1, f"says what is wrong, and not what to do: {message}"
    return raised.value


def report_of_observing(connector: Connector) -> ConnectorError:
    """Return the error of an observation, which must not have said that it saw the last page."""
    seen: list[Page] = []
    error = report(lambda: seen.extend(connector.observe(None)))
    assert all(page.last is None for page in seen)
    return error


def places(found: list[NodeFact]) -> dict[str, str]:
    """Return the node of each device that can be told apart anywhere."""
    return {
        hardware: node.ref for node in found for device in node.devices if (hardware := device.uuid or device.serial)
    }


class FaultContract(Sessions):
    """Mandatory for every connector."""

    # --- the way there ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("fault", "kind", "code"),
        [
            ("wrong_credential", Denied, "unauthorized"),
            ("expired_token", Denied, "unauthorized"),
            ("unreachable", Transient, "unreachable"),
            ("untrusted_tls", Permanent, "tls_untrusted"),
            ("dns_failure", Transient, "dns_failed"),
            ("another_kind_of_server", Permanent, "not_this_kind"),
            ("web_page", Permanent, "not_this_kind"),
        ],
    )
    def test_f01_what_stands_in_the_way_is_reported_by_every_call(self, playing: Playing, fault, kind, code):
        connector = playing(fault)

        errors = [report(connector.identity), report(connector.check), report_of_observing(connector)]

        assert [(type(error), error.code) for error in errors] == [(kind, code)] * 3

    def test_f02_another_far_end_behind_the_same_url_is_refused(self, playing: Playing):
        error = report(lambda: playing("another_far_end"))

        assert isinstance(error, Permanent) and error.code == "identity_changed"

    # --- broken answers -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", ["truncated_page", "zero_bytes"])
    def test_f03_an_answer_without_its_end_is_transient_and_concludes_nothing(self, playing: Playing, fault):
        error = report_of_observing(playing(fault))

        assert isinstance(error, Transient) and error.code == "truncated"

    def test_f04_a_repeated_page_concludes_nothing(self, playing: Playing):
        error = report_of_observing(playing("repeated_page"))

        assert isinstance(error, Transient) and error.code == "repeated_page"

    def test_f05_an_empty_list_is_told_as_it_is(self, playing: Playing):
        seen = pages(playing("empty_list"))

        assert not any(page.nodes for page in seen) and last_of(seen) is not None

    # --- nonsense in answers ------------------------------------------------------------------------------------------

    def test_f06_a_device_that_is_told_twice_is_counted_once_and_told(self, playing: Playing):
        seen = pages(playing("duplicate_devices"))

        found = [node for page in seen for node in page.nodes]
        hardware = [device.uuid or (node.ref, device.ref) for node in found for device in node.devices]
        assert hardware and len(hardware) == len(set(hardware)) and any(page.warnings for page in seen)

    def test_f07_a_device_that_moves_is_seen_where_it_is(self, playing: Playing):
        connector = playing("moving_device")

        before, after = places(nodes(connector)), places(nodes(connector))

        moved = [hardware for hardware in before if before[hardware] != after[hardware]]
        assert before.keys() == after.keys() and len(moved) == 1

    def test_f08_names_of_10_kb_are_shortened_and_stay_different(self, playing: Playing):
        seen = pages(playing("long_names"))

        found = [node for page in seen for node in page.nodes]
        texts = [text for node in found for text in (node.ref, node.name, *node.labels.values())]
        texts += [text for node in found for device in node.devices for text in (device.ref, device.model)]
        assert max(map(len, texts)) <= MAX_NAME and len({node.name for node in found}) == len(found)
        assert any("too long" in warning for page in seen for warning in page.warnings)

    def test_f09_a_negative_count_is_refused_and_named(self, playing: Playing):
        error = report_of_observing(playing("negative_counts"))

        assert isinstance(error, Permanent) and error.code == "invalid_answer" and "-" in str(error)

    def test_f10_a_clock_an_hour_ahead_is_told_and_harms_nothing(self, playing: Playing):
        connector = playing("clock_ahead")

        seen = pages(connector)

        assert any("clock" in warning for warning in connector.check().warnings)
        assert last_of(seen).complete and json.dumps(last_of(seen).cursor)
