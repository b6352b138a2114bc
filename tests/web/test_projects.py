"""Projects in the console: the tree, making, renaming and ending one, and the pools that it may use."""

import pytest
from django.test import Client

from pools.models import Project
from pools.selectors import access
from tests import factories
from tests.web.reading import read

pytestmark = pytest.mark.django_db


def logged_in(user):
    access.forget()
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def olga(db):
    """The owner of the tenant acme."""
    olga = factories.person("olga")
    factories.project("acme", owner=olga)
    return olga


class TestTheTree:
    def test_shows_every_tenant_to_an_administrator(self, console):
        factories.project("acme/vision")
        factories.project("umbrella")

        links = read("/projects/", console.get("/projects/").content).own_links

        assert {"/projects/acme/", "/projects/acme/vision/", "/projects/umbrella/"} <= links

    def test_shows_no_other_tenant_to_an_owner(self, olga):
        factories.project("acme/vision")
        factories.project("umbrella")

        page = logged_in(olga).get("/projects/").content.decode()

        assert "/projects/acme/vision/" in page and "umbrella" not in page and "New tenant" not in page

    def test_is_where_the_front_page_leads_those_who_see_no_fleet(self, olga):
        response = logged_in(olga).get("/")

        assert response.headers["Location"] == "/projects/"

    def test_is_filtered_by_what_stands_in_the_address(self, console):
        factories.project("acme/vision")
        factories.project("umbrella")

        page = console.get("/projects/", {"q": "vision", "state": "active"}).content.decode()

        assert page.count('scope="row"') == 1 and 'value="vision"' in page

    def test_says_what_is_wrong_with_a_filter(self, console):
        factories.project("acme")

        page = console.get("/projects/", {"state": "flying"}).content.decode()

        assert 'role="alert"' in page and "/projects/acme/" not in page

    def test_tells_first_what_to_do(self, console):
        page = console.get("/projects/").content.decode()

        assert "No project yet" in page and "/projects/new/" in page

    def test_costs_as_many_queries_for_many_as_for_few(self, console, django_assert_num_queries):
        for number in range(30):
            factories.project(f"acme/team-{number}")
        console.get("/projects/")

        with django_assert_num_queries(2 + 2):
            console.get("/projects/")


class TestANewOne:
    def test_is_a_tenant_when_the_platform_makes_it(self, console):
        response = console.post("/projects/new/", {"name": "acme", "display_name": "Acme AG", "labels": "tier=gold"})

        made = Project.objects.get()
        assert response.headers["Location"] == "/projects/acme/members/"
        assert (made.path, made.display_name, made.labels) == ("acme", "Acme AG", {"tier": "gold"})

    def test_stands_below_another(self, olga):
        logged_in(olga).post("/projects/acme/new/", {"name": "vision"})

        assert Project.objects.filter(path="acme/vision").exists()

    @pytest.mark.parametrize("name", ["", "Acme", "members", "a" * 64, "acme/vision"])
    def test_is_refused_at_the_field(self, console, name):
        response = console.post("/projects/new/", {"name": name})

        page = response.content.decode()
        assert response.status_code == 422 and 'id="name-about"' in page and 'aria-invalid="true"' in page

    def test_is_refused_under_a_name_that_is_taken(self, console):
        factories.project("acme")

        response = console.post("/projects/new/", {"name": "acme"})

        assert response.status_code == 422 and "Another project is named" in response.content.decode()


class TestAChange:
    def test_renames_all_below(self, console):
        factories.project("acme/vision")
        generation = Project.objects.get(path="acme").generation

        page = console.get("/projects/acme/rename/").content.decode()
        console.post("/projects/acme/rename/", {"name": "apex", "generation": generation})

        assert "paths of the project and of all below it change" in page
        assert set(Project.objects.values_list("path", flat=True)) == {"apex", "apex/vision"}

    def test_of_the_name_is_for_the_one_above(self, olga):
        assert logged_in(olga).get("/projects/acme/rename/").status_code == 403

    def test_of_labels_replaces_them(self, olga):
        generation = Project.objects.get().generation

        logged_in(olga).post("/projects/acme/edit/", {"labels": "a=b, c=d", "generation": generation})

        assert Project.objects.get().labels == {"a": "b", "c": "d"}

    def test_does_nothing_when_somebody_was_faster(self, console):
        factories.project("acme")

        response = console.post("/projects/acme/edit/", {"display_name": "Acme", "generation": "99"})

        assert response.status_code == 422 and "changed after you read it" in response.content.decode()
        assert Project.objects.get().display_name == ""


class TestAnEnd:
    def test_is_told_before_it_comes(self, console):
        factories.project("acme")

        for action in ("suspend", "archive"):
            assert "What follows" in console.get(f"/projects/acme/{action}/").content.decode()

        assert Project.objects.get().state == "active"

    def test_may_be_taken_back(self, console):
        project = factories.project("acme")

        console.post("/projects/acme/suspend/")
        suspended = console.get("/projects/acme/").content.decode()
        console.post("/projects/acme/resume/")
        console.post("/projects/acme/archive/")
        archived = console.get("/projects/", {"state": "archived"}).content.decode()
        console.post(f"/projects/{project.pk}/restore/")

        assert "Nothing new is made here" in suspended and f"/projects/{project.pk}/" in archived
        assert Project.objects.get().state == "active"

    def test_waits_for_what_is_below(self, console):
        factories.project("acme/vision")

        response = console.post("/projects/acme/archive/")

        assert response.status_code == 422 and "Archive what is below it first: vision" in response.content.decode()

    def test_is_not_for_the_own_people(self, olga):
        page = logged_in(olga).get("/projects/acme/settings/").content.decode()

        assert "/projects/acme/archive/" not in page and "for whoever answers for the project above" in page


class TestPools:
    def test_are_shown_to_the_people_without_what_is_inside(self, olga):
        factories.granted(factories.pool("lab", region="eu-1"), factories.project("acme"))
        factories.pool("secret-pool")

        page = logged_in(olga).get("/projects/acme/pools/").content.decode()

        assert "lab" in page and "eu-1" in page and "secret-pool" not in page
        assert "/pools/lab/" not in page

    def test_come_from_above_too(self, console):
        factories.granted(factories.pool("lab"), factories.project("acme"))
        factories.project("acme/vision")

        page = console.get("/projects/acme/vision/pools/").content.decode()

        assert "/pools/lab/" in page and "<td>acme</td>" in page

    def test_are_none_at_first_and_it_is_said(self, olga):
        page = logged_in(olga).get("/projects/acme/pools/").content.decode()

        assert "It may use no pool" in page

    def test_are_given_and_taken_on_the_page_of_the_pool(self, console):
        pool, project = factories.pool("lab"), factories.project("acme")

        empty = console.get("/pools/lab/grants/").content.decode()
        console.post("/pools/lab/grants/new/", {"project": "acme"})
        given = console.get("/pools/lab/grants/").content.decode()
        console.post(f"/pools/lab/grants/{project.pk}/remove/")

        assert "Nobody may use this pool" in empty and f"/pools/lab/grants/{project.pk}/remove/" in given
        assert not pool.grants.exists()

    def test_are_given_on_the_page_of_the_project(self, console):
        pool = factories.pool("lab")
        factories.project("acme")

        console.post("/projects/acme/pools/new/", {"pool": "lab"})

        assert pool.grants.get().project.path == "acme"

    def test_are_not_given_under_names_that_nobody_has(self, console):
        factories.pool("lab")
        factories.project("acme")

        wrong_project = console.post("/pools/lab/grants/new/", {"project": "acne"})
        wrong_pool = console.post("/projects/acme/pools/new/", {"pool": "lap"})

        assert (wrong_project.status_code, wrong_pool.status_code) == (422, 422)
        assert "Is acme meant?" in wrong_project.content.decode()
        assert 'aria-invalid="true"' in wrong_project.content.decode()
        assert 'aria-invalid="true"' in wrong_pool.content.decode()
