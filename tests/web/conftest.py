"""An administrator in front of the console, and a fleet with something of everything, trouble included."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from connectors.contract import ConnectorError, CounterFact, Transient
from pools.domain.actors import SYSTEM, Actor
from pools.domain.quota_fields import QuotaWanted
from pools.models import Device, DeviceTwin, PoolSync
from pools.reconcile import inventory
from pools.services import invitations, partitions, pools, quotas, service_accounts, sso_groups, tokens, turns
from pools.services.models import load_catalogue
from tests import factories
from tests.factories import Clock, Shows, device, holding, node, use
from tests.services.asking import World

NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
ALICE = Actor(name="alice", request_id="req-1")


@pytest.fixture(autouse=True)
def _tries_are_forgotten():
    """Limits of log-in are kept in the cache, which outlives a test."""
    cache.clear()


@pytest.fixture
def world():
    """A project that may use a pool, with what there is to know of chips."""
    made = World()
    made.clock.now = timezone.now()
    made.observe()
    load_catalogue(now=made.clock.now)
    return made


@pytest.fixture
def admin(db):
    return factories.person("root", "admin")


@pytest.fixture
def console(admin):
    """A browser's session of the administrator."""
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def clock():
    return Clock(timezone.now())


@pytest.fixture
def fleet(db, clock):
    """Pools: ``lab`` (all sorts of devices), ``lossy`` (waits for a person), ``late`` (not seen for an hour),
    ``resting`` (paused), ``fresh`` (never observed), ``broken`` (its last run failed) and the draft ``begun``.
    """
    return make_fleet(clock)


def make_fleet(clock):
    partitions.ensure(now=clock.now)
    lab = factories.pool("lab", region="eu-1", labels={"tier": "prod"})
    observed(lab, Shows(*_lab_nodes()), clock)
    held = factories.pool("lossy")
    everything = Shows(*(node(f"h{number}") for number in range(8)))
    observed(held, everything, clock)
    everything.nodes = everything.nodes[:1]
    held_run = observed(held, everything, clock)
    late = factories.pool("late")
    observed(late, Shows(node("l1")), Clock(clock.now - timedelta(hours=1)))
    factories.pool("fresh")
    paused = factories.pool("resting", kind="kubernetes", mode="quota", grain="pool")
    observed(paused, Shows(node("p1")), clock)
    pools.pause(pool_id=paused.pk, actor=ALICE, now=clock.now)
    broken = factories.pool("broken")
    observed(broken, Shows(node("b1")), clock)
    failed_run = fail(broken, Transient("No answer from broken.example.", platform_words="connect: refused"), clock)
    begun = pools.register(
        name="begun", kind="kubernetes", settings={}, credential={"token": "s3cret"}, actor=ALICE, now=clock.now
    )
    one, other = Device.objects.filter(pool=lab)[0], Device.objects.filter(pool=held)[0]
    Device.objects.filter(pk=other.pk).update(uuid=one.uuid, is_elsewhere=True)
    DeviceTwin.objects.create(device=one, other=other, found_at=clock.now)
    return {
        "lab": lab,
        "lossy": held,
        "late": late,
        "begun": begun,
        "broken": broken,
        "held_run": held_run.pk,
        "failed_run": failed_run,
        "lab_run": PoolSync.objects.get(pool=lab).last_run_id,
    }


def make_people(pool):
    """The tenant acme, which may use the pool, with somebody and something of everything in acme/vision."""
    ada, now = factories.person("ada", email="ada@example.org"), timezone.now()
    vision = factories.project("acme/vision", manager=ada)
    factories.granted(pool, factories.project("acme"))
    invited = {"email": "eve@example.org", "role": "viewer"}
    invitations.invite(project_id=vision.pk, **invited, actor=factories.ALICE, now=now)
    service_accounts.make(project_id=vision.pk, name="ci", role="viewer", actor=factories.ALICE, now=now)
    sso_groups.make(name="staff", project_id=vision.pk, role="viewer", actor=factories.ALICE, now=now)
    tokens.make(username="root", name="laptop", actor=SYSTEM, now=now)
    for project, nominal_milli in ((vision.parent, 16_000), (vision, 8000)):
        rows = [QuotaWanted(nominal_milli=nominal_milli), QuotaWanted(nominal_milli=2000, pools=[pool.name])]
        quotas.replace(project_id=project.pk, rows=rows, actor=factories.ALICE, now=now)


def observed(pool, connector, clock):
    """One observation by the real pipeline; its temporary rows go, as they do with its commit outside of tests."""
    run = factories.synced(pool, connector, clock)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'")
        names = ", ".join(name for (name,) in cursor.fetchall())
        cursor.execute(f"TRUNCATE {names}")
    return run


def fail(pool, error: ConnectorError, clock):
    """Let a run of the pool end with an error, as a platform that fails makes it."""
    PoolSync.objects.filter(pool=pool).update(next_at=clock.now)
    turn = turns.take(pool_id=pool.pk, now=clock.now)
    assert turn is not None, "nothing was due"
    inventory._end_badly(turn, clock.now, error)
    return turn.run_id


def _lab_nodes():
    yield node("n1", devices=4)
    yield holding(
        "n2",
        device("used", index=0, uses=(use("team-a/pod"),)),
        device("half", index=1, uses=(use("team-b/pod", 500),)),
        device("sick", index=2, health="faulty", health_reason=f"XID 79 {NASTY}"),
        device("odd", index=3, model="Unheard-of X9", vendor="nobody", pci_id=None),
        device("cut", index=4, total_milli=0),
        counters=(
            CounterFact(
                ref="nvidia.com/mig-1g.10gb",
                vendor="nvidia",
                model="NVIDIA H100 80GB HBM3",
                profile="1g.10gb",
                unit_milli=142,
                unit_memory_mib=9728,
                total_units=7,
                uses=(use("team-c/pod", 142),),
            ),
        ),
    )
    yield node("closed", is_available=False, unavailable_reason=f"cordoned {NASTY}")
    yield node(f"evil{NASTY}"[:200], devices=1, labels={NASTY: NASTY})
    yield node("w" * 240, devices=1)
    yield node("empty", devices=0)
