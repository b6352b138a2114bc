"""Pages of orphans: what is shown, what is asked before it is done, and what is refused."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import Orphan, Pool, Target
from tests import factories
from tests.factories import Clock, Shows, device, holding, use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def orphan(console):
    lab = factories.pool("lab", mode="node", grain="node")
    shown = Shows(holding("n1", device("d0", uses=(use("vm-7", marker="oc-left"),)), device("d1", uses=(use("eve"),))))
    factories.synced(lab, shown, Clock(timezone.now() - timedelta(hours=1)))
    return Orphan.objects.get()


class TestThePage:
    def test_shows_orphans_and_shadow_use(self, console, orphan):
        page = console.get("/orphans/").content.decode()

        assert "oc-left" in page and "vm-7" in page and "n1 d0" in page
        assert "Shadow use by pool" in page and "?pool=lab&state=shadow" in page

    def test_asks_before_it_reaps_and_then_has_it_taken_away(self, console, orphan):
        assert "whoever uses it loses it" in console.get(f"/orphans/{orphan.id}/reap/").content.decode()
        assert not Target.objects.exists()

        answer = console.post(f"/orphans/{orphan.id}/reap/", follow=True).content.decode()

        assert "oc-left is being taken away." in answer
        assert Target.objects.get().ref == "oc-left"

    def test_says_of_what_a_removed_pool_left_that_nobody_works_there_until_another_has_it(self, console, orphan):
        Orphan.objects.update(origin="left")
        pages = [f"/orphans/{orphan.id}/reap/", f"/orphans/{orphan.id}/adopt/"]
        of_a_live_pool = [console.get(page).content.decode() for page in pages]

        Pool.objects.update(state="removed", removed_at=timezone.now())

        assert all("Its pool was removed" in console.get(page).content.decode() for page in pages)
        assert not any("Its pool was removed" in text for text in of_a_live_pool)
        assert "may be left of a removed pool" in console.get("/orphans/").content.decode()

    def test_says_why_it_cannot_be_adopted(self, console, orphan):
        answer = console.post(f"/orphans/{orphan.id}/adopt/")

        assert answer.status_code == 422 and "can only be reaped" in answer.content.decode()

    def test_is_unknown_where_there_is_none(self, console):
        assert console.get(f"/orphans/{factories.ids.new_id()}/reap/").status_code == 404
