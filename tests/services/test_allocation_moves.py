"""The moves of an allocation: the table in the domain and its copy in the database; every state reaches an end."""

import pytest
from django.db import IntegrityError, connection, transaction

from pools.domain import ids, states
from pools.models import Allocation
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return factories.project("acme")


def allocation(project, state):
    return Allocation.objects.create(
        id=ids.new_id(),
        project=project,
        state=state,
        spec={},
        members=1,
        devices_per_member=1,
        held_until_at=NOW if state == "held" else None,
        ended_at=NOW if state in states.ALLOCATION_FINAL else None,
        created_at=NOW,
        changed_at=NOW,
    )


class TestMoves:
    def test_are_the_same_in_the_database(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT before, array_agg(after) FROM allocation_move GROUP BY before")
            stored = {before: set(after) for before, after in cursor.fetchall()}

        assert stored == {before: set(after) for before, after in states.ALLOCATION_MOVES.items() if after}

    @pytest.mark.parametrize("before", states.ALLOCATION_STATES)
    def test_that_the_table_lacks_are_refused_whoever_asks(self, project, before):
        made = allocation(project, before)
        for after in states.ALLOCATION_STATES:
            fields = {
                "state": after,
                "held_until_at": NOW if after == "held" else None,
                "ended_at": NOW if after in states.ALLOCATION_FINAL else None,
            }
            row = Allocation.objects.filter(pk=made.pk)
            if after == before or after in states.ALLOCATION_MOVES[before]:
                with transaction.atomic():
                    row.update(**fields)
                    transaction.set_rollback(True)
            else:
                with pytest.raises(IntegrityError, match="cannot go from"), transaction.atomic():
                    row.update(**fields)

    @pytest.mark.parametrize("state", states.ALLOCATION_STATES)
    def test_lead_from_every_state_to_an_end(self, state):
        reached, waiting = {state}, [state]
        while waiting:
            after = set(states.ALLOCATION_MOVES[waiting.pop()]) - reached
            reached |= after
            waiting += after

        assert reached & set(states.ALLOCATION_FINAL)
