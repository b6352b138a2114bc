"""The tree of projects: what it refuses, what an archive ends, and what two people do at once."""

from functools import partial

import pytest

from pools.domain.access import Access, Binding
from pools.domain.actors import Actor
from pools.domain.errors import (
    Denied,
    Invalid,
    ProjectArchived,
    ProjectChanged,
    ProjectHasChildren,
    ProjectMissing,
    ProjectNameTaken,
    ProjectState,
    ProjectSuspended,
)
from pools.models import ApiToken, AuditEvent, Invitation, Project
from pools.selectors import access
from pools.services import invitations, projects, service_accounts, tokens
from tests.factories import ALICE, NOW, person, project
from tests.services import at_once

pytestmark = pytest.mark.django_db


def create(name, parent=None, **fields):
    return projects.create(name=name, parent_id=parent and parent.pk, actor=ALICE, now=NOW, **fields)


def edit(which, generation=None, actor=ALICE, **changes):
    return projects.edit(project_id=which.pk, changes=changes, generation=generation, actor=actor, now=NOW)


def moved(service, which, **more):
    return service(project_id=which.pk, actor=ALICE, now=NOW, **more)


def owner_of(which):
    return Actor(name="olga", access=Access(user_name="olga", bindings=(Binding("owner", tuple(which.lineage)),)))


class TestMaking:
    def test_a_project_below_another_joins_names_and_ids(self):
        acme = create("acme", display_name=" Acme Inc. ", labels={"tier": "gold"})

        vision = create("vision", acme)

        assert (vision.path, vision.lineage) == ("acme/vision", [acme.pk, vision.pk])
        assert (acme.path, acme.lineage, acme.display_name) == ("acme", [acme.pk], "Acme Inc.")

    def test_is_told_in_the_audit_of_the_project(self):
        made = create("acme")

        event = AuditEvent.objects.get(object_id=str(made.pk))
        assert (event.action, event.project_id, event.after["path"]) == ("project.created", made.pk, "acme")

    @pytest.mark.parametrize(
        "name", ["", "Acme", "a b", "a/b", "ä", "a" * 64, "members", "service-accounts", "archive"]
    )
    def test_refuses_a_name_that_no_address_could_hold(self, name):
        with pytest.raises(Invalid) as caught:
            create(name)

        assert [wrong.field for wrong in caught.value.fields] == ["name"]

    def test_refuses_a_name_that_looks_like_an_id(self):
        with pytest.raises(Invalid, match="looks like an id"):
            create("01900000-0000-7000-8000-000000000000")

    def test_tells_all_mistakes_at_once(self):
        with pytest.raises(Invalid) as caught:
            create("Acme", display_name="x" * 151, labels={"-": "x"})

        assert [wrong.field for wrong in caught.value.fields] == ["name", "display_name", "labels.-"]

    def test_ends_at_the_eighth_level(self):
        eighth = project("a/b/c/d/e/f/g/h")

        with pytest.raises(Invalid, match="at most 8 levels"):
            create("i", eighth)

    def test_twice_by_one_name_is_refused_below_one_parent_only(self):
        acme, umbrella = create("acme"), create("umbrella")
        create("vision", acme)

        with pytest.raises(ProjectNameTaken, match="acme/vision"):
            create("vision", acme)

        assert create("vision", umbrella).path == "umbrella/vision"

    def test_below_something_suspended_names_what_to_resume(self):
        acme = create("acme")
        vision = create("vision", acme)
        moved(projects.suspend, acme)

        with pytest.raises(ProjectSuspended, match='"acme" is suspended'):
            create("ocr", vision)

    def test_below_nothing_is_refused(self):
        gone = Project(pk="01900000-0000-7000-8000-000000000000")

        with pytest.raises(ProjectMissing):
            create("ocr", gone)


class TestEditing:
    def test_a_name_renames_all_below_also_what_is_archived(self):
        acme = project("acme")
        project("acme/vision/ocr")
        moved(projects.archive, project("acme/old"))

        edit(acme, name="apex")

        paths = set(Project.objects.filter(lineage__contains=[acme.pk]).values_list("path", flat=True))
        assert paths == {"apex", "apex/vision", "apex/vision/ocr", "apex/old"}

    def test_a_name_does_not_touch_what_only_begins_alike(self):
        acme, other = project("acme"), project("acme-labs/vision")

        edit(acme, name="apex")

        other.refresh_from_db()
        assert other.path == "acme-labs/vision"

    def test_a_name_is_for_the_project_above_to_give(self):
        acme, umbrella = project("acme"), project("umbrella")
        vision = project("acme/vision")

        with pytest.raises(Denied):
            edit(acme, name=umbrella.name, actor=owner_of(acme))

        assert edit(vision, name="sight", actor=owner_of(acme)).path == "acme/sight"

    def test_everything_else_is_for_its_own_people(self):
        acme = project("acme")

        edit(acme, display_name="Acme", labels={"tier": "gold"}, actor=owner_of(acme))

        acme.refresh_from_db()
        assert (acme.display_name, acme.labels, acme.generation) == ("Acme", {"tier": "gold"}, 2)

    def test_to_what_it_is_already_writes_nothing(self):
        acme = project("acme")

        edit(acme, name="acme", labels={})

        assert Project.objects.get().generation == 1
        assert not AuditEvent.objects.filter(object_id=str(acme.pk)).exists()

    def test_of_an_older_generation_is_refused(self):
        acme = project("acme")
        edit(acme, display_name="Acme", generation=1)

        with pytest.raises(ProjectChanged):
            edit(acme, display_name="Apex", generation=1)

    def test_to_a_taken_name_changes_nothing(self):
        acme, _ = project("acme/vision"), project("acme/audio")

        with pytest.raises(ProjectNameTaken):
            edit(acme, name="audio")

        assert set(Project.objects.values_list("path", flat=True)) == {"acme", "acme/vision", "acme/audio"}

    def test_of_what_cannot_be_edited_is_refused(self):
        with pytest.raises(Invalid, match="state"):
            edit(project("acme"), state="suspended")


class TestTheStates:
    def test_suspending_and_resuming_go_back_and_forth(self):
        acme = project("acme")

        assert moved(projects.suspend, acme).state == "suspended"
        assert moved(projects.resume, acme).state == "active"

    def test_a_move_that_is_none_is_refused(self):
        acme = project("acme")

        for service in (projects.resume, projects.restore):
            with pytest.raises(ProjectState):
                moved(service, acme)

    def test_an_archive_names_what_is_to_be_archived_first(self):
        for child in "abcdef":
            project(f"acme/{child}")

        with pytest.raises(ProjectHasChildren, match="a, b, c, d, e, …"):
            moved(projects.archive, project("acme"))

    def test_an_archive_ends_roles_tokens_and_invitations(self):
        ann = person("ann")
        vision = project("acme/vision", owner=ann)
        account = service_accounts.make(project_id=vision.pk, name="ci", role="member", actor=ALICE, now=NOW)
        token = tokens.make(username=account.username, name="ci", actor=ALICE, now=NOW)
        invitations.invite(project_id=vision.pk, email="bo@example.com", role="viewer", actor=ALICE, now=NOW)
        assert access.of_user(ann.pk).bindings and tokens.access_of(token, NOW)

        moved(projects.archive, vision)

        assert access.of_user(ann.pk).bindings == () and tokens.access_of(token, NOW) is None
        assert ApiToken.objects.get().revoked_at == NOW and Invitation.objects.get().ended_at == NOW
        event = AuditEvent.objects.get(object_id=str(vision.pk), action="project.archived")
        assert event.after == {"state": "archived", "tokens_revoked": 1, "invitations_withdrawn": 1}

    def test_an_archive_leaves_the_tokens_of_others(self):
        vision, audio = project("acme/vision"), project("acme/audio")
        account = service_accounts.make(project_id=audio.pk, name="ci", role="member", actor=ALICE, now=NOW)
        tokens.make(username=account.username, name="ci", actor=ALICE, now=NOW)

        moved(projects.archive, vision)

        assert ApiToken.objects.get().revoked_at is None

    def test_an_archived_project_gives_its_name_back_and_returns_only_while_that_is_free(self):
        old = project("acme")
        moved(projects.archive, old)
        new = create("acme")

        with pytest.raises(ProjectNameTaken):
            moved(projects.restore, old)
        edit(new, name="apex")

        assert moved(projects.restore, old).path == "acme"

    def test_an_archived_project_is_not_edited_and_takes_nothing_new(self):
        acme = project("acme")
        moved(projects.archive, acme)

        for attempt in (partial(edit, acme, display_name="x"), partial(create, "vision", acme)):
            with pytest.raises(ProjectArchived):
                attempt()

    def test_nothing_is_restored_below_what_is_archived(self):
        vision = project("acme/vision")
        for each in (vision, project("acme")):
            moved(projects.archive, each)

        with pytest.raises(ProjectArchived):
            moved(projects.restore, vision)


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    @pytest.mark.parametrize("parent", [None, "acme"])
    def test_one_of_two_makes_a_name(self, parent):
        above = project(parent) if parent else None

        answers = at_once.run(partial(create, "vision", above), partial(create, "vision", above))

        assert sorted(type(answer).__name__ for answer in answers) == ["Project", "ProjectNameTaken"]

    def test_a_child_is_made_below_the_name_that_its_parent_has_then(self):
        for round_number in range(5):
            vision = project(f"acme{round_number}/vision")

            answers = at_once.run(
                partial(edit, project(f"acme{round_number}"), name=f"apex{round_number}"),
                partial(create, "ocr", vision),
            )

            assert not [answer for answer in answers if isinstance(answer, Exception)]
            assert Project.objects.get(parent=vision).path == f"apex{round_number}/vision/ocr"

    def test_two_renames_in_one_tree_both_count(self):
        acme, vision = project("acme"), project("acme/vision")
        project("acme/vision/ocr")

        answers = at_once.run(partial(edit, acme, name="apex"), partial(edit, vision, name="sight"))

        assert not [answer for answer in answers if isinstance(answer, Exception)]
        assert set(Project.objects.values_list("path", flat=True)) == {"apex", "apex/sight", "apex/sight/ocr"}

    def test_nothing_is_made_below_what_is_being_archived(self):
        acme = project("acme")

        answers = at_once.run(partial(moved, projects.archive, acme), partial(create, "vision", acme))

        refused = [answer for answer in answers if isinstance(answer, Exception)]
        assert [type(answer) for answer in refused] in ([ProjectHasChildren], [ProjectArchived])
