"""What a connector promises for each ability it has beyond applying orders. Fixtures as in ``apply_contract``.

``change`` alters one node on the platform and returns its ref; ``switchable`` is a node that can be switched.
"""

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from msgspec.structs import replace

from connectors.contract import (
    CanGrantAccess,
    CanHold,
    CanPower,
    CanTelemeter,
    CanWatch,
    ConnectorError,
    NoCapacity,
)
from tests.connectors.apply_contract import carry
from tests.connectors.contract import last_of, nodes, pages, refused

END_SECONDS = 15


class HoldContract:
    """To keep capacity before it is delivered."""

    def test_c80_a_hold_keeps_capacity_and_delivers_nothing(
        self, connector, target, orders, other_target, other_orders
    ):
        connector.hold(target(1), orders)

        with pytest.raises(NoCapacity):
            connector.apply(other_target(1), other_orders)
        with pytest.raises(ConnectorError):
            connector.access(target(1), orders)
        assert isinstance(connector, CanHold)

    def test_c81_a_hold_is_delivered_by_apply_on_the_same_devices(self, connector, target, orders):
        connector.hold(target(1), orders)
        held = [node.devices for node in nodes(connector)]

        carry(connector, target(2), orders)

        assert [node.devices for node in nodes(connector)] == held
        assert connector.access(target(2), orders)

    def test_c82_a_hold_is_given_back_like_any_target(self, connector, target, orders):
        before = nodes(connector)
        connector.hold(target(1), orders)

        carry(connector, target(2), [])

        assert nodes(connector) == before


class AccessContract:
    """To hand over what a tenant needs."""

    def test_c85_access_tells_how_to_use_it_and_stays_out_of_logs(self, connector, target, orders, logged):
        carry(connector, target(1), orders)

        access = connector.access(target(1), orders)
        again = connector.access(target(1), orders)

        assert access.facts and (access.kind, access.facts) == (again.kind, again.facts)
        assert not any(secret in str(logged) + str(access.facts) for secret in access.secrets.values())
        assert isinstance(connector, CanGrantAccess)

    def test_c86_access_to_nothing_is_refused(self, connector, target, orders):
        assert refused(connector.access, target(1), orders).code == "not_found"

    def test_c87_access_to_what_was_given_back_is_refused(self, connector, target, orders):
        carry(connector, target(1), orders)
        carry(connector, target(2), [])

        assert refused(connector.access, target(2), orders).code == "not_found"


class SharedAccessContract:
    """To hand over to each tenant its own of what one target carries for several."""

    def test_c84_access_is_of_the_given_orders_alone(self, connector, target, orders):
        carry(connector, target(1), orders)

        told = {order.marker: connector.access(target(1), [order]) for order in orders}

        for marker, access in told.items():
            shown = str(access.facts)
            assert [other for other in told if other in shown] == [marker]
        secrets = [secret for access in told.values() for secret in access.secrets.values()]
        assert len(told) > 1 and len({*secrets}) == len(secrets)


class LeaseContract:
    """The platform itself ends what was handed over, also when ocenter is down."""

    def test_c88_access_ends_with_the_lease(self, connector, target, orders):
        ends_at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
        leased = [replace(order, lease_end_at=ends_at.isoformat()) for order in orders]
        carry(connector, target(1), leased)

        expires_at = connector.access(target(1), leased).expires_at

        assert expires_at is not None
        assert datetime.now(UTC) < datetime.fromisoformat(expires_at) <= ends_at + timedelta(minutes=1)

    def test_c89_a_longer_lease_moves_the_end(self, connector, target, orders):
        soon, later = (datetime.now(UTC) + timedelta(hours=hours) for hours in (2, 9))
        carry(connector, target(1), [replace(order, lease_end_at=soon.isoformat()) for order in orders])

        leased = [replace(order, lease_end_at=later.isoformat()) for order in orders]
        carry(connector, target(2), leased)

        assert datetime.fromisoformat(connector.access(target(2), leased).expires_at) > soon


class PowerContract:
    """To switch hosts."""

    def test_c90_a_host_is_switched_off_and_on(self, connector, switchable):
        assert connector.power(switchable, "off") in ("off", "changing")
        assert connector.power(switchable, "on") in ("on", "changing")
        assert isinstance(connector, CanPower)

    def test_c91_an_unknown_host_is_refused(self, connector):
        assert refused(connector.power, "no-such-host", "on").code == "not_found"


class TelemetryContract:
    """To tell how busy and how well devices are."""

    def test_c92_readings_are_of_devices_that_are_there(self, connector):
        known = {device.uuid for node in nodes(connector) for device in node.devices if device.uuid}
        places = {
            (name, device.ref) for node in nodes(connector) for device in node.devices for name in (node.ref, node.name)
        }

        readings = list(connector.telemetry())

        assert readings and isinstance(connector, CanTelemeter)
        assert all(reading.uuid in known or (reading.node, reading.ref) in places for reading in readings)

    def test_c93_what_is_measured_is_possible(self, connector):
        for reading in connector.telemetry():
            assert reading.utilisation_percent is None or 0 <= reading.utilisation_percent <= 100
            assert reading.memory_used_mib is None or reading.memory_used_mib >= 0
            assert reading.health != "faulty" or reading.health_reason


class WatchContract:
    """To tell changes as they come."""

    def test_c95_a_change_comes_by_itself(self, connector, change):
        watched = connector.watch(last_of(pages(connector)).cursor)

        ref = change()

        page = next(page for page in watched if page.nodes or page.gone)
        assert ref in {node.ref for node in page.nodes} | set(page.gone) and isinstance(connector, CanWatch)

    def test_c96_a_watch_goes_on_from_the_cursor_of_any_page(self, connector, connect, change):
        watched = connector.watch(last_of(pages(connector)).cursor)
        change()
        cursor = next(page for page in watched if page.nodes or page.gone).last.cursor
        ref = change()

        page = next(page for page in connect().watch(cursor) if page.nodes or page.gone)

        assert ref in {node.ref for node in page.nodes} | set(page.gone)

    def test_c97_closing_ends_a_watch(self, connector):
        watched = connector.watch(last_of(pages(connector)).cursor)
        ending = Thread(target=lambda: _drain(watched))
        ending.start()

        connector.close()

        ending.join(END_SECONDS)
        assert not ending.is_alive()

    def test_c98_a_cursor_of_another_time_asks_for_a_full_observation(self, connector):
        assert list(connector.watch({"left": "over"})) == []


def _drain(watched):
    try:
        list(watched)
    except ConnectorError:
        return
