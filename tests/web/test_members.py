"""Members, invitations and service accounts of a project in the console."""

import pytest

from pools.models import Invitation, RoleBinding, User
from tests import factories
from tests.web.test_projects import logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(db):
    """Who has a role in acme or acme/vision, by the role."""
    people = {role: factories.person(role) for role in ("owner", "manager", "viewer")}
    factories.project("acme", owner=people["owner"])
    factories.project("acme/vision", manager=people["manager"], viewer=people["viewer"])
    return people


def role_of(user):
    return RoleBinding.objects.get(user=user).role


class TestMembers:
    def test_are_shown_with_where_their_role_comes_from(self, people):
        page = logged_in(people["owner"]).get("/projects/acme/vision/members/").content.decode()

        assert "/projects/acme/members/" in page and "this project" in page

    def test_from_above_are_hidden_from_those_who_only_know_below(self, people):
        page = logged_in(people["manager"]).get("/projects/acme/vision/members/").content.decode()

        assert ">viewer<" in page and ">owner<" not in page.replace('<option value="owner">owner</option>', "")

    def test_are_filtered_in_the_address(self, people):
        page = logged_in(people["owner"]).get("/projects/acme/vision/members/", {"role": "viewer"}).content.decode()

        assert page.count('scope="row"') == 1

    def test_get_another_role(self, people):
        address = f"/projects/acme/vision/members/{people['viewer'].pk}/edit/"

        page = logged_in(people["owner"]).get(address).content.decode()
        logged_in(people["owner"]).post(address, {"role": "member"})

        assert "The new role holds at once" in page and role_of(people["viewer"]) == "member"

    def test_lose_it(self, people):
        logged_in(people["owner"]).post(f"/projects/acme/vision/members/{people['viewer'].pk}/remove/")

        assert not RoleBinding.objects.filter(user=people["viewer"]).exists()

    def test_get_no_role_above_the_own(self, people):
        client = logged_in(people["manager"])
        address = f"/projects/acme/vision/members/{people['viewer'].pk}/edit/"

        page = client.get(address).content.decode()
        response = client.post(address, {"role": "owner"})

        assert '<option value="owner"' not in page
        assert response.status_code == 422 and "above your own" in response.content.decode()

    def test_are_added_from_the_own_tenant_only(self, people):
        factories.project("umbrella", owner=factories.person("stranger"))
        client = logged_in(people["owner"])

        refused = client.post("/projects/acme/vision/members/new/", {"user": "stranger", "role": "member"})
        unknown = client.post("/projects/acme/vision/members/new/", {"user": "nobody", "role": "member"})

        assert refused.status_code == 422
        assert refused.content.decode().count("stranger") == unknown.content.decode().count("nobody")

    def test_are_added_once(self, people):
        client = logged_in(people["owner"])

        added = client.post("/projects/acme/members/new/", {"user": "viewer", "role": "member"})
        again = client.post("/projects/acme/members/new/", {"user": "viewer", "role": "member"})

        assert added.headers["Location"] == "/projects/acme/members/"
        assert again.status_code == 422 and "has a role in this project already" in again.content.decode()

    def test_keep_the_last_owner(self, people):
        response = logged_in(people["owner"]).post(f"/projects/acme/members/{people['owner'].pk}/remove/")

        assert response.status_code == 422 and "This is the last owner" in response.content.decode()

    def test_are_offered_no_buttons_that_they_may_not_press(self, people):
        page = logged_in(people["viewer"]).get("/projects/acme/vision/members/").content.decode()

        assert "members/new/" not in page and "/remove/" not in page and "invitations/" not in page


class TestInvitations:
    def test_show_their_link_once(self, people):
        client = logged_in(people["owner"])

        made = client.post("/projects/acme/invitations/new/", {"email": "eve@example.org", "role": "member"})
        listed = client.get("/projects/acme/invitations/").content.decode()

        assert made.status_code == 201 and "http://testserver/invitation/" in made.content.decode()
        assert "no-store" in made.headers["Cache-Control"]
        assert "eve@example.org" in listed and "/invitation/" not in listed

    def test_are_withdrawn(self, people):
        client = logged_in(people["owner"])
        client.post("/projects/acme/invitations/new/", {"email": "eve@example.org", "role": "member"})
        address = f"/invitations/{Invitation.objects.get().pk}/withdraw/"

        page = client.get(address).content.decode()
        client.post(address)

        assert "worthless at once" in page and Invitation.objects.get().ended_at is not None

    def test_need_an_address(self, people):
        response = logged_in(people["owner"]).post(
            "/projects/acme/invitations/new/", {"email": "nowhere", "role": "member"}
        )

        assert response.status_code == 422 and "This is no e-mail address" in response.content.decode()


class TestServiceAccounts:
    def test_live_from_their_making_to_their_end(self, people):
        client = logged_in(people["manager"])
        client.post("/projects/acme/vision/service-accounts/new/", {"name": "ci", "role": "member"})
        account = User.objects.get(kind="service")
        address = f"/service-accounts/{account.pk}/"

        listed = client.get("/projects/acme/vision/service-accounts/").content.decode()
        client.post(f"{address}edit/", {"role": "viewer"})
        client.post(f"{address}switch/off/")
        off = client.get(address).content.decode()
        client.post(f"{address}remove/")

        assert address in listed and "switched off" in off
        assert client.get(address).status_code == 404 and not RoleBinding.objects.filter(user=account).exists()

    def test_have_tokens_on_their_page(self, people):
        client = logged_in(people["manager"])
        client.post("/projects/acme/vision/service-accounts/new/", {"name": "ci", "role": "member"})
        account = User.objects.get(kind="service")

        made = client.post(f"/tokens/new/?service_account={account.username}", {"name": "runner", "days": "7"})
        page = client.get(f"/service-accounts/{account.pk}/").content.decode()

        assert made.status_code == 201 and account.tokens.count() == 1
        assert "runner" in page and "/rotate/" in page

    def test_are_not_for_viewers_to_change(self, people):
        logged_in(people["manager"]).post(
            "/projects/acme/vision/service-accounts/new/", {"name": "ci", "role": "viewer"}
        )
        address = f"/service-accounts/{User.objects.get(kind='service').pk}/"

        page = logged_in(people["viewer"]).get(address).content.decode()

        assert "/remove/" not in page and logged_in(people["viewer"]).post(f"{address}remove/").status_code == 403
