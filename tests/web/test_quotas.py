"""Quotas in the console: the tree with its bars, who sees what, and giving, changing and removing one."""

import pytest

from pools.domain.quota_fields import QuotaWanted
from pools.models import AuditEvent, Quota
from pools.services import quotas
from tests import factories
from tests.factories import ALICE
from tests.services.asking import H100
from tests.web.reading import read
from tests.web.test_allocations import claimed, logged_in

pytestmark = pytest.mark.django_db(transaction=True)
EIGHT = {
    "model": H100,
    "profile": "",
    "pools": "",
    "nominal": "8",
    "borrow_limit": "0",
    "lend_limit": "",
    "weight": "1",
}


def words(client, address="/quotas/"):
    return " ".join(read(address, client.get(address).content).texts)


def given(path, *rows, now):
    quotas.replace(project_id=factories.project(path).pk, rows=rows, actor=ALICE, now=now)


@pytest.fixture
def shared(world):
    """acme has ten, of which acme/vision has two of its own and uses five; acme/speech has eight."""
    world.quota.delete()
    given("acme", QuotaWanted(model=H100, nominal_milli=10_000), now=world.clock.now)
    given("acme/vision", QuotaWanted(model=H100, nominal_milli=2000, borrow_limit_milli=4000), now=world.clock.now)
    given("acme/speech", QuotaWanted(model=H100, nominal_milli=8000), now=world.clock.now)
    claimed(world, devices=5)
    return world


class TestTheTree:
    def test_shows_what_each_project_has_borrows_and_lends(self, console, shared):
        shown = words(console)

        assert "5 of 2 used, 3 of it borrowed, 0 used by others" in shown
        assert "0 of 8 used, 0 of it borrowed, 3 used by others" in shown
        assert "borrows up to 4" in shown and "acme has at most 10" in shown
        assert shown.index("vision") > shown.index("speech") > shown.index("acme")

    def test_draws_used_borrowed_and_the_nominal(self, console, shared):
        page = console.get("/quotas/?under=acme/vision").content.decode()

        assert '<rect class="s-claimed" x="0.00%" width="40.00%" height="100%"/>' in page
        assert '<rect class="s-held" x="40.00%" width="60.00%" height="100%"/>' in page
        assert '<line class="mark" x1="40.00%" x2="40.00%"' in page

    def test_tells_a_project_how_much_is_borrowed_of_it_and_not_by_whom(self, shared):
        sam = logged_in(factories.person("sam"), "acme/speech", "owner")

        shown = words(sam)

        assert "0 of 8 used, 0 of it borrowed, 3 used by others" in shown
        assert "vision" not in shown and "acme has at most" not in shown

    def test_keeps_its_filters_in_the_address(self, console, shared):
        one = words(console, "/quotas/?under=acme/speech")
        wrong = words(console, "/quotas/?model=nothing")
        none = words(console, "/quotas/?q=nobody")

        assert "of 8 used" in one and "of 2 used" not in one
        assert "there is nothing of this name" in wrong and "No project matches" in none

    def test_is_empty_before_there_is_a_project(self, console):
        assert "No project yet" in words(console)

    def test_costs_as_many_queries_for_many_as_for_few(self, console, shared, django_assert_num_queries):
        factories.granted(shared.pool, factories.project("acme"))
        for number in range(5):
            row = QuotaWanted(model=H100, nominal_milli=1000, pools=["lab"])
            given(f"acme/team{number}", row, now=shared.clock.now)
        console.get("/quotas/")

        with django_assert_num_queries(2 + 4):
            console.get("/quotas/")


class TestGiving:
    def test_adds_a_quota_beside_those_there_are(self, console, shared):
        sent = EIGHT | {"pools": "lab", "nominal": "2.5", "hard_limit": "4"}
        before = AuditEvent.objects.filter(action="quota.replaced").count()

        response = console.post("/projects/acme/vision/quotas/new/", sent, follow=True)

        rows = Quota.objects.filter(project__path="acme/vision").order_by("id")
        assert "The quota is made." in response.content.decode()
        assert [(row.nominal_milli, row.hard_limit_milli) for row in rows] == [(2000, None), (2500, 4000)]
        assert AuditEvent.objects.filter(action="quota.replaced").count() == before + 1

    @pytest.mark.parametrize(
        ("wrong", "shown"),
        [
            ({"nominal": ""}, "Write a number of devices"),
            ({"nominal": "-1"}, "Write a number of devices"),
            ({"hard_limit": "1e99"}, "Write a number of devices"),
            ({"lend_limit": "0.0001"}, "Write a number of devices"),
            ({"weight": "0"}, "1 to 1,000 is possible."),
            ({"model": "h100"}, "This model is not known."),
            ({"model": "", "profile": "1g.10gb"}, "name the model as well"),
            ({"pools": "nowhere"}, "One of these pools is not known."),
            ({}, "There is a quota for this already"),
        ],
    )
    def test_says_at_the_field_what_is_wrong(self, console, shared, wrong, shown):
        response = console.post("/projects/acme/vision/quotas/new/", EIGHT | wrong)

        assert response.status_code == 422 and shown in response.content.decode()
        assert Quota.objects.filter(project__path="acme/vision").count() == 1

    def test_is_for_who_is_above(self, shared):
        olga = logged_in(factories.person("olga"), "acme", "owner")
        vera = logged_in(factories.person("vera"), "acme/vision", "owner")
        row = Quota.objects.get(project__path="acme/vision")

        addresses = ("new/", f"{row.pk}/edit/", f"{row.pk}/remove/")
        of_olga = [olga.get(f"/projects/acme/vision/quotas/{each}").status_code for each in addresses]
        of_vera = [vera.get(f"/projects/acme/vision/quotas/{each}").status_code for each in addresses]

        assert (of_olga, of_vera) == ([200] * 3, [403] * 3)
        assert f"{row.pk}/edit/" in olga.get("/quotas/").content.decode()
        assert "/edit/" not in vera.get("/quotas/").content.decode()
        assert olga.get("/projects/acme/quotas/new/").status_code == 403


class TestChanging:
    def test_says_what_is_used_and_takes_nothing_away(self, console, shared):
        row = Quota.objects.get(project__path="acme/vision")
        address = f"/projects/acme/vision/quotas/{row.pk}/edit/"

        form = words(console, address)
        console.post(
            address, {"nominal": "1", "borrow_limit": "", "lend_limit": "0.5", "hard_limit": "", "weight": "3"}
        )

        row.refresh_from_db()
        assert "5 are used now." in form
        assert (row.nominal_milli, row.borrow_limit_milli, row.lend_limit_milli, row.weight) == (1000, None, 500, 3)
        assert row.used_milli == 5000

    def test_of_what_somebody_changed_meanwhile_is_refused(self, console, shared):
        row = Quota.objects.get(project__path="acme/vision")

        sent = {"nominal": "1", "weight": "1", "generation": "99"}
        response = console.post(f"/projects/acme/vision/quotas/{row.pk}/edit/", sent)

        row.refresh_from_db()
        assert response.status_code == 422 and row.nominal_milli == 2000

    def test_of_the_quota_of_another_project_is_not_found(self, console, shared):
        row = Quota.objects.get(project__path="acme/speech")

        assert console.get(f"/projects/acme/vision/quotas/{row.pk}/edit/").status_code == 404


class TestRemoving:
    def test_says_what_follows_and_removes_this_one_alone(self, console, shared):
        given(
            "acme/vision",
            QuotaWanted(model=H100, nominal_milli=2000),
            QuotaWanted(nominal_milli=1),
            now=shared.clock.now,
        )
        row = Quota.objects.get(project__path="acme/vision", model__slug=H100)
        address = f"/projects/acme/vision/quotas/{row.pk}/remove/"

        form = words(console, address)
        console.post(address)

        assert "What is in use stays: 5 now." in form
        assert [each.model for each in Quota.objects.filter(project__path="acme/vision")] == [None]
