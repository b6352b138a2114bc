"""REST: every operation of the description, for everybody."""

import json
from typing import Any, ClassVar

from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from pools.domain.actors import SYSTEM
from pools.services import tokens
from tests.api import world
from tests.permissions import Address, PermissionTest, Verdict

_OF_STATUS: dict[int, Verdict] = {401: "log in", 403: "forbidden", 404: "unknown"}


def _all(path: str, noun: str, reach: Any, **verbs: str) -> list[Address]:
    return [Address(method.upper(), path, noun, verb, reach) for method, verb in verbs.items()]


class TestRest(PermissionTest):
    """Callers come with a token."""

    __test__ = True
    tokens: ClassVar[dict[Any, str]]
    CASES_AT_LEAST = 600
    ADDRESSES = (
        *_all("/kinds", "kind", "anywhere", get="read"),
        *_all("/kinds/{kind}", "kind", "platform", get="read"),
        *_all("/pools", "pool", "anywhere", get="read", post="create"),
        *_all("/pools/{pool}", "pool", "pool", get="read", patch="edit", delete="remove"),
        *_all("/pools/{pool}/activate", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/pause", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/resume", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/drain", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/maintenance", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/credential", "pool", "pool", put="edit"),
        *_all("/pools/{pool}/check", "pool", "pool", post="operate"),
        Address("GET", "/pools/{pool}/check", "sync_run", "read", "platform"),
        *_all("/pools/{pool}/sync", "pool", "pool", post="operate"),
        *_all("/pools/{pool}/grants", "grant", "platform", get="read", put="edit"),
        *_all("/projects", "project", "anywhere", get="read", post="create"),
        *_all("/projects/{project}", "project", "project", get="read", patch="edit"),
        *_all("/projects/{project}/suspend", "project", "above", post="operate"),
        *_all("/projects/{project}/resume", "project", "above", post="operate"),
        *_all("/projects/{project}/archive", "project", "above", post="remove"),
        *_all("/projects/{project}/restore", "project", "above", post="remove"),
        *_all("/projects/{project}/pools", "pool", "project", get="read"),
        *_all("/projects/{project}/quotas", "quota", "project", get="read"),
        *_all("/projects/{project}/quotas", "quota", "above", put="edit"),
        *_all("/projects/{project}/members", "member", "project", get="read", post="create"),
        *_all("/projects/{project}/members/{user}", "member", "project", patch="edit", delete="remove"),
        *_all("/projects/{project}/invitations", "invitation", "project", get="read", post="create"),
        *_all("/projects/{project}/service-accounts", "service_account", "project", get="read", post="create"),
        *_all("/invitations", "invitation", "anywhere", get="read", post="create"),
        *_all("/invitations/{invitation}", "invitation", "project", delete="remove"),
        *_all("/service-accounts", "service_account", "anywhere", get="read", post="create"),
        *_all("/service-accounts/{account}", "service_account", "project", get="read", patch="edit", delete="remove"),
        *_all("/users", "user", "anywhere", get="read", post="create"),
        *_all("/users/{user}", "user", "platform", get="read", patch="edit"),
        *_all("/users/{user}/platform-roles", "platform_role", "platform", put="edit"),
        *_all("/roles", "me", "mine", get="read"),
        *_all("/sso-groups", "sso_group", "anywhere", get="read", post="create"),
        *_all("/sso-groups/{group}", "sso_group", "platform", get="read", delete="remove"),
        *_all("/me", "me", "mine", get="read", patch="edit"),
        *_all("/me/sessions", "me", "mine", get="read"),
        *_all("/me/sessions/{session}", "me", "theirs", delete="remove"),
        *_all("/users/{user}/sessions", "session", "platform", delete="remove"),
        *_all("/users/{user}/password-reset", "user", "platform", post="edit"),
        *_all("/sync-runs", "sync_run", "anywhere", get="read"),
        *_all("/sync-runs/{run}", "sync_run", "platform", get="read"),
        *_all("/sync-runs/{run}/changes", "sync_run", "platform", get="read"),
        *_all("/sync-runs/{run}/approve", "sync_run", "platform", post="operate"),
        *_all("/sync-runs/{run}/reject", "sync_run", "platform", post="operate"),
        *_all("/nodes", "node", "anywhere", get="read"),
        *_all("/nodes/{node}", "node", "platform", get="read"),
        *_all("/nodes/{node}/changes", "node", "platform", get="read"),
        *_all("/devices", "device", "anywhere", get="read"),
        *_all("/devices/{device}", "device", "platform", get="read"),
        *_all("/devices/{device}/changes", "device", "platform", get="read"),
        *_all("/devices/{device}/usage", "device", "platform", get="read"),
        *_all("/devices/{device}/give-out", "device", "platform", post="operate"),
        *_all("/models", "model", "anywhere", get="read"),
        *_all("/models/{model}", "model", "anywhere", get="read"),
        *_all("/capacity", "capacity", "anywhere", get="read"),
        *_all("/fragmentation", "capacity", "anywhere", get="read"),
        *_all("/allocations", "allocation", "anywhere", get="read", post="create"),
        *_all("/calendar", "allocation", "anywhere", get="read"),
        *_all("/calendar/peaks", "allocation", "anywhere", get="read"),
        *_all("/allocations/bulk", "allocation", "anywhere", post="create"),
        *_all("/allocations/preempt", "allocation", "anywhere", post="operate"),
        *_all("/allocations/{allocation}", "allocation", "project", get="read"),
        *_all("/allocations/{allocation}/events", "allocation", "project", get="read"),
        *_all("/allocations/{allocation}/operations", "allocation", "project", get="read"),
        *_all("/allocations/{allocation}/plan", "allocation", "project", get="read"),
        *_all("/allocations/{allocation}/delivery", "allocation", "project", get="read"),
        *_all("/allocations/{allocation}/delivery/reveal", "allocation", "project", post="edit"),
        *_all("/allocations/{allocation}/confirm", "allocation", "project", post="edit"),
        *_all("/allocations/{allocation}/extend", "allocation", "project", post="edit"),
        *_all("/allocations/{allocation}/preempt", "allocation", "project", post="operate"),
        *_all("/allocations/{allocation}/before-end", "allocation", "project", post="edit"),
        *_all("/allocations/{allocation}/retry", "allocation", "project", post="edit"),
        *_all("/allocations/{allocation}/release", "allocation", "project", post="remove"),
        *_all("/what-if", "allocation", "anywhere", post="create"),
        *_all("/ledger", "ledger", "anywhere", get="read"),
        *_all("/flavors", "flavor", "anywhere", get="read", post="create"),
        *_all("/flavors/{flavor}", "flavor", "anywhere", get="read", patch="edit", delete="remove"),
        *_all("/prices", "price", "anywhere", get="read", post="create"),
        *_all("/audit", "audit", "anywhere", get="read"),
        *_all("/audit/export", "audit", "anywhere", get="read"),
        *_all("/audit/seals", "audit", "platform", get="read"),
        *_all("/audit/verification", "audit", "platform", get="read", post="read"),
        *_all("/events", "event", "anywhere", get="read"),
        *_all("/drift", "drift", "anywhere", get="read"),
        *_all("/drift/{drift_id}/repair", "drift", "platform", post="operate"),
        *_all("/drift/{drift_id}/adopt", "drift", "platform", post="operate"),
        *_all("/drift/{drift_id}/ignore", "drift", "platform", post="operate"),
        *_all("/orphans", "orphan", "anywhere", get="read"),
        *_all("/orphans/{orphan}/adopt", "orphan", "platform", post="operate"),
        *_all("/orphans/{orphan}/reap", "orphan", "platform", post="operate"),
        *_all("/tokens", "me", "mine", get="read", post="create"),
        *_all("/tokens/{token}", "token", "platform", get="read", delete="remove"),
        *_all("/tokens/{token}/rotate", "token", "platform", post="create"),
    )

    @classmethod
    def things(cls) -> dict[str, str]:
        now = timezone.now()
        cls.tokens = {
            user: tokens.make(username=user.username, name="all", actor=SYSTEM, now=now) for user in cls.users.values()
        }
        return world.made(now)

    def ask(self, address: Address, user: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        body = b"" if address.method == "GET" else b"{}"
        path = f"/api/v1{address.path.format(**self.names)}"
        return Client(raise_request_exception=False).generic(
            address.method, path, body, content_type="application/json", headers=headers
        )

    def told(self, response: Any) -> Verdict:
        assert response.status_code < 500, response.content
        return _OF_STATUS.get(response.status_code, "let in")

    def known_addresses(self) -> set[tuple[str, str]]:
        paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
        return {
            (method.upper(), path.removeprefix("/api/v1"))
            for path, methods in paths.items()
            if path.startswith("/api/v1/")
            for method in methods
            if method in ("get", "post", "put", "patch", "delete")
        }

    def comparable(self, response: Any) -> Any:
        return {**json.loads(response.content), "request_id": ""}
