"""Orders on a cloud without Nova: the rules of the contract, and what Placement and Cyborg do in their own way."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, NoCapacity, Order, Target
from connectors.openstack import connector as module
from connectors.openstack import marks
from tests.connectors.ability_contract import AccessContract, HoldContract
from tests.connectors.apply_contract import ApplyContract, ScarceContract, carry
from tests.connectors.contract import Sessions, nodes
from tests.connectors.openstack.double import PASSWORD
from tests.connectors.openstack.live import STRANGER, is_write, living, uuid_of
from tests.connectors.server import Answer
from tests.connectors.write_faults import WriteFaultContract

CUT = Answer(raw=b"")


def order(ref, cards, *, allocation="A"):
    return Order(marker=ref, allocation=allocation, member=0, devices=tuple(cards), milli=1000 * len(cards))


class SingleOrders(ApplyContract, ScarceContract):
    """The rules of orders where a target carries one: ``cards`` are refs of a host's cards, the last one is taken."""

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation="0198c0de-0000-7000-8000-00000000beef")

    @pytest.fixture
    def target(self, node_ref):
        return lambda generation: Target(kind="consumer", ref="oc-first", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def orders(self, cards):
        return [order("oc-first", cards[:2])]

    @pytest.fixture
    def other_target(self, node_ref):
        return lambda generation: Target(kind="consumer", ref="oc-other", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def other_orders(self, cards):
        return [order("oc-other", cards[1:3], allocation="B")]

    @pytest.fixture
    def impossible(self, cards):
        return order("oc-first", cards[-1:])

    def test_c47_two_targets_do_not_disturb_each_other(self, connector, target, orders, other_target, cards):
        """A consumer carries one order, so the other one has cards of its own here."""
        carry(connector, target(1), orders)
        before = connector.probe(target(1))
        carry(connector, other_target(1), [order("oc-other", cards[2:3])])

        carry(connector, other_target(2), [])

        assert connector.probe(target(1)) == before

    def test_c63_what_fits_nowhere_is_no_capacity_and_leaves_nothing(self, connector, target, orders, impossible):
        """The one order of a consumer has a card that is free and one that is not; Placement claims all or none."""
        before = nodes(connector)
        both = replace(orders[0], devices=(*orders[0].devices, *impossible.devices))
        moved = replace(both, devices=(orders[0].devices[0], "no-such-card"))

        for wanted in (both, moved, replace(orders[0], devices=impossible.devices)):
            with pytest.raises(NoCapacity):
                connector.apply(target(1), [wanted])

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before


class OnCloud(Sessions):
    """A live cloud on which somebody else has a card, with a target for two cards of the first host."""

    secret = pytest.fixture(lambda self: PASSWORD)

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch):
        monkeypatch.setattr(module, "NODES_PER_PAGE", 2)

    @pytest.fixture
    def lived(self):
        with living() as both:
            taken = list(both[0].cards)[3]
            both[0].take(taken, STRANGER)
            both[0].bind(taken, STRANGER)
            yield both

    @pytest.fixture
    def double(self, lived):
        return lived[0]

    @pytest.fixture
    def cloud(self, lived):
        return lived[1]

    @pytest.fixture
    def cards(self, double):
        return [uuid_of(f"deployable {provider}") for provider in list(double.cards)[:4]]

    @pytest.fixture
    def connect(self, cloud, open_session):
        return lambda **more: open_session("openstack", cloud.settings, cloud.credential, **more)

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def node_ref(self):
        return uuid_of("host-000")

    @pytest.fixture
    def foreign_target(self, double, cards):
        target = Target(kind="consumer", ref="oc-theirs", generation=9, node_ref=uuid_of("host-000"))
        double.take(list(double.cards)[2], marks.consumer(target))
        return target

    @pytest.fixture
    def unmark(self, double):
        return lambda target: double.consumers[marks.consumer(target)].update(user_id="somebody")

    @pytest.fixture
    def made(self, double):
        """Requests carry their profile's marker; a request without its profile is nobody's and is told as such."""

        def made():
            profiles = {each["name"]: each["description"] for each in double.profiles}
            ours = {
                uuid: kept["user_id"] for uuid, kept in double.consumers.items() if kept["consumer_type"] == "OCENTER"
            }
            names = (each["device_profile_name"] for each in double.requests if each["device_profile_name"] != "h100")
            return ours | profiles | {f"request of {name}": profiles.get(name, "") for name in names}

        return made

    @pytest.fixture
    def refusing_to_manage(self, double):
        return lambda: double.take_role("admin")

    @pytest.fixture
    def cutting(self, cloud):
        """Return what breaks the connection at the next request that fits, before it arrives or after its effect."""

        def cut(fits, when):
            broken = []
            ask = cloud.server.handler

            def handler(seen):
                if broken or not (is_write(seen) and fits(seen)):
                    return ask(seen)
                broken.append(seen.path)
                if when == "after":
                    ask(seen)
                return CUT

            cloud.server.handler = handler
            return broken

        return cut

    @pytest.fixture
    def losing_the_answer(self, cutting):
        """The answer to what makes the order whole: the binding, or giving back the claim."""
        return lambda: cutting(lambda seen: seen.method == "PATCH" or b'"allocations":{}' in seen.body, "after")

    @pytest.fixture
    def losing_the_request(self, cutting):
        return lambda: cutting(lambda seen: True, "before")

    @pytest.fixture
    def interrupting(self, cloud, cutting):
        @contextmanager
        def interrupting(number, when):
            ask, left = cloud.server.handler, [number]

            def fits(seen):
                left[0] -= 1
                return left[0] == 0

            yield cutting(fits, when)
            cloud.server.handler = ask

        return interrupting

    @pytest.fixture
    def is_met(self):
        """Which of the writes meets what goes wrong."""
        return lambda seen: True

    @pytest.fixture
    def playing_write(self, cloud, double, connect, is_met):
        def next_write(answer, *, has_effect=False, then=lambda: None):
            ask, done = cloud.server.handler, []

            def handler(seen):
                if done or not (is_write(seen) and is_met(seen)):
                    return ask(seen)
                done.append(seen)
                if has_effect:
                    ask(seen)
                then()
                return answer

            cloud.server.handler = handler

        def later(seen, answer):
            date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
            return Answer(status=answer.status, body=answer.body, headers={**answer.headers, "Date": date})

        def without_tokens(seen, answer):
            if seen.path.endswith("/devices"):
                double.tokens.clear()
            return answer

        def play(fault):
            refusal = Answer(status=400, body=b'{"errors": [{"detail": "Quota of the project is used up."}]}')
            raced = Answer(
                status=409, body=b'{"errors": [{"code": "placement.concurrent_update", "detail": "changed"}]}'
            )
            if fault == "refused_by_policy":
                next_write(refusal)
            elif fault == "conflict":
                next_write(raced)
            elif fault == "deleted_meanwhile":
                next_write(Answer(status=204), has_effect=True, then=double.lose)
            elif fault == "says_done_did_nothing":
                next_write(Answer(status=204))
            elif fault == "says_failed_did_it":
                next_write(Answer(status=500), has_effect=True)
            elif fault == "permission_taken_away":
                next_write(Answer(status=403), then=lambda: double.take_role("admin"))
            elif fault == "clock_ahead":
                cloud.server.alter = later
            elif fault == "upgraded":
                double.newest["placement"] = (1, 40)
            elif fault == "token_ends":
                cloud.server.alter = without_tokens
            return connect()

        return play


class TestConsumers(OnCloud, SingleOrders, HoldContract, AccessContract, WriteFaultContract):
    """The rules of orders, holds, deliveries and faults for consumers."""
