"""What is carried is handed over: encrypted, renewed in time, to nobody else, and not after it was given back."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from pools.models import AuditEvent, Delivery, Target
from pools.reconcile import allocations, deliveries, targets
from pools.selectors import targets as due
from pools.services import allocations as services
from pools.services import credentials
from pools.services import deliveries as turns
from tests.factories import ALICE, NOW, Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """A host whose one object carries the orders of all."""
    return Lab(tmp_path, Clock(), mode="device", nodes=1)


def secret(delivery):
    return credentials.decrypt(delivery)["token"]


def of(id):
    return Delivery.objects.get(allocation_id=id)


def meanwhile(monkeypatch, happens):
    """Let something happen while the platform is asked what to hand over."""
    real = deliveries._asked

    def asked(wanted, link, waiting):
        answer = real(wanted, link, waiting)
        monkeypatch.setattr(deliveries, "_asked", real)
        happens()
        return answer

    monkeypatch.setattr(deliveries, "_asked", asked)


class TestADelivery:
    def test_is_made_once_the_platform_confirmed_and_kept_encrypted(self, lab):
        id = lab.ask(1, lease_seconds=3600)
        allocations.advance(clock=lab.clock)
        assert not Delivery.objects.exists()

        lab.advance()

        made = of(id)
        assert (made.kind, made.secret_names, made.failures, made.trouble) == ("token", ["token"], 0, None)
        assert made.facts["url"].endswith(lab.target().ref) and made.made_at == lab.clock.now
        assert secret(made).startswith("simulated-") and b"simulated-" not in bytes(made.ciphertext)
        told = AuditEvent.objects.get(action="allocation.delivered", object_id=str(id))
        assert told.after["secret_names"] == ["token"] and "simulated-" not in str(told.after)

    def test_of_one_tenant_of_a_host_is_of_its_own_orders_alone(self, lab):
        first, second = lab.ask(1), lab.ask(1)
        lab.advance()

        one, other = of(first), of(second)

        assert one.target_id == other.target_id and Target.objects.count() == 1
        assert secret(one) != secret(other) and len(one.facts["orders"].split()) == 1
        assert one.facts["orders"] != other.facts["orders"]

    def test_goes_with_what_is_given_back_and_no_sooner(self, lab):
        kept, given = lab.ask(1), lab.ask(1)
        lab.advance()
        lab.release(given)
        assert Delivery.objects.count() == 2

        lab.advance()

        assert lab.state(given) == "released" and Delivery.objects.get().allocation_id == kept

    def test_that_failed_is_asked_for_ever_more_rarely_and_says_why(self, lab):
        lab.store.fail("forbidden", call="access", times=3)
        id = lab.ask(1)
        waits = []

        for _ in range(3):
            lab.advance()
            waits.append((of(id).due_at - lab.clock.now).total_seconds())
            lab.clock.now = of(id).due_at

        assert lab.state(id) == "active", "it is carried, whatever can be handed over"
        assert of(id).trouble["code"] == "forbidden" and of(id).failures == 3 and waits[0] < waits[1] < waits[2]
        lab.advance()
        assert of(id).trouble is None and secret(of(id)) and of(id).failures == 0

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_whose_answer_is_lost_is_asked_for_again(self, lab, when):
        lab.store.fail("timeout", call="access", when=when)
        id = lab.ask(1)
        lab.advance()
        assert of(id).trouble["code"] == "timeout" and of(id).made_at is None

        lab.clock.forward(seconds=30)
        lab.advance()

        assert secret(of(id))


class TestTheEnd:
    def test_of_what_ends_with_the_lease_is_not_renewed(self, lab):
        id = lab.ask(1, lease_seconds=3600)
        lab.advance()

        assert of(id).expires_at and of(id).due_at is None

    def test_of_what_ends_sooner_is_put_off_in_time(self, lab, monkeypatch):
        ends = lab.clock.now + timedelta(hours=3)
        _let_end(monkeypatch, lambda: ends)
        id = lab.ask(1, lease_seconds=86400)
        lab.advance()
        assert of(id).due_at == lab.clock.now + timedelta(hours=2)
        assert not due.is_anything_due(lab.clock.now) and due.due_pools(lab.clock.now) == []

        lab.clock.now = of(id).due_at
        ends += timedelta(hours=3)
        assert due.is_anything_due(lab.clock.now)
        assert [pool_id for pool_id, _ in due.due_pools(lab.clock.now)] == [lab.pool.id]
        lab.advance()

        assert of(id).expires_at == ends and of(id).made_at == lab.clock.now

    def test_moves_with_a_lease_that_is_made_longer(self, lab):
        id = lab.ask(1, lease_seconds=3600)
        lab.advance()
        before = of(id).expires_at

        services.extend(allocation_id=id, lease_seconds=7200, actor=ALICE, now=lab.clock.now)
        lab.advance()

        assert of(id).expires_at == before + timedelta(hours=1) and of(id).due_at is None

    def test_that_could_not_be_put_off_leaves_what_was_handed_over(self, lab, monkeypatch):
        _let_end(monkeypatch, lambda: lab.clock.now + timedelta(hours=3))
        id = lab.ask(1, lease_seconds=86400)
        lab.advance()
        lab.clock.now = of(id).due_at
        lab.store.fail("server_error", call="access")

        lab.advance()

        assert of(id).trouble["code"] == "server_error" and secret(of(id))


class TestWhatWasMadeAnew:
    def test_is_handed_over_anew(self, tmp_path):
        lab = Lab(tmp_path, Clock(), mode="node")
        id = lab.ask(1, lease_seconds=3600)
        lab.advance()
        Delivery.objects.update(expires_at=None)
        with lab.store.changing() as state:
            state.targets.clear()
        lab.clock.forward(minutes=1)

        services.extend(allocation_id=id, lease_seconds=7200, actor=ALICE, now=lab.clock.now)
        lab.advance()

        assert of(id).made_at == lab.clock.now

    def test_is_nothing_to_others_on_the_host(self, lab):
        kept = lab.ask(1)
        lab.advance()
        before = of(kept).made_at

        lab.clock.forward(minutes=1)
        lab.ask(1)
        lab.advance()

        assert of(kept).made_at == before and Delivery.objects.count() == 2


class TestARelease:
    def test_while_the_platform_is_asked_gets_nothing(self, lab, monkeypatch):
        id = lab.ask(1)
        meanwhile(monkeypatch, lambda: lab.release(id))

        lab.advance()

        assert lab.state(id) == "released" and not Delivery.objects.exists()
        assert not AuditEvent.objects.filter(action="allocation.delivered", object_id=str(id)).exists()

    def test_that_was_confirmed_meanwhile_gets_nothing(self, lab):
        id = lab.ask(1)
        lab.advance()
        Delivery.objects.update(due_at=lab.clock.now, ciphertext=b"", made_at=None)
        wanted = turns.take(pool_id=lab.pool.id, now=lab.clock.now)
        lab.release(id)
        lab.advance()

        assert not turns.fill(wanted, _answer(), now=lab.clock.now) and not Delivery.objects.exists()


class TestAWorker:
    def test_that_dies_while_it_asks_leaves_it_to_the_next(self, lab):
        id = lab.ask(1)
        lab.advance()
        Delivery.objects.update(due_at=lab.clock.now, made_at=None)
        assert turns.take(pool_id=lab.pool.id, now=lab.clock.now)
        assert turns.take(pool_id=lab.pool.id, now=lab.clock.now) is None, "somebody is at it"

        lab.clock.forward(seconds=turns.ASKED_SECONDS)
        lab.advance()

        assert of(id).made_at == lab.clock.now

    def test_that_is_late_does_not_replace_what_is_newer(self, lab):
        id = lab.ask(1)
        lab.advance()
        Delivery.objects.update(due_at=lab.clock.now)
        late = turns.take(pool_id=lab.pool.id, now=lab.clock.now)
        lab.clock.forward(seconds=turns.ASKED_SECONDS)
        lab.advance()

        assert not turns.fill(late, _answer(), now=lab.clock.now)
        turns.fail(late, deliveries.Transient("late"), now=lab.clock.now)

        assert secret(of(id)) != "forged" and of(id).trouble is None

    def test_leaves_a_pool_in_peace_that_cannot_be_reached(self, lab):
        ids = [lab.ask(1), lab.ask(1)]
        lab.advance()
        Delivery.objects.update(due_at=lab.clock.now, made_at=None)
        lab.store.fail("unreachable", call="identity")

        targets.run(pool_id=lab.pool.id, clock=lab.clock)

        assert all(of(id).due_at > lab.clock.now and of(id).made_at is None for id in ids)
        assert sorted(of(id).failures for id in ids) == [0, 1]


class TestKeys:
    def test_are_changed_for_what_was_handed_over_too(self, lab, settings):
        id = lab.ask(1)
        lab.advance()
        before = secret(of(id))

        old, new = settings.CREDENTIAL_KEYS[0], Fernet.generate_key().decode()
        settings.CREDENTIAL_KEYS = (new, old)
        count = credentials.rotate(NOW, ALICE)
        settings.CREDENTIAL_KEYS = (new,)

        assert count == 2 and secret(of(id)) == before, "of the pool and of the delivery"


def _answer():
    from connectors.contract import Delivery as Answer

    return Answer(kind="token", facts={}, secrets={"token": "forged"})


def _let_end(monkeypatch, ends):
    """Let what is handed over end at a time of the platform's own."""
    from msgspec.structs import replace

    real = deliveries._asked
    monkeypatch.setattr(deliveries, "_asked", lambda *given: replace(real(*given), expires_at=ends().isoformat()))
