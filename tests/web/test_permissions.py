"""The console: every page and every form, for everybody."""

import re
from typing import Any

from django.test import Client
from django.urls import URLPattern
from django.utils import timezone

from pools.models import ChipModel, Device, Node, SyncRun
from pools.services import partitions
from pools.web import urls
from tests import factories
from tests.factories import Clock, Shows, node
from tests.permissions import Address, PermissionTest, Reach, Verdict

_OF_STATUS: dict[int, Verdict] = {403: "forbidden", 404: "unknown"}


def _page(path: str, noun: str, reach: Reach = "platform", *, get: str = "read", post: str = "") -> list[Address]:
    methods = {"GET": get, "POST": post}
    return [Address(method, path, noun, verb, reach) for method, verb in methods.items() if verb]


class TestTheConsole(PermissionTest):
    """People come with the cookie of their log-in."""

    __test__ = True
    CASES_AT_LEAST = 1_000
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
    )

    @classmethod
    def things(cls) -> dict[str, str]:
        now = timezone.now()
        partitions.ensure(now=now)
        lab = factories.granted(factories.pool("lab"), factories.project("acme/vision"))
        factories.synced(lab, Shows(node("n1")), Clock(now))
        cls.clients = {user: Client(raise_request_exception=False) for user in cls.users.values()}
        for user, client in cls.clients.items():
            client.force_login(user)
        return {
            "kind": "simulated",
            "pool": str(lab.pk),
            "run": str(SyncRun.objects.get().pk),
            "node": str(Node.objects.get().pk),
            "device": str(Device.objects.all()[0].pk),
            "model": ChipModel.objects.all()[0].slug,
            "project": str(factories.project("acme/vision").pk),
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
        return {_worded(pattern) for pattern in urls.urlpatterns}

    def named_addresses(self) -> set[str]:
        return {re.sub(r"/(pause|0)/$", "/{word}/", address.path) for address in self.ADDRESSES}

    def comparable(self, response: Any) -> Any:
        return response.content


def _worded(pattern: URLPattern) -> str:
    """Return a route with our words in place of its converters."""
    words = {"reference": "pool", "pool_id": "pool", "run_id": "run", "node_id": "node", "device_id": "device"}
    words |= {"slug": "model", "number": "word", "action": "word"}
    return re.sub(r"<\w+:(\w+)>", lambda name: f"{{{words.get(name[1], name[1])}}}", str(pattern.pattern))
