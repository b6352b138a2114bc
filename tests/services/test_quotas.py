"""Quotas as rows: what a replacement changes and leaves, what it refuses, and what happens at the same moment."""

from functools import partial
from threading import Event

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pools.domain import ids
from pools.domain.access import Access, Binding
from pools.domain.actors import Actor
from pools.domain.errors import Invalid, ProjectArchived, ProjectChanged
from pools.domain.quota_fields import QuotaWanted
from pools.domain.quotas import Ask, Shortfall, Taken
from pools.models import Allocation, AuditEvent, ChipModel, Pool, Profile, Project, Quota
from pools.selectors import quota_counts
from pools.services import projects, quota_use, quotas, writing
from tests.factories import ALICE, NOW, granted, pool, project
from tests.services import at_once

H100, A100 = "nvidia-h100-80gb", "nvidia-a100-80gb"


def a_model(slug=H100):
    return ChipModel.objects.get_or_create(slug=slug, defaults={"vendor": "nvidia", "name": slug, "created_at": NOW})[0]


def quota(nominal_milli=8000, model=H100, **more):
    return QuotaWanted(model=model, nominal_milli=nominal_milli, **more)


def replace(which, *rows, generation=None, actor=ALICE):
    return quotas.replace(project_id=which.pk, rows=rows, generation=generation, actor=actor, now=NOW)


def row(which, **scope):
    return Quota.objects.get(project=which, **scope)


def ask(which, milli=1000, *, lab=None, profile=None, model=H100):
    lineage = tuple(Project.objects.get(pk=which.pk).lineage)
    return Ask(lineage, a_model(model).pk, profile, lab.pk if lab else ids.new_id(), milli, milli)


def take(wanted):
    """What a claim does, with the allocation that it leaves."""
    with transaction.atomic():
        book = quota_use.locked([wanted])
        found = book.take(wanted)
        if isinstance(found, Taken):
            quota_use.store(book)
            found = allocation(wanted, found)
    return found


def allocation(wanted, taken=None):
    return Allocation.objects.create(
        project_id=wanted.lineage[-1], state="claimed", spec={}, members=1, devices_per_member=1,
        pool=Pool.objects.filter(pk=wanted.pool_id).first(), model_id=wanted.model_id, profile=wanted.profile,
        milli=wanted.milli, units_milli=wanted.units_milli,
        quota_ids=taken.quota_ids if taken else [], created_at=NOW, changed_at=NOW,
    )  # fmt: skip


def give_back(wanted, held):
    with transaction.atomic():
        book = quota_use.locked([wanted])
        book.give_back(wanted)
        quota_use.store(book)
        Allocation.objects.filter(pk=held.pk).update(state="releasing")
        Allocation.objects.filter(pk=held.pk).update(state="released", ended_at=NOW)


def fields(refusal):
    return [(wrong.field, wrong.code) for wrong in refusal.value.fields]


@pytest.fixture
def acme(db):
    a_model()
    return project("acme")


@pytest.mark.django_db
class TestReplacing:
    def test_leaves_exactly_the_rows_given(self, acme):
        a_model(A100)
        replace(acme, quota(1000), quota(2000, A100, weight=3))

        replace(acme, quota(4000), quota(5000, None, hard_limit_milli=6000))

        found = Quota.objects.order_by("id").values_list("model__slug", "nominal_milli", "hard_limit_milli", "weight")
        assert list(found) == [(H100, 4000, None, 1), (None, 5000, 6000, 1)]

    def test_keeps_the_row_of_a_scope_and_what_it_counts(self, acme):
        replace(acme, quota(4000))
        before = row(acme)
        take(ask(acme, 3000))

        replace(acme, quota(2000, lend_limit_milli=0))

        after = row(acme)
        assert (after.pk, after.used_milli, after.nominal_milli) == (before.pk, 3000, 2000)
        assert isinstance(take(ask(acme)), Shortfall)

    def test_by_the_same_changes_nothing(self, acme):
        lab, edge = granted(pool(), acme), granted(pool("edge"), acme)
        replace(acme, quota(1000), quota(pools=["lab", "edge"]))
        generation = Project.objects.get().generation

        again = replace(acme, quota(pools=[str(edge.pk), str(lab.pk)]), quota(1000), generation=generation)

        assert again.generation == generation
        assert AuditEvent.objects.filter(action="quota.replaced").count() == 1

    def test_is_told_in_the_audit_with_what_was_and_is(self, acme):
        granted(pool(), acme)
        replace(acme, quota(1000), quota(5, pools=["lab"]), quota(7, None))

        replace(acme, quota(2000), quota(7, None))

        event = AuditEvent.objects.filter(action="quota.replaced").latest("id")
        told = [(each["model"], each["pools"], each["nominal_milli"]) for each in event.before["quotas"]]
        assert sorted(told, key=str) == [(H100, None, 1000), (H100, ["lab"], 5)]
        assert [each["nominal_milli"] for each in event.after["quotas"]] == [2000]
        assert (event.project_id, event.object_id) == (acme.pk, str(acme.pk))

    def test_of_an_older_generation_or_an_archived_project_is_refused(self, acme):
        replace(acme, quota(), generation=1)

        with pytest.raises(ProjectChanged):
            replace(acme, generation=1)
        projects.archive(project_id=acme.pk, actor=ALICE, now=NOW)
        with pytest.raises(ProjectArchived):
            replace(acme)

    def test_links_a_row_to_the_nearest_one_of_its_scope_above(self, acme):
        vision, ocr = project("acme/vision"), project("acme/vision/ocr")
        replace(ocr, quota(3000, lend_limit_milli=1000), quota(1, None))
        replace(acme, quota(8000))
        assert row(ocr, model=a_model()).parent == row(acme) and row(acme).open_guarantee_milli == 2000

        replace(vision, quota(4000, lend_limit_milli=3000))

        assert row(ocr, model=a_model()).parent == row(vision) and row(vision).parent == row(acme)
        assert (row(vision).open_guarantee_milli, row(acme).open_guarantee_milli) == (2000, 1000)
        assert row(ocr, model=None).parent is None

        replace(vision)

        assert row(ocr, model=a_model()).parent == row(acme) and row(acme).open_guarantee_milli == 2000

    def test_leaves_the_rows_of_other_tenants_and_of_other_branches(self, acme):
        vision, other = project("acme/vision"), project("umbrella")
        for each in (vision, other):
            replace(each, quota(1000))
        before = (row(vision).generation, row(other).generation)

        replace(acme, quota(8000))
        replace(project("acme/audio"), quota(500))

        assert row(other).generation == before[1] and row(other).parent is None
        assert row(vision).generation == before[0] + 1  # once: there is a row above it now

    def test_begins_a_new_row_with_what_is_used_already(self, acme):
        lab, edge = granted(pool(), acme), granted(pool("edge"), acme)
        Profile.objects.create(model=a_model(), name="1g.10gb", kind="mig", milli=125, memory_mib=1, max_per_device=7)
        vision = project("acme/vision")
        replace(acme, quota(8000))
        replace(vision, quota(8000))
        for wanted in (ask(vision, 2000, lab=lab), ask(vision, 125, lab=edge, profile="1g.10gb"), ask(acme, 500)):
            take(wanted)

        replace(acme, quota(8000), quota(9, profile="1g.10gb"), quota(9, pools=["lab"]), quota(9, None))

        assert row(acme, profile="1g.10gb").used_milli == 125
        assert row(acme, pools=[lab.pk]).used_milli == 2000
        assert row(acme, model=None).used_milli == 2625

    def test_to_nothing_while_in_use_gives_nothing_new_and_takes_what_is_given_back(self, acme):
        replace(acme, quota(4000))
        wanted = ask(acme, 3000)
        held = take(wanted)

        replace(acme)
        assert take(ask(acme)).kind == "no_quota"
        replace(acme, quota(4000))

        assert row(acme).used_milli == 3000
        give_back(wanted, held)
        assert row(acme).used_milli == 0

    def test_of_a_project_takes_a_few_queries_however_many_rows_there_are(self, acme):
        for slug in (A100, "a", "b", "c", "d", "e", "f"):
            a_model(slug)
        with CaptureQueriesContext(connection) as few:
            replace(acme, quota(1000))
        replace(acme)

        with CaptureQueriesContext(connection) as many:
            replace(acme, *[quota(1000, slug) for slug in (H100, A100, "a", "b", "c", "d", "e", "f")])

        assert len(many) == len(few)

    def test_is_part_of_an_archive(self, acme):
        """What nobody can use is not kept from the others."""
        vision = project("acme/vision")
        replace(acme, quota(4000))
        replace(vision, quota(3000, lend_limit_milli=0))
        assert row(acme).open_guarantee_milli == 3000

        projects.archive(project_id=vision.pk, actor=ALICE, now=NOW)

        assert row(acme).open_guarantee_milli == 0 and not Quota.objects.filter(project=vision).exists()
        event = AuditEvent.objects.get(action="project.archived")
        assert [each["nominal_milli"] for each in event.before["quotas"]] == [3000]


@pytest.mark.django_db
class TestMistakes:
    def test_are_told_all_at_once_by_their_fields(self, acme):
        granted(pool("edge"), project("umbrella"))
        granted(pool("lab"), acme)
        Profile.objects.create(model=a_model(), name="1g.10gb", kind="mig", milli=1, memory_mib=1, max_per_device=7)

        with pytest.raises(Invalid) as refusal:
            replace(
                acme,
                quota(-1, hard_limit_milli=2**63, weight=0),
                quota(1, "nvidia-h100-80g"),
                quota(1, None, profile="1g.10gb"),
                quota(1, profile="2g.10gb"),
                quota(1, pools=["lab", "edge", "labs"]),
                quota(1, pools=[]),
                quota(2, pools=["lab"]),
                quota(3, pools=["lab", "lab"]),
            )

        assert fields(refusal) == [
            ("[0].nominal_milli", "out_of_range"),
            ("[0].hard_limit_milli", "out_of_range"),
            ("[0].weight", "out_of_range"),
            ("[2].profile", "no_model"),
            ("[5].pools", "required"),
            ("[1].model", "bad_value"),
            ("[3].profile", "bad_value"),
            ("[4].pools[1]", "not_granted"),
            ("[4].pools[2]", "bad_value"),
            ("[7]", "duplicate"),
        ]
        told = {wrong.field: wrong.detail for wrong in refusal.value.fields}
        assert "Is nvidia-h100-80gb meant?" in told["[1].model"] and "Is 1g.10gb meant?" in told["[3].profile"]
        assert "Is lab meant?" in told["[4].pools[2]"] and "[6]" in told["[7]"]
        assert not Quota.objects.exists()

    def test_about_pools_tell_nothing_of_those_that_one_may_not_know(self, acme):
        pool("secret")
        granted(pool("lab"), acme)
        vision = project("acme/vision")
        olga = Actor("olga", access=Access(user_name="olga", bindings=(Binding("owner", tuple(acme.lineage)),)))

        answers = []
        for word in ("secret", "made-up"):
            with pytest.raises(Invalid) as refusal:
                replace(vision, quota(1, pools=[word]), actor=olga)
            answers.append(refusal.value.fields[0].detail.replace(word, ""))

        assert answers[0] == answers[1]
        replace(vision, quota(1, pools=["lab"]), actor=olga)

    def test_are_too_many_rows(self, acme):
        with pytest.raises(Invalid, match="at most 1000"):
            replace(acme, *[quota(1)] * 1001)

    def test_are_told_up_to_some_number(self, acme):
        """To look for the nearest name takes time."""
        with pytest.raises(Invalid) as refusal:
            replace(acme, *[quota(1, pools=["x"] * 101)] * 1000)

        assert fields(refusal)[:2] == [("[0].pools", "too_many"), ("[1].pools", "too_many")]
        assert len([field for field, code in fields(refusal) if code == "bad_value"]) == 100

    def test_are_none_in_a_pool_that_only_a_project_below_may_use(self, acme):
        granted(pool("lab"), project("acme/vision"))

        replace(acme, quota(1, pools=["lab"]))

    def test_are_none_in_what_is_there_already_though_the_pool_is_gone(self, acme):
        lab = granted(pool("lab"), acme)
        replace(acme, quota(1, pools=["lab"]))
        lab.grants.all().delete()
        type(lab).objects.filter(pk=lab.pk).update(state="removed", removed_at=NOW)

        replace(acme, quota(2, pools=[str(lab.pk)]))

        assert row(acme).nominal_milli == 2


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_no_more_is_taken_than_there_is(self, transactional_db):
        a_model()
        acme, vision, audio = project("acme"), project("acme/vision"), project("acme/audio")
        replace(acme, quota(8000))
        replace(vision, quota(4000, borrow_limit_milli=1000))
        replace(audio, quota(4000, lend_limit_milli=1000))

        answers = at_once.run(*[partial(take, ask(each)) for each in (vision, audio) * 8])

        refused = [answer for answer in answers if isinstance(answer, Shortfall)]
        assert {type(answer) for answer in answers} == {Allocation, Shortfall}
        assert len(answers) - len(refused) == row(acme).used_milli // 1000 == 8
        # All of vision may be lent, so it is whoever comes first; of audio three are never.
        assert row(vision).used_milli <= 5000 and row(audio).used_milli >= 3000
        assert quota_counts.checked().miscounts == []

    def test_takes_and_releases_leave_the_counters_right(self):
        a_model()
        acme, vision, ocr = project("acme"), project("acme/vision"), project("acme/vision/ocr")
        replace(acme, quota(8000))
        replace(vision, quota(4000, lend_limit_milli=2000))
        replace(ocr, quota(4000, lend_limit_milli=0))

        def again_and_again(which):
            for _ in range(5):
                wanted = ask(which, 1500)
                held = take(wanted)
                if isinstance(held, Allocation):
                    give_back(wanted, held)

        answers = at_once.run(*[partial(again_and_again, each) for each in (vision, ocr, vision, ocr)])

        assert answers == [None] * 4
        assert quota_counts.checked().miscounts == [] and row(acme).used_milli == 0

    def test_a_claim_that_waited_for_a_new_row_counts_in_it(self):
        """The statement that waited began before the row was there."""
        a_model()
        acme, vision = project("acme"), project("acme/vision")
        replace(acme, quota(8000))
        replace(vision, quota(8000))

        held_back = _held_back(partial(replace, vision, quota(8000), quota(5000, None)), partial(take, ask(vision)))

        assert isinstance(held_back, Allocation) and row(vision, model=None).used_milli == 1000
        assert quota_counts.checked().miscounts == []

    def test_a_release_that_waited_for_the_last_row_to_go_counts_in_the_one_that_came(self):
        a_model()
        acme = project("acme")
        replace(acme, quota(8000))
        wanted = ask(acme)
        held = take(wanted)

        answer = _held_back(partial(replace, acme, quota(8000, None)), partial(give_back, wanted, held))

        assert answer is None and row(acme).used_milli == 0
        assert quota_counts.checked().miscounts == []


def _held_back(first, second):
    """Run the second while the first has done all but its commit; return what the second answered."""
    has_done, may_commit = Event(), Event()

    def hold():
        with writing.request():
            first()
            has_done.set()
            may_commit.wait(10)

    def wait():
        has_done.wait(10)
        return second()

    def let_go():
        has_done.wait(10)
        _wait_for_a_waiter()
        may_commit.set()

    answers = at_once.run(hold, wait, let_go)
    assert not [each for each in answers if isinstance(each, Exception)], answers
    return answers[1]


def _wait_for_a_waiter():
    for _ in range(200):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        Event().wait(0.05)
    raise AssertionError("nobody waits")


@pytest.mark.django_db
class TestTheUse:
    def test_is_read_locked_and_stored_in_two_statements(self, acme, django_assert_num_queries):
        vision = project("acme/vision")
        replace(acme, quota(8000), quota(9000, None))
        replace(vision, quota(8000))
        asks = [ask(vision), ask(vision, 2000), ask(acme)]

        with django_assert_num_queries(2):
            book = quota_use.locked(asks)
            assert all(isinstance(book.take(each), Taken) for each in asks)
            quota_use.store(book)

        assert (row(vision).used_milli, row(acme, model=None).used_milli) == (3000, 4000)

    def test_that_is_only_tried_is_read_in_one_and_changes_nothing(self, acme, django_assert_num_queries):
        replace(acme, quota(8000))
        wanted = ask(acme)

        with django_assert_num_queries(1):
            assert isinstance(quota_use.read([wanted]).take(wanted), Taken)

        assert row(acme).used_milli == 0

    def test_of_nothing_asks_for_nothing_and_stores_nothing(self, acme, django_assert_num_queries):
        with django_assert_num_queries(0):
            quota_use.store(quota_use.locked([]))

    def test_is_never_stored_below_nothing(self, acme):
        replace(acme, quota(8000))
        wanted = ask(acme)
        take(wanted)
        book = quota_use.read([wanted])
        book.give_back(wanted)
        Quota.objects.update(used_milli=500)  # somebody was quicker, for the row was not locked

        with pytest.raises(RuntimeError, match="locked"):
            quota_use.store(book)

        assert row(acme).used_milli == 500


@pytest.mark.django_db
class TestTheCount:
    def test_is_right_after_claims(self, acme):
        vision = project("acme/vision")
        replace(acme, quota(8000))
        replace(vision, quota(4000, lend_limit_milli=0))
        take(ask(vision, 3000))

        assert quota_counts.checked() == (2, [])

    def test_names_each_counter_that_is_wrong(self, acme, django_assert_num_queries):
        vision = project("acme/vision")
        replace(acme, quota(8000))
        replace(vision, quota(4000, lend_limit_milli=0))
        take(ask(vision, 3000))
        Quota.objects.filter(project=vision).update(used_milli=2000)

        with django_assert_num_queries(1):
            found = quota_counts.checked()

        assert [each[1:] for each in found.miscounts] == [("acme/vision", H100, None, "used_milli", 2000, 3000)]
        Quota.objects.filter(project=acme).update(open_guarantee_milli=0)
        told = [each[1:] for each in quota_counts.checked().miscounts]
        assert ("acme", H100, None, "open_guarantee_milli", 0, 1000) in told

    def test_counts_only_what_holds_something(self, acme):
        replace(acme, quota(8000))
        allocation(ask(acme))
        Allocation.objects.update(state="releasing")
        assert quota_counts.used([row(acme).pk]) == {row(acme).pk: 1000}

        Allocation.objects.update(state="released", ended_at=NOW)

        assert quota_counts.used([row(acme).pk]) == {row(acme).pk: 0}
