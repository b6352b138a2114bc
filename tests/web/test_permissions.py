"""The console: every page and every form, for everybody."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from pools.domain.quota_fields import QuotaWanted
from pools.models import Allocation, ChipModel, Device, Drift, Node, Orphan, Quota, SyncRun, Target
from pools.selectors import tokens as seen
from pools.services import invitations, partitions, quotas, service_accounts, sso_groups, tokens
from pools.web import account_urls, urls
from tests import factories
from tests.factories import ALICE, Clock, Shows, node
from tests.permissions import Address, PermissionTest, Reach, Verdict

_OF_STATUS: dict[int, Verdict] = {403: "forbidden", 404: "unknown"}


def _page(path: str, noun: str = "", reach: Reach = "platform", *, get: str = "read", post: str = "") -> list[Address]:
    methods = {"GET": get, "POST": post}
    return [Address(method, path, noun, verb, reach) for method, verb in methods.items() if verb]


_IN = "projects/{project}/"
_MEMBER = f"{_IN}members/{{user}}/"
_ACCOUNT = "service-accounts/{account}/"
_USER = "users/{user}/"
_ALLOCATION = "allocations/{allocation}/"
_ALLOCATIONS = (
    *_page("allocations/", "allocation", "anywhere"),
    *_page("allocations/new/", "allocation", "anywhere", get="create", post="create"),
    *_page("allocations/what-if/", "allocation", "anywhere", get="", post="create"),
    *_page("allocations/make-room/", "allocation", get="operate", post="operate"),
    *_page("allocations/queue/", "allocation", "anywhere"),
    *_page("fragmentation/", "capacity", "anywhere"),
    *_page("calendar/", "allocation", "anywhere"),
    *_page(_ALLOCATION, "allocation", "project"),
    *_page(f"{_ALLOCATION}live/", "allocation", "project"),
    *_page(f"{_ALLOCATION}confirm/", "allocation", "project", get="edit", post="edit"),
    *_page(f"{_ALLOCATION}extend/", "allocation", "project", get="edit", post="edit"),
    *_page(f"{_ALLOCATION}reveal/", "allocation", "project", get="edit", post="edit"),
    *_page(f"{_ALLOCATION}retry/", "allocation", "project", get="edit", post="edit"),
    *_page(f"{_ALLOCATION}saved/", "allocation", "project", get="edit", post="edit"),
    *_page(f"{_ALLOCATION}make-room/", "allocation", get="operate", post="operate"),
    *_page(f"{_ALLOCATION}gone/", "allocation", "project", get="operate", post="operate"),
    *_page(f"{_ALLOCATION}release/", "allocation", "project", get="remove", post="remove"),
)
_TROUBLE = (
    *_page("operations/", "allocation"),
    *_page("drift/", "drift"),
    *_page("drift/{drift}/repair/", "drift", get="operate", post="operate"),
    *_page("drift/{drift}/adopt/", "drift", get="operate", post="operate"),
    *_page("drift/{drift}/ignore/", "drift", get="operate", post="operate"),
    *_page("orphans/", "orphan"),
    *_page("orphans/{orphan}/adopt/", "orphan", get="operate", post="operate"),
    *_page("orphans/{orphan}/reap/", "orphan", get="operate", post="operate"),
)
_ACCESS = (
    *_page("projects/", "project", "anywhere"),
    *_page("projects/new/", "project", get="create", post="create"),
    *_page(_IN, "project", "project"),
    *_page(f"{_IN}new/", "project", "project", get="create", post="create"),
    *_page(f"{_IN}pools/", "pool", "project"),
    *_page(f"{_IN}pools/new/", "grant", "project", get="edit", post="edit"),
    *_page("quotas/", "quota", "anywhere"),
    *_page(f"{_IN}quotas/new/", "quota", "above", get="edit", post="edit"),
    *_page(f"{_IN}quotas/{{quota}}/edit/", "quota", "above", get="edit", post="edit"),
    *_page(f"{_IN}quotas/{{quota}}/remove/", "quota", "above", get="edit", post="edit"),
    *_page(f"{_IN}members/", "member", "project"),
    *_page(f"{_IN}members/new/", "member", "project", get="create", post="create"),
    *_page(f"{_MEMBER}edit/", "member", "project", get="edit", post="edit"),
    *_page(f"{_MEMBER}remove/", "member", "project", get="remove", post="remove"),
    *_page(f"{_IN}invitations/", "invitation", "project"),
    *_page(f"{_IN}invitations/new/", "invitation", "project", get="create", post="create"),
    *_page(f"{_IN}service-accounts/", "service_account", "project"),
    *_page(f"{_IN}service-accounts/new/", "service_account", "project", get="create", post="create"),
    *_page(f"{_IN}settings/", "project", "project"),
    *_page(f"{_IN}edit/", "project", "project", get="edit", post="edit"),
    *_page(f"{_IN}rename/", "project", "above", get="edit", post="edit"),
    *_page(f"{_IN}suspend/", "project", "above", get="operate", post="operate"),
    *_page(f"{_IN}resume/", "project", "above", get="operate", post="operate"),
    *_page(f"{_IN}archive/", "project", "above", get="remove", post="remove"),
    *_page(f"{_IN}restore/", "project", "above", get="remove", post="remove"),
    *_page("pools/{pool}/grants/", "grant"),
    *_page("pools/{pool}/grants/new/", "grant", get="edit", post="edit"),
    *_page("pools/{pool}/grants/{project}/remove/", "grant", get="edit", post="edit"),
    *_page("invitation/{secret}/", reach="anybody", post="read"),
    *_page("invitations/", "invitation"),
    *_page("invitations/new/", "invitation", get="create", post="create"),
    *_page("invitations/{invitation}/withdraw/", "invitation", "project", get="remove", post="remove"),
    *_page("service-accounts/", "service_account"),
    *_page("service-accounts/new/", "service_account", get="create", post="create"),
    *_page(_ACCOUNT, "service_account", "within"),
    *_page(f"{_ACCOUNT}edit/", "service_account", "within", get="edit", post="edit"),
    *_page(f"{_ACCOUNT}remove/", "service_account", "within", get="remove", post="remove"),
    *_page(f"{_ACCOUNT}switch/off/", "service_account", "within", get="edit", post="edit"),
    *_page("users/", "user"),
    *_page("users/new/", "user", get="create", post="create"),
    *_page(_USER, "user"),
    *_page(f"{_USER}edit/", "user", get="edit", post="edit"),
    *_page(f"{_USER}roles/", "platform_role", get="edit", post="edit"),
    *_page(f"{_USER}password/", "user", get="edit", post="edit"),
    *_page(f"{_USER}sessions/end/", "session", get="remove", post="remove"),
    *_page(f"{_USER}switch/off/", "user", get="edit", post="edit"),
    *_page("roles/", "me", "mine"),
    *_page("sso-groups/", "sso_group"),
    *_page("sso-groups/new/", "sso_group", get="create", post="create"),
    *_page("sso-groups/{group}/remove/", "sso_group", get="remove", post="remove"),
    *_page("tokens/", "me", "mine"),
    *_page("tokens/new/", "me", "mine", get="create", post="create"),
    *_page("tokens/{token}/rotate/", "token", get="create", post="create"),
    *_page("tokens/{token}/revoke/", "token", get="remove", post="remove"),
)


class TestTheConsole(PermissionTest):
    """People come with the cookie of their log-in."""

    __test__ = True
    clients: ClassVar[dict[Any, Client]]
    CASES_AT_LEAST = 3_000
    ADDRESSES = (
        *_page("", "me", "mine"),
        *_page("map/{pool}/0/", "device"),
        *_page("search/", "node"),
        *_page("add-pool/", "pool", get="create"),
        *_page("add-pool/{kind}/", "pool", get="create", post="create"),
        *_page("pools/", "pool"),
        *_page("pools/{pool}/", "pool"),
        *_page("pools/{pool}/capacity/", "pool"),
        *_page("pools/{pool}/nodes/", "node"),
        *_page("pools/{pool}/devices/", "device"),
        *_page("pools/{pool}/sync-runs/", "sync_run"),
        *_page("pools/{pool}/settings/", "pool"),
        *_page("pools/{pool}/check/", "pool", post="operate"),
        *_page("pools/{pool}/check/live/", "pool"),
        *_page("pools/{pool}/preview/", "sync_run", post="operate"),
        *_page("pools/{pool}/preview/{run}/", "sync_run"),
        *_page("pools/{pool}/activate/", "pool", get="", post="operate"),
        *_page("pools/{pool}/sync/", "pool", get="", post="operate"),
        *_page("pools/{pool}/edit/", "pool", get="edit", post="edit"),
        *_page("pools/{pool}/credential/", "pool", get="edit", post="edit"),
        *_page("pools/{pool}/remove/", "pool", get="remove", post="remove"),
        *_page("pools/{pool}/pause/", "pool", get="operate", post="operate"),
        *_page("nodes/", "node"),
        *_page("nodes/{node}/", "node"),
        *_page("devices/", "device"),
        *_page("devices/{device}/", "device"),
        *_page("devices/{device}/give-out/", "device", get="operate", post="operate"),
        *_page("seen-twice/", "device"),
        *_page("sync-runs/", "sync_run"),
        *_page("sync-runs/{run}/", "sync_run"),
        *_page("sync-runs/{run}/live/", "sync_run"),
        *_page("sync-runs/{run}/approve/", "sync_run", get="", post="operate"),
        *_page("sync-runs/{run}/reject/", "sync_run", get="", post="operate"),
        *_page("models/", "model", "anywhere"),
        *_page("models/{model}/", "model", "anywhere"),
        *_page("system/", "system"),
        *_page("audit/", "audit", "anywhere"),
        *_page("audit/verify/", "audit", get="", post="read"),
        *_ACCESS,
        *_ALLOCATIONS,
        *_TROUBLE,
    )

    @classmethod
    def things(cls) -> dict[str, str]:
        now = timezone.now()
        partitions.ensure(now=now)
        lab = factories.granted(factories.pool("lab"), factories.project("acme/vision"))
        factories.synced(lab, Shows(node("n1")), Clock(now))
        carries = Target.objects.create(pool=lab, kind="vm", ref="oc-left", mode="node", created_at=now)
        cls.clients = {user: Client(raise_request_exception=False) for user in cls.users.values()}
        for user, client in cls.clients.items():
            client.force_login(user)
        return {
            "kind": "simulated",
            "drift": str(Drift.objects.create(pool=lab, target=carries, code="differs", opened_at=now).pk),
            "orphan": str(Orphan.objects.create(pool=lab, marker="oc-left", opened_at=now).pk),
            "pool": str(lab.pk),
            "run": str(SyncRun.objects.get().pk),
            "node": str(Node.objects.get().pk),
            "device": str(Device.objects.all()[0].pk),
            "model": ChipModel.objects.all()[0].slug,
            **_people(now),
        }

    def ask(self, address: Address, user: Any) -> Any:
        client = self.clients[user] if user else Client(raise_request_exception=False)
        return client.generic(address.method, f"/{address.path.format(**self.names)}")

    def told(self, response: Any) -> Verdict:
        assert response.status_code < 500, response.content
        if response.status_code == 302 and response.headers["Location"].startswith("/login/"):
            return "log in"
        return _OF_STATUS.get(response.status_code, "let in")

    def known_addresses(self) -> set[str]:
        return set(_routes([each for each in urls.urlpatterns if isinstance(each, URLPattern | URLResolver)]))

    def named_addresses(self) -> set[str]:
        return {re.sub(r"/(pause|0|off)/$", "/{word}/", address.path) for address in self.ADDRESSES}

    def comparable(self, response: Any) -> Any:
        return response.content


def _people(now: datetime) -> dict[str, str]:
    """Make somebody with everything that there can be of a person in a project."""
    vision, ada = factories.project("acme/vision"), factories.person("ada")
    factories.project("acme/vision", member=ada)
    invitation, secret = invitations.invite(
        project_id=vision.pk, email="eve@example.org", role="viewer", actor=ALICE, now=now
    )
    account = service_accounts.make(project_id=vision.pk, name="ci", role="viewer", actor=ALICE, now=now)
    group = sso_groups.make(name="staff", project_id=vision.pk, role="viewer", actor=ALICE, now=now)
    token = tokens.make(username="ada", name="hers", actor=ALICE, now=now)
    waiting = Allocation.objects.create(
        project=vision, state="queued", spec={}, members=1, devices_per_member=1, queued_at=now, created_at=now,
        changed_at=now,
    )  # fmt: skip
    quotas.replace(project_id=vision.pk, rows=[QuotaWanted(nominal_milli=1000)], actor=ALICE, now=now)
    return {
        "allocation": str(waiting.pk),
        "quota": str(Quota.objects.get(project=vision).pk),
        "project": str(vision.pk),
        "user": str(ada.pk),
        "invitation": str(invitation.pk),
        "secret": secret,
        "account": str(account.pk),
        "group": str(group.pk),
        "token": str(seen.made(token, now).id),
    }


def _routes(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[str]:
    """Yield the routes of the console, without those of log-in, which allauth decides on."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield _worded(pattern)
        elif pattern.urlconf_module is not account_urls:
            yield from _routes(pattern.url_patterns)


def _worded(pattern: URLPattern) -> str:
    """Return a route with our words in place of its converters."""
    words = {"reference": "pool", "pool_id": "pool", "run_id": "run", "node_id": "node", "device_id": "device"}
    words |= {"slug": "model", "number": "word", "action": "word", "state": "word", "project_id": "project"}
    own = ("user", "invitation", "account", "group", "token", "allocation", "quota", "orphan", "drift")
    words |= {f"{name}_id": name for name in own}
    route = str(pattern.pattern).replace("<project:reference>", "{project}")
    return re.sub(r"<\w+:(\w+)>", lambda name: f"{{{words.get(name[1], name[1])}}}", route)
