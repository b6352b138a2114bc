"""Quotas: what fits, who binds whom, and what is kept for whom. Cases of Kueue's cohorts among them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pools.domain import quota_trees, quotas, reclaim
from pools.domain.quota_books import Book
from pools.domain.quotas import Ask, Row, Shortfall, Taken

NAMES = UUID("01900000-0000-7000-8000-000000000000")
H100, A100 = uuid5(NAMES, "model h100"), uuid5(NAMES, "model a100")
LAB, EDGE = uuid5(NAMES, "pool lab"), uuid5(NAMES, "pool edge")


def lineage(path):
    """The ids from the root down to the project of this path."""
    parts = path.split("/")
    return tuple(uuid5(NAMES, "/".join(parts[: depth + 1])) for depth in range(len(parts)))


def row(path, nominal, *, model=H100, profile=None, pools=None, **limits):
    """A quota of the project; limits are given as borrow, lend, hard and used."""
    line = lineage(path)
    given_name = {"borrow": "borrow_limit_milli", "lend": "lend_limit_milli", "hard": "hard_limit_milli"}
    return Row(
        id=uuid5(line[-1], f"{model} {profile} {pools}"), project_id=line[-1], model_id=model, profile=profile,
        pools=pools, parent_id=None, depth=len(line), nominal_milli=nominal,
        **{given_name[name]: value for name, value in limits.items()},
    )  # fmt: skip


class Tenant:
    """The quotas of a tree with a book of them all."""

    def __init__(self, *paths_and_rows):
        self.rows = list(paths_and_rows)
        known = {project: lineage(path) for path in PATHS for project in lineage(path)[-1:]}
        quota_trees.arrange(self.rows, known)
        self.book = Book(self.rows)

    def take(self, path, milli, **more):
        return self.book.take(ask(path, milli, **more))

    def give_back(self, path, milli, **more):
        self.book.give_back(ask(path, milli, **more))

    def used(self):
        return [each.used_milli for each in self.rows]

    def open(self):
        return [each.open_guarantee_milli for each in self.rows]


PATHS = ("acme", "acme/vision", "acme/audio", "acme/text", "acme/vision/ocr", "acme/vision/video", "acme/a/b/c")


def ask(path, milli, *, model=H100, profile=None, pool=LAB, units=None):
    return Ask(lineage(path), model, profile, pool, milli, milli if units is None else units)


def refused(found, kind, available=None):
    assert isinstance(found, Shortfall) and found.kind == kind, found
    assert available is None or found.available_milli == available, found
    return True


class TestAnAsk:
    def test_is_counted_in_every_row_from_its_project_to_the_root(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000), row("acme/vision/ocr", 4000), row("acme/audio", 9))

        taken = tenant.take("acme/vision/ocr", 2000)

        assert tenant.used() == [2000, 2000, 2000, 0]
        assert taken == Taken(tuple(sorted(each.id for each in tenant.rows[:3])), False)

    def test_without_a_quota_of_its_project_or_its_root_is_refused(self):
        only_root, only_own = Tenant(row("acme", 8000)), Tenant(row("acme/vision", 8000))

        assert refused(only_root.take("acme/vision", 1), "no_quota", 0)
        assert refused(only_own.take("acme/vision", 1), "no_quota", 0)
        assert refused(Tenant().take("acme", 1), "no_quota", 0)

    def test_is_not_bound_by_projects_between_that_have_none(self):
        tenant = Tenant(row("acme", 8000), row("acme/a/b/c", 8000))

        assert isinstance(tenant.take("acme/a/b/c", 8000), Taken)

    def test_of_the_root_itself_needs_the_one_row(self):
        tenant = Tenant(row("acme", 1000))

        assert isinstance(tenant.take("acme", 1000), Taken)
        assert refused(tenant.take("acme", 1), "nominal", 0)

    def test_for_nothing_needs_no_quota(self):
        assert Tenant().take("acme", 0) == Taken((), False)

    def test_that_is_refused_is_counted_nowhere(self):
        tenant = Tenant(row("acme", 1000), row("acme/vision", 8000))

        found = tenant.take("acme/vision", 2000)

        assert refused(found, "nominal", 1000) and found.row is tenant.rows[0] and found.wanted_milli == 2000
        assert tenant.used() == [0, 0] and tenant.book.changed() == []

    def test_beyond_the_hard_limit_is_refused_whatever_the_nominal_and_what_could_be_borrowed(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000, hard=5000))

        assert isinstance(tenant.take("acme/vision", 5000), Taken)
        assert refused(tenant.take("acme/vision", 1), "hard_limit", 0)

    def test_must_fit_into_all_rows_that_match(self):
        tenant = Tenant(
            row("acme", 8000), row("acme", 1000, profile="1g.10gb"), row("acme", 3000, model=None),
        )  # fmt: skip

        assert refused(tenant.take("acme", 1250, profile="1g.10gb", units=1250), "nominal", 1000)
        assert refused(tenant.take("acme", 2000, units=4000), "nominal", 3000)
        assert isinstance(tenant.take("acme", 1000, profile="1g.10gb", units=2000), Taken)
        assert isinstance(tenant.take("acme", 500, units=1000), Taken)
        assert tenant.used() == [1500, 1000, 3000]

    def test_is_not_counted_where_another_model_profile_or_pool_is(self):
        tenant = Tenant(
            row("acme", 0, model=A100), row("acme", 0, profile="2g.20gb"), row("acme", 0, pools=[EDGE]),
            row("acme", 1000, pools=[EDGE, LAB]),
        )  # fmt: skip

        assert isinstance(tenant.take("acme", 1000, profile="1g.10gb"), Taken)

        assert tenant.used() == [0, 0, 0, 1000]

    @given(milli=st.integers(1, 10**9), factor=st.integers(1, 50_000))
    def test_takes_compute_units_rounded_up(self, milli, factor):
        units = quotas.compute_units(milli, factor)

        assert (units - 1) * 1000 < milli * factor <= units * 1000

    def test_is_overtaken_by_no_other_of_its_batch_that_is_easier_to_count(self):
        tenant = Tenant(row("acme", 1000, model=None), row("acme", 5000), row("acme/vision", 5000),
                        row("acme/audio", 1000, model=None))  # fmt: skip

        first, second = tenant.book.take_all([ask("acme/vision", 1000), ask("acme/audio", 1000)])

        assert isinstance(first, Taken) and isinstance(second, Shortfall)


class TestBorrowing:
    def test_takes_what_siblings_leave_and_says_so(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000), row("acme/audio", 4000))

        first, second = tenant.take("acme/vision", 4000), tenant.take("acme/vision", 3000)

        assert (first.is_borrowed, second.is_borrowed) == (False, True)
        assert refused(tenant.take("acme/vision", 2000), "nominal", 1000)  # the root binds

    def test_ends_at_the_borrow_limit(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000, borrow=1000), row("acme/audio", 4000))

        assert refused(tenant.take("acme/vision", 6000), "nominal", 5000)
        assert isinstance(tenant.take("acme/vision", 5000), Taken)

    def test_is_not_for_a_row_without_one_above(self):
        root = Tenant(row("acme", 4000, borrow=4000))
        alone = Tenant(row("acme", 9000, model=None), row("acme/vision", 4000, borrow=4000))

        assert refused(root.take("acme", 5000), "nominal", 4000)
        assert refused(alone.take("acme/vision", 5000), "nominal", 4000)

    def test_leaves_what_siblings_do_not_lend(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000), row("acme/audio", 4000, lend=1000))

        assert refused(tenant.take("acme/vision", 6000), "guarantee", 5000)
        assert isinstance(tenant.take("acme/vision", 5000), Taken)
        assert isinstance(tenant.take("acme/audio", 3000), Taken)

    def test_of_all_that_is_lent_leaves_nothing_to_a_sibling_until_it_is_given_back(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000), row("acme/audio", 4000))
        tenant.take("acme/vision", 8000)

        assert refused(tenant.take("acme/audio", 1000), "nominal", 0)
        tenant.give_back("acme/vision", 2000)

        assert isinstance(tenant.take("acme/audio", 2000), Taken)

    def test_by_one_makes_no_other_eat_a_third_ones_guarantee(self):
        tenant = Tenant(
            row("acme", 6000), row("acme/vision", 0), row("acme/audio", 3000), row("acme/text", 3000, lend=0)
        )
        tenant.take("acme/vision", 3000)

        # audio is within its nominal, but that is lent out: what is left belongs to text.
        assert refused(tenant.take("acme/audio", 3000), "guarantee", 0)
        assert isinstance(tenant.take("acme/text", 3000), Taken)

    def test_children_may_be_promised_more_than_there_is_and_the_parent_binds(self):
        tenant = Tenant(row("acme", 4000), row("acme/vision", 4000), row("acme/audio", 4000))

        assert isinstance(tenant.take("acme/vision", 3000), Taken)
        assert refused(tenant.take("acme/audio", 2000), "nominal", 1000)

    def test_of_a_row_in_the_middle_is_bound_by_its_own_limit(self):
        tenant = Tenant(row("acme", 9000), row("acme/vision", 2000, borrow=1000), row("acme/vision/ocr", 2000))

        assert refused(tenant.take("acme/vision/ocr", 4000), "nominal", 3000)
        assert tenant.take("acme/vision/ocr", 3000).is_borrowed


class TestAGuarantee:
    def test_is_kept_from_what_the_project_above_takes_for_itself(self):
        tenant = Tenant(row("acme", 4000), row("acme/vision", 3000, lend=0))

        assert refused(tenant.take("acme", 2000), "guarantee", 1000)
        assert isinstance(tenant.take("acme", 1000), Taken)
        assert isinstance(tenant.take("acme/vision", 3000), Taken)

    def test_is_closed_as_far_as_it_is_used_and_opens_again(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000, lend=1000))
        assert tenant.open() == [3000, 0]

        tenant.take("acme/vision", 2000)
        assert tenant.open() == [1000, 0]
        tenant.take("acme/vision", 2000)
        assert tenant.open() == [0, 0]
        tenant.give_back("acme/vision", 4000)

        assert tenant.open() == [3000, 0] and tenant.book.changed() == []

    def test_is_the_sum_of_what_is_kept_for_each_and_never_for_others(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000, lend=1000), row("acme/audio", 2000, lend=0))

        tenant.take("acme/vision", 4000)

        assert tenant.open() == [2000, 0, 0]

    def test_covers_a_part_and_the_rest_is_borrowed(self):
        tenant = Tenant(row("acme", 6000), row("acme/vision", 2000, lend=0), row("acme/audio", 2000, lend=0))

        assert refused(tenant.take("acme/vision", 5000), "guarantee", 4000)
        assert isinstance(tenant.take("acme/vision", 4000), Taken)
        assert tenant.open() == [2000, 0, 0]

    def test_of_a_grandchild_is_not_worth_less_for_what_others_beside_it_borrow(self):
        tenant = Tenant(
            row("acme", 4000), row("acme/vision", 4000, lend=2000), row("acme/vision/ocr", 2000, lend=0),
            row("acme/vision/video", 2000), row("acme/audio", 0),
        )  # fmt: skip
        tenant.take("acme/vision/video", 2000)  # of what vision lends, for the rest is promised to ocr

        assert refused(tenant.take("acme/audio", 1), "guarantee", 0)
        assert isinstance(tenant.take("acme/vision/ocr", 2000), Taken)

    def test_promised_below_is_worth_no_more_than_the_own_one(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 2000, lend=0), row("acme/vision/ocr", 9000, lend=0))

        assert tenant.open() == [2000, 9000, 0]
        assert refused(tenant.take("acme", 7000), "guarantee", 6000)

    def test_is_no_more_than_the_hard_limit_lets_one_use(self):
        tenant = Tenant(row("acme", 4000), row("acme/vision", 4000, lend=0, hard=1000))

        assert tenant.open() == [1000, 0]


class TestALimitBelowWhatIsUsed:
    def test_refuses_only_what_is_new(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 8000), row("acme/audio", 8000))
        tenant.take("acme/vision", 3000)

        tenant.rows[1].hard_limit_milli = 1000
        tenant.book = Book(tenant.rows)

        assert refused(tenant.take("acme/vision", 1000), "hard_limit", 0)
        assert isinstance(tenant.take("acme/audio", 5000), Taken)
        tenant.give_back("acme/vision", 3000)
        assert isinstance(tenant.take("acme/vision", 1000), Taken)


class TestTheBook:
    def test_tells_what_changed_as_differences(self):
        tenant = Tenant(row("acme", 8000), row("acme/vision", 4000, lend=0), row("acme/audio", 4000))
        tenant.take("acme/vision", 3000)
        tenant.take("acme/vision", 500)
        tenant.give_back("acme/vision", 1000)

        changes = {
            change.quota_id: (change.used_milli, change.open_guarantee_milli) for change in tenant.book.changed()
        }

        assert changes == {tenant.rows[0].id: (2500, -2500), tenant.rows[1].id: (2500, 0)}

    def test_gives_back_more_than_is_counted_down_to_nothing(self):
        tenant = Tenant(row("acme", 8000))
        tenant.take("acme", 1000)

        tenant.give_back("acme", 2000)

        assert tenant.used() == [0]

    def test_gives_back_to_a_row_that_came_after_the_claim(self):
        tenant = Tenant(row("acme", 8000))
        tenant.take("acme", 1000)
        units = row("acme", 8000, model=None)
        units.used_milli = 1000  # as counted when it was made

        later = Book([*tenant.rows, units])
        later.give_back(ask("acme", 1000))

        assert (tenant.rows[0].used_milli, units.used_milli) == (0, 0)


class TestRoom:
    @pytest.mark.parametrize(("used_by_audio", "expected"), [(0, 5000), (3000, 5000), (4000, 4000), (5000, 3000)])
    def test_is_what_one_may_take_now_with_all_rows_above(self, used_by_audio, expected):
        tenant = Tenant(
            row("acme", 8000), row("acme/vision", 4000, lend=1000, borrow=1000), row("acme/audio", 3000, lend=0),
        )  # fmt: skip
        tenant.take("acme/audio", used_by_audio)

        found = quotas.room([tenant.rows[1], tenant.rows[0]])

        assert found == expected
        assert isinstance(tenant.take("acme/vision", found), Taken)

    def test_of_what_is_over_its_limit_is_nothing(self):
        tenant = Tenant(row("acme", 8000))
        tenant.take("acme", 8000)
        tenant.rows[0].nominal_milli = 1000

        assert quotas.room(tenant.rows) == 0


class TestReclaiming:
    def holding(self, name, *, is_borrowed=True, priority=50, age=0, borrowed=1000, weight=1):
        created_at = datetime(2026, 11, 25, tzinfo=UTC) - timedelta(minutes=age)
        return reclaim.Holding(uuid5(NAMES, name), is_borrowed, priority, created_at, borrowed, weight)

    def test_takes_nothing_from_who_stays_within_the_nominal(self):
        assert reclaim.order([self.holding("own", is_borrowed=False)]) == []

    def test_begins_with_the_lowest_priority_then_the_largest_share_for_its_weight_then_the_youngest(self):
        urgent = self.holding("urgent", priority=90, borrowed=9000)
        heavy = self.holding("heavy", borrowed=6000, weight=10)
        light = self.holding("light", borrowed=2000, weight=1)
        old = self.holding("old", borrowed=2000, weight=1, age=60)
        idle = self.holding("idle", priority=10, borrowed=1)

        order = reclaim.order([urgent, heavy, old, light, idle])

        assert order == [idle, light, old, heavy, urgent]
