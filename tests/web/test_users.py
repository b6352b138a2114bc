"""Users in the console: who has an account, roles on the platform, log-in; groups and the table of rights."""

import pytest
from django.test import Client

from pools.models import RoleBinding, SsoGroup, User
from tests import factories
from tests.web.test_projects import logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db):
    return factories.person("ada", email="ada@example.org")


class TestTheList:
    def test_names_people_and_what_they_are(self, console, ada):
        factories.project("acme", owner=ada)

        page = console.get("/users/").content.decode()

        assert f"/users/{ada.pk}/" in page and "ada@example.org" in page and "administrator" in page

    def test_is_filtered_in_the_address(self, console, ada):
        page = console.get("/users/", {"role": "admin"}).content.decode()

        assert page.count('scope="row"') == 1 and f"/users/{ada.pk}/" not in page

    def test_is_not_for_those_who_see_no_users(self, db):
        client = logged_in(factories.person("otto", "operator"))

        assert client.get("/users/").status_code == 404 and "/users/" not in client.get("/").content.decode()

    def test_costs_as_many_queries_for_many_as_for_few(self, console, django_assert_num_queries):
        for number in range(30):
            factories.project("acme", member=factories.person(f"user-{number}"))
        console.get("/users/")

        with django_assert_num_queries(2 + 2):
            console.get("/users/")


class TestAnAccount:
    def test_is_made_without_password_and_role(self, console):
        response = console.post("/users/new/", {"username": "eve", "email": "eve@example.org"})

        eve = User.objects.get(username="eve")
        assert response.headers["Location"] == f"/users/{eve.pk}/"
        assert not eve.has_usable_password() and "No role" in console.get(f"/users/{eve.pk}/").content.decode()

    @pytest.mark.parametrize("name", ["", "no spaces", "ADA"])
    def test_is_refused_at_the_field(self, console, ada, name):
        response = console.post("/users/new/", {"username": name})

        assert response.status_code == 422 and 'aria-invalid="true"' in response.content.decode()

    def test_is_switched_off_and_on(self, console, ada):
        page = console.get(f"/users/{ada.pk}/switch/off/").content.decode()
        console.post(f"/users/{ada.pk}/switch/off/")
        off = User.objects.get(pk=ada.pk).is_active
        console.post(f"/users/{ada.pk}/switch/on/")

        assert "All log-ins end at once" in page and not off and User.objects.get(pk=ada.pk).is_active

    def test_gets_a_link_for_a_new_password_that_works_once(self, console, ada):
        made = console.post(f"/users/{ada.pk}/password/")
        address = made.content.decode().partition('value="http://testserver')[2].partition('"')[0]
        stranger = Client()
        form = stranger.get(address, follow=True)
        password = "correct horse battery"
        stranger.post(form.request["PATH_INFO"], {"password1": password, "password2": password})

        assert made.status_code == 201 and address.startswith("/account/password/reset/key/")
        assert User.objects.get(pk=ada.pk).check_password(password)
        assert "was used already" in Client().get(address, follow=True).content.decode()

    def test_is_logged_out_everywhere(self, console, ada):
        theirs = logged_in(ada)

        page = console.get(f"/users/{ada.pk}/sessions/end/").content.decode()
        console.post(f"/users/{ada.pk}/sessions/end/")

        assert "must log in again" in page and theirs.get("/").status_code in (302, 403)

    def test_is_edited(self, console, ada):
        console.post(f"/users/{ada.pk}/edit/", {"email": "ada@example.com", "display_name": "Ada", "generation": "1"})

        ada.refresh_from_db()
        assert (ada.email, ada.display_name) == ("ada@example.com", "Ada")


class TestRolesOnThePlatform:
    def test_are_given_and_taken(self, console, ada):
        console.post(f"/users/{ada.pk}/roles/", {"auditor": "true", "finance": "true"})
        given = set(RoleBinding.objects.filter(user=ada).values_list("role", flat=True))
        console.post(f"/users/{ada.pk}/roles/", {"finance": "true"})

        assert given == {"auditor", "finance"}
        assert RoleBinding.objects.get(user=ada).role == "finance"

    def test_leave_one_administrator(self, console, admin):
        response = console.post(f"/users/{admin.pk}/roles/", {})
        switched = console.post(f"/users/{admin.pk}/switch/off/")

        assert (response.status_code, switched.status_code) == (422, 422)
        assert "last administrator" in response.content.decode() and "last administrator" in switched.content.decode()

    def test_are_not_for_an_auditor_to_give(self, ada):
        client = logged_in(factories.person("audrey", "auditor"))

        page = client.get(f"/users/{ada.pk}/").content.decode()

        assert "/roles/" not in page.replace('"/roles/"', "") and "/switch/off/" not in page
        assert client.post(f"/users/{ada.pk}/roles/", {"admin": "true"}).status_code == 403


class TestGroups:
    def test_of_single_sign_on_give_roles(self, console):
        factories.project("acme")

        empty = console.get("/sso-groups/").content.decode()
        console.post("/sso-groups/new/", {"name": "staff", "project": "acme", "role": "member"})
        console.post("/sso-groups/new/", {"name": "admins", "project": "", "role": "auditor"})
        page = console.get("/sso-groups/").content.decode()

        assert "gives no role until a group does" in empty and "staff" in page and "admins" in page

    def test_give_no_role_of_the_platform_in_a_project(self, console):
        factories.project("acme")

        response = console.post("/sso-groups/new/", {"name": "staff", "project": "acme", "role": "admin"})

        assert response.status_code == 422 and 'aria-invalid="true"' in response.content.decode()

    def test_are_removed(self, console):
        console.post("/sso-groups/new/", {"name": "staff", "project": "", "role": "auditor"})

        console.post(f"/sso-groups/{SsoGroup.objects.get().pk}/remove/")

        assert not SsoGroup.objects.exists()


class TestTheTableOfRights:
    def test_is_for_everybody(self, db):
        ada = factories.person("ada")
        factories.project("acme", viewer=ada)

        page = logged_in(ada).get("/roles/").content.decode()

        assert "Looks at the project and changes nothing." in page and "yours" in page and "/users/" not in page
