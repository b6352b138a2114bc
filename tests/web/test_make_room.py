"""Letting others make room in the console: who would have to go, what follows, once, and how far it is."""

import re

import pytest

from pools.models import Allocation, Booking
from tests import factories
from tests.web.test_allocations import claimed, logged_in
from tests.web.test_request_form import ONE

pytestmark = pytest.mark.django_db(transaction=True)
URGENT = ONE | {"devices": "4", "name": "urgent", "key": "k1"}


@pytest.fixture
def olga(world):
    """An operator of the platform, in front of a pool that somebody fills who may be told to leave."""
    return logged_in(factories.person("olga", "operator"), "umbrella", "viewer")


def low(world, **fields):
    return claimed(world, 8, **({"name": "low", "priority": 10, "preemptible": True} | fields))


def sent(page):
    """The fields of a page's hidden inputs, as its form sends them."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode())
    fields = {}
    for name, value in found:
        fields.setdefault(name, []).append(value)
    return fields


class TestForARequest:
    def test_is_offered_beside_the_form_to_operators_and_to_nobody_else(self, olga, world):
        low(world)
        ed = logged_in(factories.person("ed"), "acme/vision", "member")

        offered = olga.post("/allocations/what-if/", URGENT).content.decode()
        kept = ed.post("/allocations/what-if/", URGENT).content.decode()

        assert "Room can be made" in offered and "1 allocation in lab would have to give way" in offered
        assert ">low<" in offered and 'formaction="/allocations/make-room/"' in offered
        assert "Room can be made" not in kept and "low" not in kept
        assert "Room can be made" not in olga.post("/allocations/what-if/", URGENT | {"hold": "5"}).content.decode()

    def test_says_what_follows_and_then_tells_them_once(self, olga, world):
        first = low(world, notice_seconds=300)

        asks = olga.post("/allocations/make-room/", URGENT | {"do": "look"})
        fields = sent(asks) | {"do": "make-room"}
        done, again = (olga.post("/allocations/make-room/", fields) for _ in range(2))

        page = asks.content.decode()
        assert "It cannot be undone" in page and "preemptible, of a lower priority" in page and "acme/vision" in page
        assert fields["victim"] == [str(first)] and fields["name"] == ["urgent"] and fields["key"] == ["k1"]
        given, made = Allocation.objects.get(id=first), Allocation.objects.get(name="urgent")
        assert (given.state, given.reason, made.state) == ("active", "preempted", "scheduled")
        assert done.headers["Location"] == again.headers["Location"] == f"/allocations/{made.id}/"
        shown = olga.get(f"/allocations/{made.id}/").content.decode()
        assert "1 allocation still has to leave" in shown and f"/allocations/{first}/" in shown
        told = logged_in(factories.person("ed"), "acme/vision", "member").get(f"/allocations/{first}/").content.decode()
        assert "has to make room for another" in told and "/extend/" not in told

    def test_of_others_than_were_shown_tells_nobody_and_shows_who_it_is_now(self, olga, world):
        first = low(world)

        page = olga.post("/allocations/make-room/", URGENT | {"do": "make-room", "victim": str(world.pool.id)})

        assert page.status_code == 422 and "changed meanwhile" in page.content.decode()
        assert sent(page)["victim"] == [str(first)] and Allocation.objects.get().reason == ""

    def test_where_nobody_may_go_says_so(self, olga, world):
        low(world, preemptible=False)

        page = olga.post("/allocations/make-room/", URGENT | {"do": "look"}).content.decode()

        assert "Nobody can make room" in page and 'make-room">' not in page

    def test_where_it_fits_says_so(self, olga):
        assert (
            "Nobody has to give way" in olga.post("/allocations/make-room/", URGENT | {"do": "look"}).content.decode()
        )

    @pytest.mark.parametrize("wrong", [{"project": "nowhere"}, {"members": "x"}, {"model": "no-such"}])
    def test_that_is_wrong_says_what(self, olga, wrong):
        page = olga.post("/allocations/make-room/", URGENT | wrong | {"do": "look"})

        assert page.status_code == 422 and 'role="alert"' in page.content.decode()


class TestForOneThatWaits:
    def test_books_it_their_place_and_it_keeps_waiting_until_then(self, olga, world):
        first = low(world, notice_seconds=300)
        waits = claimed(world, 8, name="waits", queue=True)

        assert f"/allocations/{waits}/make-room/" in olga.get(f"/allocations/{waits}/").content.decode()
        asks = olga.get(f"/allocations/{waits}/make-room/")
        done = olga.post(f"/allocations/{waits}/make-room/", sent(asks))

        assert done.headers["Location"] == f"/allocations/{waits}/"
        assert Allocation.objects.get(id=waits).state == "queued" and Booking.objects.count() == 8
        assert Allocation.objects.get(id=first).reason == "preempted"
        shown = olga.get(f"/allocations/{waits}/").content.decode()
        assert "Room for it is booked from" in shown and "1 allocation still has to leave" in shown
        assert "make-room" not in shown
        late = olga.get(f"/allocations/{waits}/make-room/", follow=True).content.decode()
        assert "Room is booked for this allocation already" in late

    def test_that_waits_no_more_changes_nothing(self, olga, world):
        first = low(world)

        page = olga.post(f"/allocations/{first}/make-room/", {"victim": str(first)}, follow=True).content.decode()

        assert "not possible for an allocation in the state active" in page
        assert Allocation.objects.get().reason == ""


class TestTheForm:
    def test_lets_a_request_say_that_it_may_be_told_to_leave(self, world):
        ed = logged_in(factories.person("ed"), "acme/vision", "member")

        ed.post("/allocations/new/", ONE | {"do": "send", "key": "k", "preemptible": "true", "min_run": "30"})

        made = Allocation.objects.get()
        assert made.is_preemptible and made.spec["min_run_seconds"] == 1800
        assert "May be told to leave" in ed.get(f"/allocations/{made.pk}/").content.decode()
