"""Accounts of people and their roles on the platform; somebody is always left who may do everything."""

from functools import partial

import pytest

from pools.domain.errors import Invalid, UserChanged, UserLastAdmin, UserMissing, UserNameTaken
from pools.models import AuditEvent, RoleBinding, User
from pools.selectors import access
from pools.services import users
from tests.factories import ALICE, NOW, person
from tests.services import at_once

pytestmark = pytest.mark.django_db


def create(username="bo", email="Bo@Example.com", **fields):
    return users.create(username=username, email=email, actor=ALICE, now=NOW, **fields)


def edit(user, generation=None, **changes):
    return users.edit(user_id=user.pk, changes=changes, generation=generation, actor=ALICE, now=NOW)


def give(user, *roles, generation=None):
    return users.set_platform_roles(user_id=user.pk, roles=roles, generation=generation, actor=ALICE, now=NOW)


class TestMaking:
    def test_makes_an_account_without_password_and_role(self):
        made = User.objects.get(pk=create(display_name=" Bo ").pk)

        assert (made.email, made.display_name, made.has_usable_password()) == ("bo@example.com", "Bo", False)
        assert AuditEvent.objects.get(object_id=str(made.pk)).action == "user.created"

    def test_by_a_name_that_is_taken_in_another_case_is_refused(self):
        person("Bo")

        with pytest.raises(UserNameTaken):
            create("bo")

    def test_tells_all_mistakes_at_once(self):
        with pytest.raises(Invalid) as caught:
            create("sa:bo", "nowhere", display_name="x" * 151)

        assert [wrong.field for wrong in caught.value.fields] == ["username", "email", "display_name"]


class TestEditing:
    def test_writes_what_changed_and_nothing_else(self):
        bo = person("bo", email="bo@example.com")

        edit(bo, email="bo@example.com", display_name="Bo", generation=1)

        event = AuditEvent.objects.get(object_id=str(bo.pk))
        assert (event.before, event.after) == ({"display_name": ""}, {"display_name": "Bo"})
        with pytest.raises(UserChanged):
            edit(bo, display_name="B.", generation=1)

    def test_off_takes_all_rights_at_once(self):
        bo = person("bo", "auditor")
        assert access.of_user(bo.pk)

        edit(bo, is_active=False)

        assert access.of_user(bo.pk) is None

    def test_refuses_other_fields_and_bad_values(self):
        bo = person("bo")

        for changes in ({"username": "root"}, {"email": "nowhere"}, {"password": "x"}):
            with pytest.raises(Invalid):
                edit(bo, **changes)

    def test_of_a_service_account_or_nobody_is_refused(self):
        with pytest.raises(UserMissing):
            edit(person("sa:ci", kind="service"), display_name="x")


class TestPlatformRoles:
    def test_are_exactly_those_given(self):
        bo = person("bo", "finance", "auditor")

        give(bo, "auditor", "operator")

        assert access.of_user(bo.pk).platform_roles == {"auditor", "operator"}
        event = AuditEvent.objects.get(object_id=str(bo.pk))
        assert (event.before, event.after) == (
            {"roles": ["auditor", "finance"]},
            {"roles": ["auditor", "operator"]},
        )

    def test_leave_those_from_single_sign_on(self):
        bo = person("bo")
        RoleBinding.objects.create(user=bo, role="auditor", source="sso", created_at=NOW)

        give(bo, "finance")
        give(bo)

        assert access.of_user(bo.pk).platform_roles == {"auditor"}

    def test_refuse_a_role_of_projects(self):
        with pytest.raises(Invalid, match="owner"):
            give(person("bo"), "owner")

    def test_of_an_older_generation_are_refused(self):
        bo = person("bo")
        give(bo, "auditor", generation=1)

        with pytest.raises(UserChanged):
            give(bo, "finance", generation=1)


class TestTheLastAdministrator:
    def test_keeps_the_role_and_the_account(self):
        root = person("root", "admin")
        person("off", "admin", is_active=False)
        person("sa:ci", "admin", kind="service")

        for attempt in (partial(give, root, "auditor"), partial(edit, root, is_active=False)):
            with pytest.raises(UserLastAdmin):
                attempt()

        assert access.of_user(root.pk).platform_roles == {"admin"}

    def test_may_go_once_there_is_another(self):
        root, next_one = person("root", "admin"), person("next")
        give(next_one, "admin")

        give(root)

        assert access.of_user(root.pk).platform_roles == set()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("how", [lambda user: give(user), lambda user: edit(user, is_active=False)])
    def test_is_left_when_two_take_it_from_each_other_at_once(self, how):
        for round_number in range(5):
            RoleBinding.objects.all().delete()
            pair = [person(f"root{round_number}-{number}", "admin") for number in range(2)]

            answers = at_once.run(*[partial(how, user) for user in pair])

            assert sorted(type(answer).__name__ for answer in answers) == ["User", "UserLastAdmin"]
            left = RoleBinding.objects.filter(role="admin", user__is_active=True)
            assert left.count() == 1
