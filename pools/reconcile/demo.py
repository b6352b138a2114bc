"""The demo: four simulated pools with the character of the four platforms, and a tenant that may use them."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from connectors import demo
from connectors.demo import DemoPool
from pools.domain.actors import SYSTEM
from pools.domain.quota_fields import QuotaWanted
from pools.reconcile import checks, inventory
from pools.selectors import due, names
from pools.services import flavors, grants, pools, price_list, projects, quotas, service_accounts, tokens

LABEL: Final = {"demo": "true"}
TENANT: Final = "demo"
TEAM: Final = "vision"
ENGINEER: Final = "engineer"
FLAVOR: Final = "demo-pair"
# In milli compute units: some hundred devices, and of them what the one team of the tenant may have.
_TENANTS_MILLI: Final = 200_000
_TEAMS_MILLI: Final = 60_000
_PER_HOUR: Final = Decimal("2.40")


def ensure(*, home: Path, clock: Callable[[], datetime]) -> list[str]:
    """Register, check, activate and first observe the pools of the demo that are not there; return their names.

    Their state lies in ``home``/demo and lasts, so that a second start goes on with the same fleet.
    """
    folder = _folder(home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = due.pool_names()
    made = [wanted for wanted in demo.prepare(str(folder)) if wanted.name not in there]
    for wanted in made:
        _make(wanted, clock)
    _make_tenant(clock)
    return [wanted.name for wanted in made]


def remove(*, home: Path, clock: Callable[[], datetime]) -> list[str]:
    """Remove the pools of the demo and the state of their fleets, and nothing else; return their names.

    Raises PoolInUse when somebody still holds capacity of one.
    """
    folder = _folder(home)
    ours = {wanted.name for wanted in demo.pools(str(folder))}
    found = due.pool_names(labels=LABEL)
    for name, pool_id in found.items():
        if name in ours:
            pools.remove(pool_id=pool_id, actor=SYSTEM, now=clock())
    _remove_tenant(clock)
    demo.forget(str(folder))
    return sorted(ours & found.keys())


def engineers_token(*, clock: Callable[[], datetime]) -> str | None:
    """Return a new token of the tenant's engineer, None when the demo is not there."""
    username = names.service_account(ENGINEER, f"{TENANT}/{TEAM}")
    if username is None:
        return None
    return tokens.make(username=username, name="demo", actor=SYSTEM, now=clock())


def _make(wanted: DemoPool, clock: Callable[[], datetime]) -> None:
    pool = pools.register(
        name=wanted.name,
        kind=demo.KIND,
        settings=wanted.settings,
        credential=wanted.credential,
        region=wanted.region,
        labels=LABEL,
        actor=SYSTEM,
        now=clock(),
    )
    checks.run(pool_id=pool.id, clock=clock)
    pools.activate(pool_id=pool.id, actor=SYSTEM, now=clock())
    inventory.run(pool_id=pool.id, clock=clock)


def _make_tenant(clock: Callable[[], datetime]) -> None:
    """Make the tenant with its team, an engineer's account, quotas, a flavor and its price, unless it is there."""
    if names.project_id(TENANT) is None:
        tenant = projects.create(name=TENANT, parent_id=None, display_name="Demo", actor=SYSTEM, now=clock())
        team = projects.create(name=TEAM, parent_id=tenant.pk, actor=SYSTEM, now=clock())
        for project, nominal_milli in ((tenant, _TENANTS_MILLI), (team, _TEAMS_MILLI)):
            rows = [QuotaWanted(nominal_milli=nominal_milli, borrow_limit_milli=0)]
            quotas.replace(project_id=project.pk, rows=rows, actor=SYSTEM, now=clock())
        service_accounts.make(project_id=team.pk, name=ENGINEER, role="member", actor=SYSTEM, now=clock())
    if names.flavor_id(FLAVOR) is None:
        spec = {"devices_per_member": 2, "any_of": [{"vendor": "nvidia"}]}
        offered = flavors.make(name=FLAVOR, spec=spec, description="Two cards of a host", actor=SYSTEM, now=clock())
        price_list.add(flavor_id=offered.pk, per_hour=_PER_HOUR, actor=SYSTEM, now=clock())
    if (tenant_id := names.project_id(TENANT)) is not None:
        for pool_id in due.pool_names(labels=LABEL).values():
            grants.add(pool_id=pool_id, project_id=tenant_id, actor=SYSTEM, now=clock())


def _remove_tenant(clock: Callable[[], datetime]) -> None:
    for path in (f"{TENANT}/{TEAM}", TENANT):
        if (project_id := names.project_id(path)) is not None:
            projects.archive(project_id=project_id, actor=SYSTEM, now=clock())
    if (flavor_id := names.flavor_id(FLAVOR)) is not None:
        flavors.remove(flavor_id=flavor_id, actor=SYSTEM, now=clock())


def _folder(home: Path) -> Path:
    return home / "demo"
