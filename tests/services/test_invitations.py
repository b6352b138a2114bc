"""Links by which somebody gets a role: for one person, once, for a week."""

from datetime import timedelta
from functools import partial

import pytest

from pools.domain.access import Access, Binding
from pools.domain.actors import Actor
from pools.domain.errors import (
    Denied,
    Invalid,
    InvitationEnded,
    InvitationForOther,
    InvitationMissing,
    InvitationNeedsLogin,
    ProjectSuspended,
    RoleTooHigh,
    UserNameTaken,
)
from pools.models import AuditEvent, Invitation, RoleBinding, User
from pools.selectors import access
from pools.selectors import invitations as seen
from pools.services import invitations, projects
from tests.factories import ALICE, NOW, person, project
from tests.services import at_once

pytestmark = pytest.mark.django_db

PASSWORD = "long and hard to guess"


def invited(which=None, email="Bo@Example.com", role="member", by=ALICE):
    _, secret = invitations.invite(project_id=which and which.pk, email=email, role=role, actor=by, now=NOW)
    return secret


def accept(secret, user, now=NOW):
    who = Actor(name=user.username, access=access.of_user(user.pk))
    return invitations.accept(secret=secret, user_id=user.pk, actor=who, now=now)


def accept_as_new(secret, username="bo", password=PASSWORD, now=NOW):
    return invitations.accept_as_new(secret=secret, username=username, password=password, now=now)


def manager_of(which):
    return Actor(name="mia", access=Access(user_name="mia", bindings=(Binding("manager", tuple(which.lineage)),)))


class TestInviting:
    def test_stores_no_secret_anywhere(self):
        secret = invited(project("acme"))

        made = Invitation.objects.get()
        event = AuditEvent.objects.get(object_id=str(made.pk))
        assert secret not in repr([vars(made), vars(event)]) and secret.encode() not in bytes(made.hash)
        assert (made.email, made.expires_at) == ("bo@example.com", NOW + timedelta(days=7))

    def test_gives_no_role_above_the_own(self):
        acme = project("acme")

        with pytest.raises(RoleTooHigh):
            invited(acme, role="owner", by=manager_of(acme))

        assert invited(acme, role="manager", by=manager_of(acme))

    def test_to_the_platform_is_for_an_administrator(self):
        for role in ("", "auditor"):
            with pytest.raises(Denied):
                invited(role=role, by=manager_of(project("acme")))

    def test_needs_an_address_and_a_role_that_fits(self):
        acme = project("acme")

        for attempt in (
            partial(invited, acme, email="bo"),
            partial(invited, acme, role=""),
            partial(invited, acme, role="admin"),
            partial(invited, role="owner"),
        ):
            with pytest.raises(Invalid):
                attempt()

    def test_to_something_suspended_is_refused(self):
        acme = project("acme")
        projects.suspend(project_id=acme.pk, actor=ALICE, now=NOW)

        with pytest.raises(ProjectSuspended):
            invited(acme)


class TestAcceptingWithAnAccount:
    def test_gives_the_role_once(self):
        acme, bo = project("acme"), person("bo", email="bo@example.com")
        secret = invited(acme)

        accept(secret, bo)

        assert access.of_user(bo.pk).within("project", "read", acme.lineage)
        assert Invitation.objects.get().accepted_by == bo
        with pytest.raises(InvitationEnded):
            accept(secret, bo)

    def test_is_for_the_address_that_was_invited(self):
        secret = invited(project("acme"))

        with pytest.raises(InvitationForOther):
            accept(secret, person("eve", email="eve@example.com"))

        assert Invitation.objects.get().ended_at is None

    @pytest.mark.parametrize("own, given, left", [("viewer", "manager", "manager"), ("owner", "viewer", "owner")])
    def test_raises_a_role_and_lowers_none(self, own, given, left):
        bo = person("bo", email="bo@example.com")
        acme = project("acme", **{own: bo})

        accept(invited(acme, role=given), bo)

        assert RoleBinding.objects.get(user=bo).role == left

    def test_gives_a_role_of_the_platform_beside_others(self):
        bo = person("bo", "finance", email="bo@example.com")

        accept(invited(role="auditor"), bo)

        assert access.of_user(bo.pk).platform_roles == {"auditor", "finance"}

    def test_is_told_in_the_audit_of_the_project_under_the_name_of_who_did_it(self):
        acme, bo = project("acme"), person("bo", email="bo@example.com")

        accept(invited(acme), bo)

        event = AuditEvent.objects.get(action="invitation.accepted", object_id=str(Invitation.objects.get().pk))
        assert (event.actor, event.actor_id, event.project_id) == ("bo", bo.pk, acme.pk)


class TestAcceptingWithoutAnAccount:
    def test_makes_one_that_can_log_in(self):
        acme = project("acme")

        made = accept_as_new(invited(acme))

        made.refresh_from_db()
        assert made.check_password(PASSWORD) and made.email == "bo@example.com"
        assert access.of_user(made.pk).within("project", "read", acme.lineage)

    def test_of_the_platform_can_give_an_account_and_no_role(self):
        made = accept_as_new(invited(role=""))

        assert not RoleBinding.objects.filter(user=made).exists()

    def test_where_there_is_one_of_this_address_asks_to_log_in(self):
        person("bo", email="BO@example.com")

        with pytest.raises(InvitationNeedsLogin):
            accept_as_new(invited(project("acme")), username="bo2")

        assert seen.opened(invited(project("acme")), NOW).has_account

    @pytest.mark.parametrize("password", ["short", "bo@example.com"])
    def test_with_a_weak_password_makes_nothing(self, password):
        with pytest.raises(Invalid) as caught:
            accept_as_new(invited(project("acme")), password=password)

        assert {wrong.field for wrong in caught.value.fields} == {"password"}
        assert not User.objects.exists()

    def test_with_a_taken_name_leaves_the_invitation_as_it_is(self):
        person("Bo")
        secret = invited(project("acme"))

        with pytest.raises(UserNameTaken):
            accept_as_new(secret)

        assert seen.opened(secret, NOW).email == "bo@example.com"

    @pytest.mark.parametrize("username", ["", "sa:ci", "a b", "x" * 151])
    def test_with_a_name_that_is_none_is_refused(self, username):
        with pytest.raises(Invalid) as caught:
            accept_as_new(invited(project("acme")), username=username)

        assert caught.value.fields[0].field == "username"


class TestWhatHasEnded:
    def test_a_made_up_link_is_no_invitation(self):
        for attempt in (partial(accept_as_new, "made-up"), partial(seen.opened, "made-up", NOW)):
            with pytest.raises(InvitationMissing):
                attempt()

    def test_after_a_week_it_is_over(self):
        secret, later = invited(project("acme")), NOW + timedelta(days=7)

        assert seen.opened(secret, later - timedelta(seconds=1)).project == "acme"
        for attempt in (partial(accept_as_new, secret, now=later), partial(seen.opened, secret, later)):
            with pytest.raises(InvitationEnded):
                attempt()

    def test_a_withdrawn_one_is_over(self):
        secret = invited(project("acme"))
        invitations.withdraw(invitation_id=Invitation.objects.get().pk, actor=ALICE, now=NOW)

        with pytest.raises(InvitationEnded):
            accept_as_new(secret)

    def test_one_to_an_archived_project_is_over(self):
        acme = project("acme")
        secret = invited(acme)
        projects.archive(project_id=acme.pk, actor=ALICE, now=NOW)

        with pytest.raises(InvitationEnded):
            accept_as_new(secret)


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_one_of_two_who_have_the_link_gets_in(self):
        secret = invited(project("acme"))

        answers = at_once.run(partial(accept_as_new, secret, "bo"), partial(accept_as_new, secret, "eve"))

        assert sorted(type(answer).__name__ for answer in answers) == ["InvitationEnded", "User"]
        assert User.objects.count() == RoleBinding.objects.count() == 1
