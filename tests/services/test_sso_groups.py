"""Which groups at the identity provider give which roles."""

import pytest

from pools.domain.errors import Invalid, ProjectArchived, SsoGroupExists, SsoGroupMissing, UserLastAdmin
from pools.models import AuditEvent, RoleBinding, SsoGroup
from pools.selectors import access
from pools.services import projects, sso, sso_groups
from tests.factories import ALICE, NOW, person, project

pytestmark = pytest.mark.django_db


def make(name="staff", which=None, role="auditor"):
    return sso_groups.make(name=name, project_id=which and which.pk, role=role, actor=ALICE, now=NOW)


def remove(group):
    sso_groups.remove(group_id=group.pk, actor=ALICE, now=NOW)


class TestMaking:
    def test_gives_its_role_to_who_logs_in_with_it(self):
        acme, ann = project("acme"), person("ann")
        make("vision-team", acme, "manager")

        sso.follow(user_id=ann.pk, groups=["vision-team"], actor=ALICE, now=NOW)

        assert access.of_user(ann.pk).within("member", "create", acme.lineage)

    def test_is_told_in_the_audit(self):
        made = make()

        event = AuditEvent.objects.get(object_id=str(made.pk))
        assert (event.action, event.object_name) == ("sso_group.made", "staff")
        assert event.after == {"role": "auditor", "project": None}

    def test_twice_is_refused(self):
        make()

        with pytest.raises(SsoGroupExists):
            make()

        assert make(role="finance")

    @pytest.mark.parametrize("name, role", [("", "auditor"), ("x" * 256, "auditor"), ("staff", "owner")])
    def test_refuses_what_is_no_name_or_role(self, name, role):
        with pytest.raises(Invalid):
            make(name, role=role)

    def test_into_something_archived_is_refused(self):
        acme = project("acme")
        projects.archive(project_id=acme.pk, actor=ALICE, now=NOW)

        with pytest.raises(ProjectArchived):
            make("staff", acme, "viewer")


class TestRemoving:
    def test_takes_the_role_at_once_from_those_who_have_it_by_no_other_group(self):
        ann = person("ann", "finance")
        group = make()
        sso.follow(user_id=ann.pk, groups=["staff"], actor=ALICE, now=NOW)
        assert access.of_user(ann.pk).platform_roles == {"auditor", "finance"}

        remove(group)

        assert access.of_user(ann.pk).platform_roles == {"finance"} and not SsoGroup.objects.exists()

    def test_waits_for_the_next_log_in_where_another_group_gives_it(self):
        ann = person("ann")
        first, _ = make("staff"), make("board")
        sso.follow(user_id=ann.pk, groups=["staff", "board"], actor=ALICE, now=NOW)

        remove(first)

        assert RoleBinding.objects.filter(user=ann, role="auditor").exists()

    def test_leaves_somebody_who_may_do_everything(self):
        group = make(role="admin")
        sso.follow(user_id=person("ann").pk, groups=["staff"], actor=ALICE, now=NOW)

        with pytest.raises(UserLastAdmin):
            remove(group)

    def test_twice_is_too_much(self):
        group = make()
        remove(group)

        with pytest.raises(SsoGroupMissing):
            remove(group)
