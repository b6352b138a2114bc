"""Pages of drift: what differs, and what follows before a button does it."""

import pytest
from django.utils import timezone

from pools.domain import ids
from pools.models import Drift, Target
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def drift(console):
    lab, now = factories.pool("lab"), timezone.now()
    target = Target.objects.create(pool=lab, kind="vm", ref="oc-drifted", mode="node", created_at=now, checked_at=now)
    calls = [{"verb": "update", "object": f"vm/{number}", "body": {}} for number in range(7)]
    return Drift.objects.create(pool=lab, target=target, code="differs", calls=calls, opened_at=now)


class TestThePage:
    def test_shows_what_differs_and_what_would_be_called(self, console, drift):
        page = console.get("/drift/").content.decode()

        assert "oc-drifted" in page and "vm/4" in page and "vm/5" not in page and "7 calls in all" in page
        assert f"/drift/{drift.id}/repair/" in page and f"/drift/{drift.id}/adopt/" not in page

    def test_asks_before_it_repairs_and_then_makes_the_target_due(self, console, drift):
        assert "is lost" in console.get(f"/drift/{drift.id}/repair/").content.decode()
        assert Target.objects.get().due_at is None

        answer = console.post(f"/drift/{drift.id}/repair/", follow=True).content.decode()

        assert "oc-drifted is being repaired." in answer and Target.objects.get().due_at is not None

    def test_says_why_it_cannot_be_taken_as_it_is(self, console, drift):
        answer = console.post(f"/drift/{drift.id}/adopt/")

        assert answer.status_code == 422 and "still there" in answer.content.decode()

    def test_ignores_it(self, console, drift):
        console.post(f"/drift/{drift.id}/ignore/")

        assert Drift.objects.get().state == "ignored"

    def test_is_unknown_where_there_is_none(self, console):
        assert console.get(f"/drift/{ids.new_id()}/repair/").status_code == 404


class TestThePolicy:
    def test_is_chosen_in_the_form_of_a_pool(self, console, drift):
        assert 'name="drift_policy"' in console.get("/pools/lab/edit/").content.decode()
