"""Which projects may use a pool."""

import pytest

from pools.domain.errors import PoolChanged, PoolMissing, ProjectArchived, ProjectMissing
from pools.models import AuditEvent, PoolGrant
from pools.services import grants, projects
from tests.factories import ALICE, NOW, granted, pool, project

pytestmark = pytest.mark.django_db


def replace(which, *wanted, generation=None):
    ids = [each.pk for each in wanted]
    return grants.replace(pool_id=which.pk, project_ids=ids, generation=generation, actor=ALICE, now=NOW)


def paths(which):
    return set(PoolGrant.objects.filter(pool=which).values_list("project__path", flat=True))


class TestReplacing:
    def test_leaves_exactly_those_named(self):
        acme, umbrella, vision = project("acme"), project("umbrella"), project("acme/vision")
        lab, other = granted(pool(), acme, vision), granted(pool("other"), acme)

        replace(lab, vision, umbrella)

        assert paths(lab) == {"acme/vision", "umbrella"} and paths(other) == {"acme"}

    def test_by_nothing_lets_nobody(self):
        lab = granted(pool(), project("acme"))

        replace(lab)

        assert paths(lab) == set()

    def test_tells_of_each_project_who_gave_and_took_what(self):
        acme, umbrella = project("acme"), project("umbrella")
        lab = granted(pool(), acme)

        replace(lab, umbrella)

        events = AuditEvent.objects.filter(object_kind="pool", object_id=str(lab.pk)).order_by("action")
        assert [(each.action, each.project_id, each.before, each.after, each.actor) for each in events] == [
            ("pool.grant_revoked", acme.pk, {"project": "acme"}, None, "alice"),
            ("pool.granted", umbrella.pk, None, {"project": "umbrella"}, "alice"),
        ]

    def test_by_the_same_writes_nothing(self):
        acme = project("acme")
        lab = granted(pool(), acme)

        assert replace(lab, acme).generation == 1
        assert not AuditEvent.objects.filter(object_id=str(lab.pk)).exists()

    def test_of_an_older_generation_is_refused(self):
        acme, lab = project("acme"), pool()
        replace(lab, acme, generation=1)

        with pytest.raises(PoolChanged):
            replace(lab, generation=1)

    def test_takes_as_many_queries_for_many_as_for_few(self, django_assert_num_queries):
        lab = pool()
        many = [project(f"p{number}") for number in range(50)]

        with django_assert_num_queries(10):  # four of them are savepoints
            replace(lab, *many)

    def test_with_an_archived_or_unknown_project_changes_nothing(self):
        acme, gone, lab = project("acme"), project("gone"), pool()
        projects.archive(project_id=gone.pk, actor=ALICE, now=NOW)

        with pytest.raises(ProjectArchived):
            replace(lab, acme, gone)
        gone.pk = lab.pk
        with pytest.raises(ProjectMissing):
            replace(lab, acme, gone)

        assert paths(lab) == set()


class TestOneByOne:
    def test_adds_and_takes_and_says_nothing_twice(self):
        acme, lab = project("acme"), pool()

        for service in (grants.add, grants.add, grants.remove, grants.remove):
            service(pool_id=lab.pk, project_id=acme.pk, actor=ALICE, now=NOW)

        actions = AuditEvent.objects.filter(object_id=str(lab.pk)).order_by("id").values_list("action", flat=True)
        assert list(actions) == ["pool.granted", "pool.grant_revoked"] and paths(lab) == set()

    def test_of_no_pool_is_refused(self):
        acme = project("acme")

        with pytest.raises(PoolMissing):
            grants.add(pool_id=acme.pk, project_id=acme.pk, actor=ALICE, now=NOW)
