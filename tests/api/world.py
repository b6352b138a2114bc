"""One of everything that the API lists, or several."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pools.domain.actors import SYSTEM
from pools.domain.quota_fields import QuotaWanted
from pools.models import Allocation, ApiToken, ChipModel, Device, Drift, Node, Orphan, Pool, SyncRun, Target
from pools.services import flavors, invitations, partitions, price_list, quotas, service_accounts, sso_groups, tokens
from tests import factories
from tests.factories import Clock, Shows, node


def made(now: datetime, number: int = 1) -> dict[str, str]:
    """Make one more of each and return their names in addresses. ``number`` keeps names apart."""
    more = "" if number == 1 else str(number)
    partitions.ensure(now=now)
    lab = factories.granted(factories.pool(f"lab{more}"), factories.project("acme/vision"))
    factories.synced(lab, Shows(node("n1"), *(node(f"n{n}") for n in range(2, number + 1))), Clock(now))
    factories.granted(Pool.objects.get(name="lab"), factories.project(f"acme/team{number}"))
    factories.person(f"somebody{more}")
    tokens.make(username=f"somebody{more}", name="theirs", actor=SYSTEM, now=now)
    vision = factories.project("acme/vision", viewer=factories.person(f"vera{more}"))
    by: Any = {"actor": SYSTEM, "now": now}
    own = [QuotaWanted(nominal_milli=1000, pools=[name]) for name in Pool.objects.values_list("name", flat=True)]
    quotas.replace(project_id=vision.pk, rows=own, **by)
    invitation, _ = invitations.invite(project_id=vision.pk, email=f"new{more}@example.com", role="viewer", **by)
    account = service_accounts.make(project_id=vision.pk, name=f"ci{more}", role="viewer", **by)
    group = sso_groups.make(project_id=None, name=f"staff{more}", role="auditor", **by)
    chip = ChipModel.objects.all()[0]
    price_list.add(model_id=chip.pk, pool_id=lab.pk, per_hour=Decimal(1), actor=SYSTEM, now=now)
    waiting = Allocation.objects.create(
        project=vision, state="queued", spec={}, members=1, devices_per_member=1, queued_at=now, created_at=now,
        changed_at=now,
    )  # fmt: skip
    orphan = Orphan.objects.create(pool=lab, marker=f"oc-{number}", opened_at=now)
    Allocation.objects.create(
        project=vision, state="scheduled", spec={}, members=1, devices_per_member=1, pool=lab, model=chip, milli=1000,
        start_at=now + timedelta(hours=1), created_at=now, changed_at=now,
    )  # fmt: skip
    carries = Target.objects.create(pool=lab, kind="vm", ref=f"oc-{number}", mode="node", created_at=now)
    drift = Drift.objects.create(pool=lab, target=carries, code="differs", opened_at=now)
    flavor = flavors.make(name=f"small{more}", spec={"members": 2}, actor=SYSTEM, now=now)
    node_of_lab = Node.objects.filter(pool_id=lab.pk)[0]
    return {
        "user": f"vera{more}",
        "session": "1",
        "invitation": str(invitation.pk),
        "account": str(account.pk),
        "group": str(group.pk),
        "kind": "simulated",
        "flavor": flavor.name,
        "allocation": str(waiting.pk),
        "token": str(ApiToken.objects.get(name="theirs", user__username=f"somebody{more}").pk),
        "orphan": str(orphan.pk),
        "drift_id": str(drift.pk),
        "pool": str(lab.pk),
        "run": str(SyncRun.objects.get(pool_id=lab.pk).pk),
        "node": str(node_of_lab.pk),
        "device": str(Device.objects.filter(node_id=node_of_lab.pk)[0].pk),
        "model": chip.slug,
        "project": str(vision.pk),
    }
