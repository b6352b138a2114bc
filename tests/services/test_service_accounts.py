"""Accounts of programs."""

import pytest

from pools.domain.access import Access, Binding
from pools.domain.actors import Actor
from pools.domain.errors import (
    Denied,
    Invalid,
    ProjectSuspended,
    RoleTooHigh,
    ServiceAccountMissing,
    ServiceAccountNameTaken,
    UserChanged,
)
from pools.models import AuditEvent, User
from pools.selectors import access
from pools.selectors import service_accounts as seen
from pools.services import projects, service_accounts, tokens
from tests.factories import ALICE, EVERYTHING, NOW, project

pytestmark = pytest.mark.django_db


def make(which=None, name="ci", role="member", by=ALICE):
    return service_accounts.make(project_id=which and which.pk, name=name, role=role, actor=by, now=NOW)


def edit(account, by=ALICE, **changes):
    return service_accounts.edit(account_id=account.pk, actor=by, now=NOW, **changes)


def manager_of(which):
    return Actor(name="mia", access=Access(user_name="mia", bindings=(Binding("manager", tuple(which.lineage)),)))


class TestMaking:
    def test_gives_its_tokens_the_role_there(self):
        acme = project("acme")

        account = make(acme)

        token = tokens.make(username=account.username, name="ci", actor=ALICE, now=NOW)
        found = tokens.access_of(token, NOW)
        assert found.within("project", "read", acme.lineage) and not found.everywhere("project", "read")

    def test_by_one_name_is_possible_once_a_project(self):
        acme, umbrella = project("acme"), project("umbrella")
        names = {make(each, role=role).username for each, role in ((acme, "member"), (umbrella, "owner"))}
        names.add(make(role="auditor").username)

        with pytest.raises(ServiceAccountNameTaken):
            make(acme)

        assert len(names) == 3 and all(name.startswith("sa:ci") for name in names)

    def test_keeps_its_user_name_when_the_project_is_renamed(self):
        acme = project("acme")
        account = make(acme)

        projects.edit(project_id=acme.pk, changes={"name": "apex"}, actor=ALICE, now=NOW)

        row = seen.one(account.pk, EVERYTHING)
        assert (row.username, row.project) == (account.username, "apex")

    def test_gives_no_role_above_the_own(self):
        acme = project("acme")

        with pytest.raises(RoleTooHigh):
            make(acme, role="owner", by=manager_of(acme))

    def test_of_the_platform_is_for_an_administrator(self):
        with pytest.raises(Denied):
            make(role="auditor", by=manager_of(project("acme")))

    @pytest.mark.parametrize("fields", [{"name": "C I"}, {"name": ""}, {"role": "admin"}])
    def test_refuses_what_is_no_name_or_role(self, fields):
        with pytest.raises(Invalid):
            make(project("acme"), **fields)

    def test_in_something_suspended_is_refused(self):
        acme = project("acme")
        projects.suspend(project_id=acme.pk, actor=ALICE, now=NOW)

        with pytest.raises(ProjectSuspended):
            make(acme)

    def test_can_log_in_with_no_password(self):
        assert not User.objects.get(pk=make(project("acme")).pk).has_usable_password()


class TestEditing:
    def test_another_role_counts_at_once(self):
        acme = project("acme")
        account = make(acme, role="viewer")
        assert not access.of_user(account.pk).within("member", "create", acme.lineage)

        edit(account, role="manager")

        assert access.of_user(account.pk).within("member", "create", acme.lineage)

    def test_is_refused_to_those_below_its_present_role(self):
        acme = project("acme")
        account = make(acme, role="owner")

        with pytest.raises(RoleTooHigh):
            edit(account, role="viewer", by=manager_of(acme))

    def test_off_and_on_takes_and_gives_back_what_its_tokens_may(self):
        account = make(project("acme"))
        token = tokens.make(username=account.username, name="ci", actor=ALICE, now=NOW)

        edit(account, is_active=False)
        assert tokens.access_of(token, NOW) is None
        edit(account, is_active=True)

        assert tokens.access_of(token, NOW) is not None

    def test_of_an_older_generation_is_refused(self):
        account = make(project("acme"))
        edit(account, is_active=False, generation=1)

        with pytest.raises(UserChanged):
            edit(account, is_active=True, generation=1)


class TestRemoving:
    def test_ends_its_tokens_and_frees_its_name(self):
        acme = project("acme")
        account = make(acme)
        token = tokens.make(username=account.username, name="ci", actor=ALICE, now=NOW)

        service_accounts.remove(account_id=account.pk, actor=ALICE, now=NOW)

        assert tokens.access_of(token, NOW) is None
        assert make(acme).pk != account.pk
        event = AuditEvent.objects.get(object_id=str(account.pk), action="service_account.removed")
        assert event.before["username"] == account.username and event.after["tokens_revoked"] == 1

    def test_twice_is_too_much(self):
        account = make(project("acme"))
        service_accounts.remove(account_id=account.pk, actor=ALICE, now=NOW)

        for attempt in (service_accounts.remove, service_accounts.edit):
            with pytest.raises(ServiceAccountMissing):
                attempt(account_id=account.pk, actor=ALICE, now=NOW)
