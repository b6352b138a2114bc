"""The credential of a pool is replaced while its platform carries things out: nothing is doubled or lost."""

import pytest

from pools.models import Credential
from pools.reconcile import checks
from pools.services import pools
from tests.factories import ALICE, Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, Clock(), mode="node", nodes=2)


@pytest.mark.parametrize(("token", "state"), [("new-and-right", "replaced"), ("wrong-one", "refused")])
def test_a_credential_that_is_replaced_while_an_answer_is_lost_keeps_nothing_from_its_end(lab, token, state):
    leaving, id = lab.ask(1), lab.ask(2)
    lab.advance()
    lab.release(leaving)
    bound = lab.ask(1)
    lab.store.fail("timeout", call="apply", when="after", times=2)
    lab.advance()
    assert {lab.state(leaving), lab.state(bound)} == {"releasing", "binding"}

    pools.replace_credential(pool_id=lab.pool.id, values={"token": token}, actor=ALICE, now=lab.clock.now)
    lab.clock.forward(minutes=1)
    checks.run(pool_id=lab.pool.id, clock=lab.clock)
    lab.advance()

    told = Credential.objects.filter(pool=lab.pool).values_list("state", flat=True)
    assert sorted(told) == ["active", state], "the old one goes, or the new one does"
    assert [lab.state(each) for each in (leaving, id, bound)] == ["released", "active", "active"]
    lab.check()
