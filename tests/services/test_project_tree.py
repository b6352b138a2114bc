"""Any order of makings, renames, suspensions, archives and returns: the tree stays what a plain model says.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=500 looks for new ones.
"""

import os
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pools.domain.errors import (
    DomainError,
    Invalid,
    ProjectArchived,
    ProjectHasChildren,
    ProjectNameTaken,
    ProjectState,
    ProjectSuspended,
)
from pools.models import Project
from pools.selectors import projects as seen
from pools.services import projects
from tests.factories import ALICE, EVERYTHING, NOW

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "30"))
NAMES, PICKS = st.sampled_from(["a", "b", "a-b"]), st.integers(0, 50)


@dataclass
class Place:
    """A project as the model knows it."""

    name: str
    above: "Place | None"
    state: str = "active"
    project_id: UUID | None = None
    below: "list[Place]" = field(default_factory=list)

    def line(self) -> "list[Place]":
        return [*(self.above.line() if self.above else []), self]

    def path(self) -> str:
        return "/".join(each.name for each in self.line())

    def suspended(self) -> bool:
        return any(each.state == "suspended" for each in self.line())


class Tree(RuleBasedStateMachine):
    """The services against places in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []
        self.mark = transaction.savepoint()

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.mark)

    @initialize(depth=st.sampled_from([0, 2, 7]), name=NAMES)
    def begin_with_a_chain(self, depth, name):
        for _ in range(depth):
            self.make_below_the_deepest(name)

    @rule(name=NAMES)
    def make_a_tenant(self, name):
        self._make(name, None)

    @rule(name=NAMES, pick=PICKS)
    def make_below_any(self, name, pick):
        self._make(name, self._picked(pick))

    @rule(name=NAMES)
    def make_below_the_deepest(self, name):
        self._make(name, max(self.places, key=lambda place: len(place.line()), default=None))

    @rule(name=NAMES, pick=PICKS)
    def rename(self, name, pick):
        if (place := self._picked(pick)) is None:
            return
        refused = None
        if place.state == "archived":
            refused = ProjectArchived
        elif name != place.name and self._is_taken(name, place.above):
            refused = ProjectNameTaken
        self._expect(
            refused,
            lambda: projects.edit(project_id=place.project_id, changes={"name": name}, actor=ALICE, now=NOW),
        )
        if refused is None:
            place.name = name

    @rule(pick=PICKS)
    def suspend(self, pick):
        self._move(pick, projects.suspend, "suspended", lambda place: place.state != "active" and ProjectState)

    @rule(pick=PICKS)
    def resume(self, pick):
        self._move(pick, projects.resume, "active", lambda place: place.state != "suspended" and ProjectState)

    @rule(pick=PICKS)
    def archive(self, pick):
        def refused(place):
            if place.state == "archived":
                return ProjectState
            return any(child.state != "archived" for child in place.below) and ProjectHasChildren

        self._move(pick, projects.archive, "archived", refused)

    @rule(pick=PICKS)
    def restore(self, pick):
        def refused(place):
            if place.state != "archived":
                return ProjectState
            return self._closed(place.above) or (self._is_taken(place.name, place.above) and ProjectNameTaken)

        self._move(pick, projects.restore, "active", refused)

    @invariant()
    def the_tree_is_what_the_model_says(self):
        rows = {row.pk: row for row in Project.objects.all()}
        assert rows.keys() == {place.project_id for place in self.places}
        for place in self.places:
            row = rows[place.project_id]
            assert (row.name, row.path, row.state) == (place.name, place.path(), place.state)
            assert row.lineage == [each.project_id for each in place.line()] and len(row.lineage) <= 8
        live = [row.path for row in rows.values() if row.state != "archived"]
        assert len(live) == len(set(live))

    @invariant()
    def a_suspension_counts_for_all_below(self):
        page = seen.page(params={}, cursor=None, limit=500, access=EVERYTHING)
        told = {row.id: row.effective_state for row in page.rows}
        assert told == {
            place.project_id: "suspended" if place.suspended() else "active"
            for place in self.places
            if place.state != "archived"
        }

    def _make(self, name, above):
        refused = None
        if above is not None and len(above.line()) == 8:
            refused = Invalid
        elif (refused := self._closed(above)) is None and self._is_taken(name, above):
            refused = ProjectNameTaken
        made = self._expect(
            refused,
            lambda: projects.create(name=name, parent_id=above and above.project_id, actor=ALICE, now=NOW),
        )
        if made is not None:
            place = Place(name, above, project_id=made.pk)
            self.places.append(place)
            if above is not None:
                above.below.append(place)

    def _move(self, pick, service, state, refused):
        if (place := self._picked(pick)) is None:
            return
        error = refused(place) or None
        self._expect(error, lambda: service(project_id=place.project_id, actor=ALICE, now=NOW))
        if error is None:
            place.state = state

    def _expect(self, refused, call):
        try:
            answer = call()
        except DomainError as error:
            assert type(error) is refused, f"{type(error)} and {refused} is right"
            return None
        assert refused is None, f"{refused} is right"
        return answer

    def _picked(self, pick):
        return self.places[pick % len(self.places)] if self.places else None

    def _closed(self, above):
        if above is None:
            return None
        if above.state == "archived":
            return ProjectArchived
        return ProjectSuspended if above.suspended() else None

    def _is_taken(self, name, above):
        return any(place.name == name and place.above is above and place.state != "archived" for place in self.places)


def test_any_order_of_changes_keeps_the_tree_whole():
    run_state_machine_as_test(
        Tree,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            derandomize="OCENTER_MACHINE_EXAMPLES" not in os.environ,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
