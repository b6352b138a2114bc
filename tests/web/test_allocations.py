"""Allocations in the console: the list, the page of one, the queue, and what people do to them."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from pools.models import Allocation, Delivery
from pools.selectors import access
from pools.services import allocations, credentials
from tests import factories
from tests.factories import ALICE, Clock
from tests.reconcile.binding import Lab
from tests.services.asking import H100
from tests.web.reading import read

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ed(world):
    """A member of acme/vision in front of the console."""
    return logged_in(factories.person("ed"), "acme/vision", "member")


def logged_in(user, path, role):
    factories.project(path, **{role: user})
    access.forget()
    client = Client()
    client.force_login(user)
    return client


def claimed(world, devices=2, **fields):
    return world.ask(devices, **({"name": "train-7", "lease_seconds": 3600} | fields)).allocation_id


class TestTheList:
    def test_says_what_was_asked_and_got(self, console, world):
        claimed(world)

        page = console.get("/allocations/").content.decode()

        assert "train-7" in page and "acme/vision" in page and "/pools/lab/" in page
        assert "2 × NVIDIA H100" in page and "/allocations/new/" in page

    def test_is_filtered_by_what_stands_in_the_address(self, console, world):
        claimed(world)
        claimed(world, name="other")

        page = console.get("/allocations/", {"q": "other", "state": "active", "pool": "lab", "model": H100})

        assert page.content.decode().count('scope="row"') == 1

    def test_says_what_is_wrong_with_a_filter_and_shows_nothing(self, console, world):
        claimed(world)

        page = console.get("/allocations/", {"state": "flying"}).content.decode()

        assert 'role="alert"' in page and "train-7" not in page

    def test_shows_a_project_its_own_and_no_pages_of_the_fleet(self, ed, world):
        claimed(world)
        factories.granted(world.pool, factories.project("umbrella"))

        page = ed.get("/allocations/").content.decode()

        assert "train-7" in page and "/pools/lab/" not in page

    def test_shows_nothing_of_other_projects(self, world):
        claimed(world)

        page = logged_in(factories.person("eve"), "umbrella", "owner").get("/allocations/").content.decode()

        assert "train-7" not in page and "No allocation yet" in page

    def test_offers_no_asking_to_who_may_not(self, world):
        page = logged_in(factories.person("vera"), "acme/vision", "viewer").get("/allocations/").content.decode()

        assert "/allocations/new/" not in page

    def test_costs_as_many_queries_for_many_as_for_few(self, console, world, django_assert_num_queries):
        for number in range(7):
            claimed(world, 1, name=f"a{number}")
        console.get("/allocations/")

        with django_assert_num_queries(2 + 2):
            console.get("/allocations/")


class TestThePage:
    def test_tells_where_why_and_what_happened(self, console, world):
        world.learn(nodes=3, devices=1)
        id = claimed(world)

        page = console.get(f"/allocations/{id}/").content.decode()

        assert "<dt>Pool</dt><dd><ins>lab</ins>" in page and "<ins>NVIDIA H100 SXM5 80GB</ins>" in page
        assert "<dt>Profile</dt>" not in page
        assert "exactly these devices" in page and "of the room of 8 × any model" in page
        assert "n0-" in page and "pack: leave the most room for others" in page and "alice" in page
        assert {f"/allocations/{id}/extend/", f"/allocations/{id}/release/"} <= read("/", page).own_links
        assert f"/api/v1/allocations/{id}" in page and f"/allocations/{id}/confirm/" not in page

    def test_of_a_hold_counts_down_and_offers_to_confirm(self, console, world):
        id = claimed(world, mode="hold", hold_seconds=600)

        page = console.get(f"/allocations/{id}/").content.decode()

        assert "data-countdown" in page and "countdown.js" in page and f"/allocations/{id}/confirm/" in page

    def test_of_one_that_waits_tells_its_place_and_why(self, console, world):
        claimed(world, 8)
        id = claimed(world, 8, queue=True)

        page = console.get(f"/allocations/{id}/").content.decode()

        assert "place 1 of the queue" in page and "too little is free" in page

    def test_offers_nothing_to_a_viewer(self, world):
        id = claimed(world)

        page = logged_in(factories.person("vera"), "acme/vision", "viewer").get(f"/allocations/{id}/").content.decode()

        assert "train-7" in page and "/release/" not in page and "/extend/" not in page and "/nodes/" not in page

    def test_is_none_for_other_projects(self, world):
        id = claimed(world)

        assert logged_in(factories.person("eve"), "umbrella", "owner").get(f"/allocations/{id}/").status_code == 404

    def test_costs_as_many_queries_whatever_it_has(self, console, world, django_assert_num_queries):
        id = claimed(world, 1, members=4)
        console.get(f"/allocations/{id}/")

        with django_assert_num_queries(2 + 9):
            console.get(f"/allocations/{id}/")


class TestThatAPageFollowsByItself:
    def test_when_anything_changed_and_not_before(self, ed, world):
        id = claimed(world)
        (address,) = re.findall(r'hx-get="([^"]+/live/[^"]+)"', ed.get(f"/allocations/{id}/").content.decode())
        address = address.replace("&amp;", "&")

        first = ed.get(address)
        second = ed.get(address, headers={"If-None-Match": first["ETag"]})
        allocations.extend(allocation_id=id, lease_seconds=7200, actor=ALICE, now=world.clock.now)
        third = ed.get(address)

        assert "HX-Refresh" not in first.headers and second.status_code == 304
        assert third.headers["HX-Refresh"] == "true"

    def test_tells_what_is_under_way_and_rests_when_it_is_over(self, console, tmp_path):
        lab = Lab(tmp_path, Clock(timezone.now()), mode="node")
        id = lab.ask(1)

        under_way = console.get(f"/allocations/{id}/").content.decode()
        lab.advance()
        there = console.get(f"/allocations/{id}/").content.decode()
        lab.release(id)
        leaves = console.get(f"/allocations/{id}/").content.decode()
        lab.advance()

        assert "takes it back. This page follows" in leaves
        assert "follows by itself" in under_way and "every 2s" in under_way
        assert "follows by itself" not in there and "every 10s" in there
        assert "/live/" not in console.get(f"/allocations/{id}/").content.decode()

    def test_is_none_for_other_projects(self, world):
        id = claimed(world)

        eve = logged_in(factories.person("eve"), "umbrella", "owner")
        assert eve.get(f"/allocations/{id}/live/").status_code == 404

    def test_costs_little(self, console, world, django_assert_num_queries):
        id = claimed(world)
        console.get(f"/allocations/{id}/live/")

        with django_assert_num_queries(2 + 2):
            console.get(f"/allocations/{id}/live/")


class TestTheWork:
    def test_of_a_platform_is_shown_with_its_calls_and_its_words(self, console, tmp_path):
        lab = Lab(tmp_path, Clock(timezone.now()), mode="node")
        id = lab.ask(1)
        lab.store.fail("rejected", call="apply", when="before")
        lab.advance()

        page = console.get(f"/allocations/{id}/").content.decode()

        assert lab.target().ref in page and ">place " in page
        assert "own words" in page and ">failed<" in page

    def test_that_failed_says_what_is_left_and_is_tried_again(self, console, tmp_path):
        lab = Lab(tmp_path, Clock(timezone.now()), mode="node")
        lab.store.fail("rejected", call="apply", when="before")
        id = lab.ask(4, members=2)
        lab.one_turn()

        page = console.get(f"/allocations/{id}/").content.decode()
        asked = console.get(f"/allocations/{id}/retry/").content.decode()
        answer = console.post(f"/allocations/{id}/retry/", {"generation": Allocation.objects.get().generation})

        assert "The simulated platform refuses the request" in page and ">rejected<" not in page
        assert "members may still be on the platform" in page and "to be taken off" in page
        assert "very same place" in asked and answer.headers["Location"] == f"/allocations/{id}/"
        assert Allocation.objects.get().state == "binding"
        assert f"/allocations/{id}/retry/" not in console.get(f"/allocations/{id}/").content.decode()

    def test_that_nobody_has_begun_is_said_to_be_so(self, console, world):
        done = claimed(world, 8)
        waits = claimed(world, 8, queue=True)

        nothing = console.get(f"/allocations/{waits}/").content.decode()
        at_once = console.get(f"/allocations/{done}/").content.decode()

        assert "nothing to be done on a platform yet" in nothing and "No platform was asked" in nothing
        assert "none: no platform was asked" in at_once


class TestTheAccess:
    @pytest.fixture
    def lab(self, tmp_path):
        return Lab(tmp_path, Clock(timezone.now()), mode="node")

    @pytest.fixture
    def ed(self, lab):
        return logged_in(factories.person("ed"), "acme/vision", "member")

    def test_is_shown_without_secrets_and_revealed_on_demand(self, ed, lab):
        id = lab.ask(1)
        lab.advance()
        secret = credentials.decrypt(Delivery.objects.get(allocation_id=id))["token"]

        page = ed.get(f"/allocations/{id}/").content.decode()
        asked = ed.get(f"/allocations/{id}/reveal/").content.decode()
        shown = ed.post(f"/allocations/{id}/reveal/")

        assert f"/allocations/{id}/reveal/" in page and "data-copy" in page and "•••" in page and ">ready<" in page
        assert "is recorded" in asked and secret not in page + asked
        assert f'value="{secret}"' in shown.content.decode() and "no-store" in shown["Cache-Control"]
        assert "access was read" in ed.get(f"/allocations/{id}/").content.decode()

    def test_that_is_not_there_says_what_it_waits_for(self, ed, lab):
        lab.store.fail("forbidden", call="access")
        id = lab.ask(1)
        waits = ed.get(f"/allocations/{id}/").content.decode()
        lab.advance()

        failed = ed.get(f"/allocations/{id}/").content.decode()

        assert "still setting it up" in waits
        assert "asked again" in failed and ">failed<" in failed and "/reveal/" not in failed
        assert ed.post(f"/allocations/{id}/reveal/").status_code == 422
        lab.release(id)
        assert "worth nothing any more" in ed.get(f"/allocations/{id}/").content.decode()

    def test_is_not_revealed_to_a_viewer(self, lab):
        id = lab.ask(1)
        lab.advance()
        vera = logged_in(factories.person("vera"), "acme/vision", "viewer")

        assert "/reveal/" not in vera.get(f"/allocations/{id}/").content.decode()
        assert vera.post(f"/allocations/{id}/reveal/").status_code == 403


class TestGivingBack:
    def test_says_what_follows_before_it_happens(self, ed, world):
        id = claimed(world)

        page = ed.get(f"/allocations/{id}/release/").content.decode()

        assert "takes 2 devices from the project" in page and "cannot be undone" in page
        assert Allocation.objects.get().state == "active"

    def test_frees_everything(self, ed, world):
        id = claimed(world)

        response = ed.post(f"/allocations/{id}/release/", {"generation": Allocation.objects.get().generation})

        assert response.headers["Location"] == f"/allocations/{id}/" and Allocation.objects.get().state == "released"
        assert world.used_milli() == 0

    def test_does_nothing_when_somebody_was_faster(self, ed, world):
        id = claimed(world)

        response = ed.post(f"/allocations/{id}/release/", {"generation": "99"})

        assert response.status_code == 422 and "changed after you read it" in response.content.decode()
        assert Allocation.objects.get().state == "active"

    def test_is_not_for_a_viewer(self, world):
        id = claimed(world)
        vera = logged_in(factories.person("vera"), "acme/vision", "viewer")

        assert vera.post(f"/allocations/{id}/release/").status_code == 403
        assert Allocation.objects.get().state == "active"

    def test_is_finished_by_an_operators_word_where_somebody_else_stands(self, console, tmp_path):
        lab = Lab(tmp_path, Clock())
        ed = logged_in(factories.person("ed"), "acme/vision", "member")
        id = lab.ask(1)
        lab.advance()
        with lab.store.changing() as state:
            for there in state.targets.values():
                there.installation = "somebody"
        lab.release(id)
        lab.advance()

        own, seen = (each.get(f"/allocations/{id}/").content.decode() for each in (ed, console))
        asks = console.get(f"/allocations/{id}/gone/").content.decode()
        console.post(f"/allocations/{id}/gone/", {"generation": Allocation.objects.get().generation})
        lab.advance()

        assert "asked for again now and then" in own and "/retry/" not in own and "/gone/" not in own
        assert f"/allocations/{id}/gone/" in seen and "Look on the platform first" in asks
        assert Allocation.objects.get().state == "released"


class TestTheTimeToSave:
    def test_is_given_before_it_is_given_back_and_ends_when_somebody_says_so(self, ed, world):
        id = claimed(world, before_end_seconds=600)

        asks = ed.get(f"/allocations/{id}/release/").content.decode()
        ed.post(f"/allocations/{id}/release/", {"generation": Allocation.objects.get().generation})
        page = ed.get(f"/allocations/{id}/").content.decode()
        saved = ed.get(f"/allocations/{id}/saved/").content.decode()
        ed.post(f"/allocations/{id}/saved/")

        assert 'name="force"' in asks and "It is time to save" in page and f"/allocations/{id}/saved/" in page
        assert "/extend/" not in page and "It ends at once" in saved
        made = Allocation.objects.get()
        assert made.before_end_state == "done" and made.end_at <= timezone.now()

    def test_is_left_out_by_force_and_where_nobody_asked_for_it(self, ed, world):
        id, other = claimed(world, before_end_seconds=600), claimed(world)

        ed.post(f"/allocations/{id}/release/", {"force": "true"})

        assert Allocation.objects.get(id=id).state == "released"
        assert 'name="force"' not in ed.get(f"/allocations/{other}/release/").content.decode()
        refused = ed.post(f"/allocations/{other}/saved/")
        assert refused.status_code == 422 and "not in the time to save" in refused.content.decode()


class TestAHold:
    def test_is_confirmed(self, ed, world):
        id = claimed(world, mode="hold", hold_seconds=600)

        page = ed.get(f"/allocations/{id}/confirm/").content.decode()
        ed.post(f"/allocations/{id}/confirm/", {"generation": Allocation.objects.get().generation})

        assert "The lease begins now" in page and Allocation.objects.get().state == "active"

    def test_whose_time_is_over_says_so(self, ed, world):
        id = claimed(world, mode="hold", hold_seconds=600)
        Allocation.objects.update(held_until_at=timezone.now() - timedelta(seconds=1))

        response = ed.post(f"/allocations/{id}/confirm/")

        assert response.status_code == 422 and "time of this hold is over" in response.content.decode()


class TestALease:
    def test_is_made_longer_by_hours(self, ed, world):
        id = claimed(world)
        before = Allocation.objects.get()

        ed.post(f"/allocations/{id}/extend/", {"hours": "2", "generation": before.generation})

        assert Allocation.objects.get().end_at == before.end_at + timedelta(hours=2)

    @pytest.mark.parametrize("hours", ["", "0", "-1", "a day", "1.5", "9" * 30])
    def test_is_not_made_longer_by_what_is_no_number(self, ed, world, hours):
        id = claimed(world)

        response = ed.post(f"/allocations/{id}/extend/", {"hours": hours})

        assert response.status_code == 422 and 'id="hours-about"' in response.content.decode()

    def test_without_an_end_is_not_extended(self, ed, world):
        id = claimed(world, lease_seconds=None)

        assert "has no lease that ends" in ed.get(f"/allocations/{id}/extend/", follow=True).content.decode()


class TestTheQueue:
    def test_is_in_the_order_in_which_they_come(self, console, world):
        claimed(world, 8)
        claimed(world, 8, name="late", queue=True)
        claimed(world, 8, name="urgent", queue=True, priority=90)

        page = console.get("/allocations/queue/").content.decode()

        assert page.index("urgent") < page.index("late") and "too little is free" in page

    def test_goes_on_with_the_next_page(self, console, world, monkeypatch):
        monkeypatch.setattr("pools.web.listing.PAGE_ROWS", 2)
        claimed(world, 8)
        for number in range(5):
            claimed(world, 8, name=f"w{number}", queue=True, priority=50 + number % 2)

        seen, address = [], "/allocations/queue/"
        for _ in range(3):
            page = console.get(address)
            seen += [name for name in (f"w{number}" for number in range(5)) if f">{name}<" in page.content.decode()]
            following = [
                link for link in read(address, page.content).own_links if "cursor=" in link and link != address
            ]
            address = following[0] if following else ""

        assert sorted(seen) == ["w0", "w1", "w2", "w3", "w4"] and set(seen[:2]) == {"w1", "w3"}

    def test_shows_people_of_a_project_their_own_and_the_place_among_all(self, world):
        claimed(world, 8)
        claimed(world, 8, name="theirs", queue=True)
        other = factories.project("acme/audio")
        factories.granted(world.pool, other)
        Allocation.objects.filter(name="theirs").update(queued_at=timezone.now() - timedelta(hours=1))
        Allocation.objects.create(
            project=other, name="ours", state="queued", spec={"devices_per_member": 1}, members=1, devices_per_member=1,
            queued_at=timezone.now(), created_at=timezone.now(), changed_at=timezone.now(),
        )  # fmt: skip

        page = logged_in(factories.person("ann"), "acme/audio", "viewer").get("/allocations/queue/").content.decode()

        assert "ours" in page and "theirs" not in page and "<strong>2</strong>" in page

    def test_says_that_nobody_waits(self, console, world):
        assert "Nobody waits" in console.get("/allocations/queue/").content.decode()

    def test_knows_no_cursor_but_its_own(self, console, world):
        assert console.get("/allocations/queue/", {"cursor": "x"}).status_code == 404

    def test_costs_as_many_queries_for_many_as_for_few(self, console, world, django_assert_num_queries):
        claimed(world, 8)
        for number in range(5):
            claimed(world, 8, name=f"w{number}", queue=True)
        console.get("/allocations/queue/")

        with django_assert_num_queries(2 + 4):
            console.get("/allocations/queue/")


class TestAReason:
    def test_is_told_in_words(self, console, world):
        allocations.release(allocation_id=claimed(world), actor=ALICE, now=timezone.now())

        assert "somebody gave it back" in console.get("/allocations/").content.decode()
