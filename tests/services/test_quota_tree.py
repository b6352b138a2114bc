"""Any order of replacements, claims, releases and archives in a tree of projects: every row is what follows from them.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=500 looks for new ones.
"""

import os
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pools.domain.quota_fields import QuotaWanted
from pools.domain.quotas import Ask, Taken
from pools.models import Allocation, ChipModel, Quota
from pools.selectors import quota_counts
from pools.services import projects, quota_use, quotas
from tests.factories import ALICE, NOW, granted, pool, project

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "15"))
PATHS = ["acme", "acme/vision", "acme/vision/ocr", "acme/vision/ocr/fast", "acme/audio"]
MODEL = "nvidia-h100-80gb"
MILLI, PICKS = st.integers(0, 8), st.integers(0, 100)
LIMITS = st.none() | st.integers(0, 8)
ROW = st.builds(
    QuotaWanted, model=st.sampled_from([None, MODEL]), pools=st.sampled_from([None, ["lab"]]), nominal_milli=MILLI,
    borrow_limit_milli=LIMITS, lend_limit_milli=LIMITS, hard_limit_milli=LIMITS,
)  # fmt: skip
ROWS = st.lists(ROW, max_size=4, unique_by=lambda row: (row.model, str(row.pools)))


class Tree(RuleBasedStateMachine):
    """Services on real rows, which are then compared with what a count from nothing says."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = transaction.savepoint()
        self.projects = {path: project(path) for path in PATHS}
        self.model = ChipModel.objects.create(slug=MODEL, vendor="nvidia", name="H100", created_at=NOW)
        self.pools = [granted(pool(name), self.projects["acme"]) for name in ("lab", "edge")]
        self.held: list[tuple[Ask, UUID]] = []

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.mark)

    @rule(path=st.sampled_from(PATHS), rows=ROWS)
    def replace(self, path, rows):
        quotas.replace(project_id=self.projects[path].pk, rows=rows, actor=ALICE, now=NOW)

    @rule(path=st.sampled_from(PATHS), milli=st.integers(1, 4), lab=st.integers(0, 1))
    def take(self, path, milli, lab):
        where = self.pools[lab]
        ask = Ask(tuple(self.projects[path].lineage), self.model.pk, None, where.pk, milli, milli)
        book = quota_use.locked([ask])
        found = book.take(ask)
        quota_use.store(book)
        if isinstance(found, Taken):
            made = Allocation.objects.create(
                project=self.projects[path], state="claimed", spec={}, members=1, devices_per_member=1, pool=where,
                model=self.model, milli=milli, units_milli=milli, created_at=NOW, changed_at=NOW,
            )  # fmt: skip
            self.held.append((ask, made.pk))

    @precondition(lambda self: self.held)
    @rule(pick=PICKS)
    def give_back(self, pick):
        ask, allocation_id = self.held.pop(pick % len(self.held))
        book = quota_use.locked([ask])
        book.give_back(ask)
        quota_use.store(book)
        Allocation.objects.filter(pk=allocation_id).update(state="releasing")
        Allocation.objects.filter(pk=allocation_id).update(state="released", ended_at=NOW)

    @rule()
    def archive_and_restore_a_leaf(self):
        for service in (projects.archive, projects.restore):
            service(project_id=self.projects["acme/audio"].pk, actor=ALICE, now=NOW)
        assert not Quota.objects.filter(project=self.projects["acme/audio"]).exists()

    @invariant()
    def every_counter_is_right(self):
        assert quota_counts.checked().miscounts == []

    @invariant()
    def above_every_row_is_the_nearest_of_its_scope(self):
        rows = list(Quota.objects.select_related("project"))
        for row in rows:
            above = [
                each
                for each in rows
                if each.project_id in row.project.lineage[:-1]
                and (each.model_id, each.profile, each.pools) == (row.model_id, row.profile, row.pools)
            ]
            nearest = max(above, key=lambda each: each.depth, default=None)
            assert row.parent_id == (nearest and nearest.pk) and row.depth == len(row.project.lineage)


def test_any_order_of_changes_keeps_every_row_right():
    run_state_machine_as_test(
        Tree,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize="OCENTER_MACHINE_EXAMPLES" not in os.environ,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
