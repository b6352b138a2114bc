"""Members and invitations of a project over HTTP."""

import threading

import pytest

from pools.models import Invitation, RoleBinding
from pools.services import invitation_mails
from tests.api.tenants import caller
from tests.factories import NOW, person, project

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(db):
    """Owner of acme, where Bo is a viewer of acme/vision."""
    user = person("olga", display_name="Olga")
    project("acme", owner=user)
    project("acme/vision", viewer=person("bo"))
    return caller(user)


class TestMembers:
    def test_are_added_changed_and_removed(self, olga):
        added = olga.post("/projects/acme/members", {"user": "bo", "role": "member"})
        changed = olga("PATCH", "/projects/acme/members/bo", {"role": "manager"})
        removed = olga("DELETE", added["Location"].removeprefix("http://testserver"))

        assert (added.status_code, added.data["user"], added.data["source"]) == (201, "bo", "hand")
        assert (changed.data["role"], removed.status_code) == ("manager", 204)
        assert olga("DELETE", "/projects/acme/members/bo").data["code"] == "member.not_found"

    def test_from_above_tell_from_where(self, olga):
        rows = olga.get("/projects/acme/vision/members").data["results"]

        assert [(row["user"], row["role"], row["inherited_from"]) for row in rows] == [
            ("bo", "viewer", None),
            ("olga", "owner", "acme"),
        ]

    def test_from_above_are_not_told_to_who_may_not_know_of_above(self, olga):
        bo = person("bob")
        project("acme/vision", owner=bo)

        rows = caller(bo).get("/projects/acme/vision/members").data["results"]

        assert {row["user"] for row in rows} == {"bo", "bob"}

    @pytest.mark.parametrize(
        "query, found",
        [
            ("role=owner", ["olga"]),
            ("source=sso", ["eve"]),
            ("is_inherited=true", ["olga"]),
            ("is_inherited=false", ["bo", "eve"]),
            ("q=OLG", ["olga"]),
        ],
    )
    def test_are_narrowed_by_filters(self, olga, query, found):
        vision = project("acme/vision")
        RoleBinding.objects.create(user=person("eve"), project=vision, role="viewer", source="sso", created_at=NOW)

        rows = olga.get(f"/projects/acme/vision/members?{query}").data["results"]

        assert [row["user"] for row in rows] == found

    def test_are_listed_in_two_queries_and_pages(self, olga, django_assert_num_queries):
        first = olga.get("/projects/acme/vision/members?limit=1")
        assert olga.get(first.data["next"]).data["results"][0]["user"] == "olga"

        with django_assert_num_queries(2):
            olga.get("/projects/acme/vision/members")

    def test_of_another_tenant_cannot_be_named(self, olga):
        project("umbrella", owner=person("udo"))

        answers = [olga.post("/projects/acme/members", {"user": name, "role": "viewer"}) for name in ("udo", "xyz")]

        assert [(answer.status_code, answer.data["code"]) for answer in answers] == [(404, "user.not_found")] * 2

    def test_get_no_role_above_that_of_the_giver(self, olga):
        mia = person("mia")
        project("acme", manager=mia)

        answer = caller(mia).post("/projects/acme/members", {"user": "bo", "role": "owner"})

        assert (answer.status_code, answer.data["code"]) == (403, "member.role_too_high")

    def test_leave_a_tenant_its_last_owner(self, olga):
        answer = olga("DELETE", "/projects/acme/members/olga")

        assert (answer.status_code, answer.data["code"]) == (409, "member.last_owner")


class TestInvitations:
    def test_show_their_link_once(self, olga):
        made = olga.post("/projects/acme/invitations", {"email": "new@example.com", "role": "member"})

        assert made.status_code == 201 and made.data["is_mailed"] is False
        assert made.data["link"].startswith("http://testserver/invitation/")
        (row,) = olga.get("/projects/acme/invitations").data["results"]
        assert row == {name: value for name, value in made.data.items() if name not in ("link", "is_mailed")}

    def test_are_repeated_without_the_link(self, olga):
        send = {"body": {"email": "new@example.com", "role": "member"}, "headers": {"Idempotency-Key": "k1"}}

        first, again = (olga("POST", "/projects/acme/invitations", **send) for _ in range(2))

        assert again.data == {**first.data, "link": None} and Invitation.objects.count() == 1

    def test_are_mailed_once_they_are_committed(self, olga, settings, mailoutbox, django_capture_on_commit_callbacks):
        settings.HAS_EMAIL = True

        with django_capture_on_commit_callbacks(execute=True):
            made = olga.post("/projects/acme/invitations", {"email": "new@example.com", "role": "member"})
            assert not mailoutbox
        for thread in threading.enumerate():
            if thread.name == invitation_mails.THREAD:
                thread.join(timeout=10)

        (mail,) = mailoutbox
        assert made.data["is_mailed"] is True and mail.to == ["new@example.com"]
        assert made.data["link"] in mail.body and "acme" in mail.subject

    def test_are_withdrawn_once(self, olga):
        made = olga.post("/projects/acme/invitations", {"email": "new@example.com", "role": "member"})

        first, second = (olga("DELETE", f"/invitations/{made.data['id']}") for _ in range(2))

        assert first.status_code == 204 and second.data["code"] == "invitation.ended"
        assert olga.get("/invitations?state=withdrawn").data["results"][0]["id"] == made.data["id"]

    def test_of_others_are_not_known(self, api, olga):
        project("umbrella")
        theirs = api.post("/projects/umbrella/invitations", {"email": "new@example.com", "role": "owner"})
        of_platform = api.post("/invitations", {"email": "new@example.com", "role": "auditor"})

        assert (theirs.status_code, of_platform.status_code) == (201, 201)
        assert olga.get("/invitations").data["results"] == []
        for made in (theirs, of_platform):
            assert olga("DELETE", f"/invitations/{made.data['id']}").data["code"] == "invitation.not_found"

    def test_to_the_platform_are_for_administrators(self, api, olga):
        assert olga.post("/invitations", {"email": "new@example.com"}).status_code == 403
        assert api.post("/invitations", {"email": "new@example.com"}).data["role"] == ""

    @pytest.mark.parametrize("query", ["project=acme", "role=member", "state=open", "q=new"])
    def test_are_narrowed_by_filters(self, olga, query):
        olga.post("/projects/acme/invitations", {"email": "new@example.com", "role": "member"})
        olga.post("/projects/acme/vision/invitations", {"email": "old@example.com", "role": "owner"})
        Invitation.objects.filter(role="owner").update(expires_at=NOW.replace(year=2020))

        rows = olga.get(f"/invitations?{query}").data["results"]

        assert [row["email"] for row in rows] == ["new@example.com"]

    def test_are_listed_in_one_query(self, olga, django_assert_num_queries):
        olga.post("/projects/acme/invitations", {"email": "new@example.com", "role": "member"})
        olga.get("/invitations")

        with django_assert_num_queries(1):
            olga.get("/invitations")
        with django_assert_num_queries(2):
            olga.get("/projects/acme/invitations")
