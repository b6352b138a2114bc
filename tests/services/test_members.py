"""Who gives and takes roles in projects, and whom somebody may name."""

from functools import partial

import pytest

from pools.domain.actors import Actor
from pools.domain.errors import (
    Invalid,
    MemberExists,
    MemberFromSso,
    MemberLastOwner,
    MemberMissing,
    ProjectSuspended,
    RoleTooHigh,
    UserMissing,
)
from pools.models import AuditEvent, RoleBinding
from pools.selectors import access
from pools.services import members, projects
from tests.factories import ALICE, NOW, person, project
from tests.services import at_once

pytestmark = pytest.mark.django_db


def actor(user):
    return Actor(name=user.username, access=access.of_user(user.pk))


def add(which, user, role, by=ALICE):
    return members.add(project_id=which.pk, user=user, role=role, actor=by, now=NOW)


def change(which, user, role, by=ALICE):
    return members.change(project_id=which.pk, user=user, role=role, actor=by, now=NOW)


def remove(which, user, by=ALICE):
    return members.remove(project_id=which.pk, user=user, actor=by, now=NOW)


def roles_in(which):
    return dict(RoleBinding.objects.filter(project=which).values_list("user__username", "role"))


class TestAdding:
    def test_gives_a_role_there_and_below_at_once(self):
        ann, acme = person("ann"), project("acme")
        assert access.of_user(ann.pk).bindings == ()

        add(acme, "ann", "manager")

        assert access.of_user(ann.pk).within("member", "create", project("acme/vision").lineage)

    def test_is_told_in_the_audit_of_the_project(self):
        ann, acme = person("ann"), project("acme")

        add(acme, str(ann.pk), "viewer")

        event = AuditEvent.objects.get(object_kind="member", object_id=str(ann.pk))
        assert (event.action, event.project_id, event.object_name) == ("member.added", acme.pk, "ann")
        assert event.after == {"project": "acme", "role": "viewer"}

    @pytest.mark.parametrize("own, given, may", [("manager", "owner", False), ("manager", "manager", True)])
    def test_gives_no_role_above_the_own(self, own, given, may):
        mia, acme = person("mia"), project("acme")
        add(acme, "mia", own)
        project("acme/audio", viewer=person("bo"))

        if may:
            assert add(acme, "bo", given, actor(mia)).role == given
        else:
            with pytest.raises(RoleTooHigh, match="owner"):
                add(acme, "bo", given, actor(mia))

    def test_counts_the_own_role_where_it_is_held_and_not_the_highest_anywhere(self):
        mia = person("mia")
        project("umbrella", owner=mia)
        acme = project("acme", manager=mia, viewer=person("bo"))

        with pytest.raises(RoleTooHigh):
            change(acme, "bo", "owner", actor(mia))

    def test_names_people_of_the_same_tenant_anywhere_in_its_tree(self):
        olga, bo = person("olga"), person("bo")
        project("acme/vision", owner=olga)
        project("acme/audio", viewer=bo)

        assert add(project("acme/vision"), "bo", "viewer", actor(olga)).user == bo

    def test_does_not_tell_people_of_another_tenant_from_nobody(self):
        olga = person("olga")
        acme = project("acme", owner=olga)
        project("umbrella", owner=person("udo"))
        person("nowhere")

        refused = []
        for name in ("udo", "nowhere", "made-up", "01900000-0000-7000-8000-000000000000", "\x00"):
            with pytest.raises(UserMissing) as caught:
                add(acme, name, "viewer", actor(olga))
            refused.append(caught.value.message)

        assert len(set(refused)) == 1

    def test_an_administrator_names_anybody(self):
        person("nowhere")

        assert add(project("acme"), "nowhere", "owner").role == "owner"

    def test_twice_is_refused(self):
        acme = project("acme", viewer=person("ann"))

        with pytest.raises(MemberExists):
            add(acme, "ann", "owner")

        assert roles_in(acme) == {"ann": "viewer"}

    def test_refuses_a_role_of_the_platform(self):
        person("ann")

        with pytest.raises(Invalid, match="owner, manager, member, viewer"):
            add(project("acme"), "ann", "admin")

    def test_into_something_suspended_is_refused(self):
        person("ann")
        acme = project("acme")
        projects.suspend(project_id=acme.pk, actor=ALICE, now=NOW)

        with pytest.raises(ProjectSuspended):
            add(project("acme/vision"), "ann", "viewer")


class TestChangingAndTaking:
    def test_takes_effect_at_once(self):
        ann = person("ann")
        acme = project("acme", viewer=ann)

        change(acme, "ann", "manager")
        assert access.of_user(ann.pk).within("member", "create", acme.lineage)
        remove(acme, "ann")

        assert access.of_user(ann.pk).bindings == ()

    def test_of_a_role_above_the_own_is_refused(self):
        mia = person("mia")
        acme = project("acme", owner=person("olga"), manager=mia)

        for attempt in (partial(change, acme, "olga", "viewer", actor(mia)), partial(remove, acme, "olga", actor(mia))):
            with pytest.raises(RoleTooHigh):
                attempt()

        assert roles_in(acme) == {"olga": "owner", "mia": "manager"}

    def test_of_what_follows_from_a_group_is_refused(self):
        ann, acme = person("ann"), project("acme")
        RoleBinding.objects.create(user=ann, project=acme, role="viewer", source="sso", created_at=NOW)

        for attempt in (partial(change, acme, "ann", "owner"), partial(remove, acme, "ann")):
            with pytest.raises(MemberFromSso):
                attempt()

    def test_of_what_comes_from_above_is_refused(self):
        project("acme", viewer=person("ann"))

        with pytest.raises(MemberMissing):
            remove(project("acme/vision"), "ann")

    def test_leaves_a_tenant_its_last_owner(self):
        olga = person("olga")
        acme = project("acme", owner=olga)

        for attempt in (
            partial(change, acme, "olga", "viewer", actor(olga)),
            partial(remove, acme, "olga", actor(olga)),
        ):
            with pytest.raises(MemberLastOwner):
                attempt()

        assert roles_in(acme) == {"olga": "owner"}

    def test_counts_no_owner_who_is_switched_off(self):
        olga = person("olga")
        acme = project("acme", owner=person("otto", is_active=False))
        add(acme, "olga", "owner")

        with pytest.raises(MemberLastOwner):
            remove(acme, "olga", actor(olga))

    def test_may_leave_a_sub_project_without_one_and_an_administrator_any(self):
        olga = person("olga")
        acme, vision = project("acme", owner=olga), project("acme/vision", owner=person("otto"))

        remove(vision, "otto", actor(olga))
        remove(acme, "olga")

        assert not RoleBinding.objects.filter(role="owner").exists()

    def test_to_the_same_role_writes_nothing(self):
        ann = person("ann")
        acme = project("acme", viewer=ann)

        change(acme, "ann", "viewer")

        assert not AuditEvent.objects.filter(object_id=str(ann.pk), action="member.changed").exists()


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_two_owners_who_both_go_leave_one(self):
        olga, otto = person("olga"), person("otto")
        for round_number in range(5):
            acme = project(f"acme{round_number}", owner=olga)
            add(acme, "otto", "owner")
            both = [partial(remove, acme, user.username, actor(user)) for user in (olga, otto)]

            answers = at_once.run(*both)

            assert [type(answer) for answer in answers if answer] == [MemberLastOwner]
            assert RoleBinding.objects.filter(project=acme, role="owner").count() == 1
