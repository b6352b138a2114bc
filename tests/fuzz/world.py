"""A platform with tenants that are all alike: each has a word that stands in every name of its own and nowhere else."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from allauth.usersessions.models import UserSession
from django.utils import timezone

from pools.domain import roles
from pools.domain.actors import SYSTEM, Actor
from pools.models import (
    Allocation,
    ApiToken,
    ChipModel,
    Device,
    Drift,
    Node,
    Orphan,
    Pool,
    Project,
    SyncRun,
    Target,
    User,
)
from pools.services import flavors, grants, invitations, partitions, service_accounts, sso_groups, tokens
from tests import factories
from tests.factories import EVERYTHING, Clock, Shows, use
from tests.web.conftest import observed


class Tenant(NamedTuple):
    """``tokens`` are secrets by role; ``things`` are ids, names and paths by the parameter of an address.

    Those who ask are not among the things, for they would end themselves.
    """

    word: str
    tokens: dict[str, str]
    things: dict[str, list[str]]


class World(NamedTuple):
    """``admin`` is a token of the platform's administrator; ``shared`` are things that belong to nobody."""

    admin: str
    tenants: list[Tenant]
    shared: dict[str, list[str]]

    def things(self) -> dict[str, list[str]]:
        """Return all that may stand for the parameter of an address."""
        every = [tenant.things for tenant in self.tenants]
        return {name: [each for things in every for each in things[name]] for name in every[0]} | self.shared


def made(*words: str) -> World:
    """Make a tenant for each of the words, on the platform in the database that is connected."""
    now = timezone.now()
    partitions.ensure(now=now)
    root = f"root-{words[0]}"
    factories.person(root, "admin")
    return World(
        admin=tokens.make(username=root, name="fuzz", actor=SYSTEM, now=now),
        tenants=[_tenant(word) for word in words],
        shared={
            "kind": ["simulated", "kubernetes"],
            "model": [ChipModel.objects.values_list("slug")[0][0]],
            "flavor": [flavors.make(name=f"pair-{words[0]}", spec={"members": 2}, actor=SYSTEM, now=now).name],
        },
    )


def _tenant(word: str) -> Tenant:
    now = timezone.now()
    path = f"{word}/vision-{word}"
    people = {role: _person(f"{role}-{word}", word) for role in roles.PROJECT_ROLES}
    guest = _person(f"guest-{word}", word)
    root, below = factories.project(word, **people), factories.project(path, member=guest)
    Project.objects.filter(pk__in=[root.pk, below.pk]).update(display_name=f"We of {word}", labels={"who": word})
    by: Any = {"actor": Actor(name=f"owner-{word}", reason=f"because of {word}", access=EVERYTHING), "now": now}
    pool = _pool(word)
    grants.add(pool_id=pool.pk, project_id=root.pk, **by)
    invitation, _ = invitations.invite(project_id=below.pk, email=f"new@{word}.example", role="viewer", **by)
    account = service_accounts.make(project_id=below.pk, name=f"ci-{word}", role="member", **by)
    group = sso_groups.make(project_id=root.pk, name=f"group-{word}", role="viewer", **by)
    for user in (guest, account):
        tokens.make(username=user.username, name=f"token-{word}", actor=SYSTEM, now=now)
    waiting = Allocation.objects.create(
        project=below, name=f"train-{word}", state="queued", spec={}, labels={"who": word}, members=1,
        devices_per_member=1, asked_by=guest, queued_at=now, created_at=now, changed_at=now,
    )  # fmt: skip
    orphan = Orphan.objects.create(pool=pool, marker=f"oc-{word}", holder=f"vm of {word}", opened_at=now)
    Allocation.objects.create(
        project=below, name=f"later-{word}", state="scheduled", spec={}, labels={"who": word}, members=1,
        devices_per_member=1, asked_by=guest, pool=pool, milli=1000, start_at=now + timedelta(hours=1), created_at=now,
        changed_at=now,
    )  # fmt: skip
    target = Target.objects.create(pool=pool, kind="vm", ref=f"oc-{word}", mode="node", created_at=now)
    drift = Drift.objects.create(pool=pool, target=target, code="differs", opened_at=now)
    browser = f"browser of {word}"
    session = UserSession.objects.create(user=guest, ip="192.0.2.7", session_key=browser, user_agent=browser)
    own: dict[str, Iterable[Any]] = {
        "project": [root, below, root.path, below.path],
        "pool": [pool, pool.name],
        "user": [people["manager"], guest, guest.username],
        "account": [account, account.username],
        "invitation": [invitation],
        "group": [group],
        "allocation": [waiting],
        "orphan": [orphan],
        "drift_id": [drift],
        "token": ApiToken.objects.filter(user__in=[guest, account]),
        "session": [session],
        "run": SyncRun.objects.filter(pool=pool),
        "node": Node.objects.filter(pool=pool),
        "device": Device.objects.filter(pool=pool),
    }
    return Tenant(
        word,
        {
            role: tokens.make(username=user.username, name="fuzz", actor=SYSTEM, now=now)
            for role, user in people.items()
        },
        {name: [each if isinstance(each, str) else str(each.pk) for each in found] for name, found in own.items()},
    )


def _person(name: str, word: str) -> User:
    return factories.person(name, email=f"{name}@{word}.example", display_name=f"{name} of {word}")


def _pool(word: str) -> Pool:
    made = factories.pool(f"pool-{word}", region=f"region-{word}", labels={"who": word})
    held = factories.holding(
        f"n-{word}",
        factories.device(f"d0-{word}", index=0, uses=(use(f"holder of {word}"),)),
        factories.device(f"d1-{word}", index=1),
        labels={"who": word},
    )
    observed(made, Shows(held), Clock(timezone.now()))
    return made
