"""Who asks for capacity of a fleet: tenants with two levels below them, quotas at every level, tokens, and requests."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from pools.domain import ids
from pools.domain.actors import SYSTEM
from pools.domain.request import Choice, Wanted
from pools.models import Project, RoleBinding, User
from pools.services import models, tokens
from pools.services.asked import Asked
from tests.bench.fleet import Fleet
from tests.bench.frame import Frame
from tests.bench.load import load

TENANTS, DEPARTMENTS, TEAMS = 10, 5, 4
PLENTY = 10**12
DEVICES = (1, 1, 1, 2, 4)
_OF_US = "SELECT id FROM app_user WHERE username LIKE 'bench-%'"
_REMOVED = (
    *(f"DELETE FROM {table} WHERE user_id IN ({_OF_US})" for table in ("api_token", "idempotency_key", "role_binding")),
    "DELETE FROM project WHERE path LIKE 'bench-%'",
    f"DELETE FROM app_user WHERE id IN ({_OF_US})",
)


@dataclass(frozen=True, slots=True)
class Team:
    """A project at the third level, and who asks for it."""

    path: str
    lineage: tuple[UUID, ...]
    token: str


@dataclass(frozen=True, slots=True)
class World:
    """The first tenant's teams are asked for as often as all others together."""

    teams: tuple[Team, ...]
    models: tuple[str, ...]

    def team(self, dice: random.Random) -> Team:
        """Return whom the next request is of."""
        of_one = DEPARTMENTS * TEAMS
        return self.teams[dice.randrange(of_one) if dice.random() < 0.5 else dice.randrange(of_one, len(self.teams))]

    def body(self, dice: random.Random, team: Team, **fields: Any) -> dict[str, Any]:
        """Return a request as the API takes it: one, two or four devices of some model."""
        body = {
            "project": team.path,
            "name": "bench",
            "any_of": [{"model": dice.choice(self.models)}],
            "devices_per_member": dice.choice(DEVICES),
            "lease_seconds": 86_400,
        }
        return body | fields

    def asked(self, dice: random.Random) -> Asked:
        """Return a request as the services take it."""
        team = self.team(dice)
        body = self.body(dice, team)
        wanted = Wanted(**body | {"any_of": tuple(Choice(**choice) for choice in body["any_of"])})
        return Asked(id=ids.new_id(), wanted=wanted, project_id=team.lineage[-1], lineage=team.lineage, actor=SYSTEM)


def fill(frame: Frame, fleet: Fleet) -> World:
    """Make the fleet with those who may use all of it. Raises: psycopg.Error."""
    connection.close()
    frame.empty()
    slugs = tuple(entry.slug for entry in models.current().entries)[: fleet.models]
    with frame.connect() as raw:
        load(raw, fleet, timezone.now())
        for number, slug in enumerate(slugs):
            name = f"bench-{fleet.seed}-{number:02d}"
            raw.execute("UPDATE chip_model SET slug = %s WHERE slug = %s", [slug, name])
    return admitted(frame, slugs)


def admitted(frame: Frame, slugs: tuple[str, ...]) -> World:
    """Make the tenants anew, who may use all of the fleet and ask for these models. Raises: psycopg.Error."""
    with frame.connect() as raw:
        for statement in _REMOVED:
            raw.execute(statement)
    world = World(tuple(_teams()), slugs)
    admit()
    connection.close()
    frame.settle()
    return world


def _teams() -> Iterator[Team]:
    now = timezone.now()
    for tenant in range(TENANTS):
        above = _project(f"bench-{tenant}", None)
        user = User.objects.create_user(f"bench-{tenant}")
        RoleBinding.objects.create(user=user, project=above, role="owner", created_at=now)
        token = tokens.make(username=user.username, name="bench", actor=SYSTEM, now=now)
        for department in range(DEPARTMENTS):
            middle = _project(f"d{department}", above)
            for number in range(TEAMS):
                team = _project(f"t{number}", middle)
                yield Team(team.path, tuple(team.lineage), token)


def _project(name: str, above: Project | None) -> Project:
    new_id = ids.new_id()
    return Project.objects.create(
        id=new_id,
        name=name,
        parent=above,
        lineage=[*(above.lineage if above else ()), new_id],
        path=f"{above.path}/{name}" if above else name,
        created_at=timezone.now(),
    )


# In compute units at every level, and by model for tenants.
_QUOTAS = """
INSERT INTO quota (id, project_id, model_id, depth, nominal_milli, borrow_limit_milli, weight, used_milli,
                   open_guarantee_milli, generation, created_at, changed_at)
SELECT new_id(), p.id, m.id, cardinality(p.lineage), %(plenty)s, 0, 1, 0, 0, 1, %(now)s, %(now)s
FROM project p CROSS JOIN (SELECT NULL::uuid AS id UNION ALL SELECT id FROM chip_model) m
WHERE p.path LIKE 'bench-%%' AND (m.id IS NULL OR cardinality(p.lineage) = 1)
ON CONFLICT DO NOTHING
"""
_PARENTS = """
UPDATE quota q SET parent_id = above.id FROM project p, quota above
WHERE p.id = q.project_id AND above.project_id = p.parent_id AND q.model_id IS NULL AND above.model_id IS NULL
"""


def admit() -> None:
    """Grant every pool to every tenant, and give quotas of models that have none yet."""
    with connection.cursor() as cursor:
        cursor.execute(_QUOTAS, {"plenty": PLENTY, "now": timezone.now()})
        cursor.execute(_PARENTS)
        cursor.execute(
            "INSERT INTO pool_grant (id, pool_id, project_id, created_at) SELECT new_id(), pool.id, p.id, now()"
            " FROM pool CROSS JOIN project p WHERE p.path LIKE 'bench-%' AND p.parent_id IS NULL ON CONFLICT DO NOTHING"
        )


def observe() -> None:
    """Let all pools have been seen just now: what is late is not placed on, and a measurement may take long."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pool_sync SET observed_at = now()")
