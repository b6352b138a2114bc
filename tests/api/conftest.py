"""An administrator with a token, and a client that speaks JSON."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.services import tokens
from tests import factories


class Api:
    """Calls /api/v1 and returns the response; ``data`` is its decoded body."""

    def __init__(self, token: str | None) -> None:
        self._client = Client(raise_request_exception=False)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Any = None, raw: bytes | None = None
    ) -> Any:
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        response: Any = self._client.generic(
            method,
            path if path.startswith(("/api/", "http")) else f"/api/v1{path}",
            content,
            content_type="application/json",
            headers=self._headers | (headers or {}),
        )
        response.data = json.loads(response.content) if response.content else None
        return response

    def get(self, path: str, **options: Any) -> Any:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self("POST", path, body, **options)


@pytest.fixture
def admin(db):
    return factories.person("root", "admin")  # no password: hashing takes its time


@pytest.fixture
def token(admin):
    return tokens.make(username="root", name="tests", actor=SYSTEM, now=timezone.now())


@pytest.fixture
def api(token):
    return Api(token)


@pytest.fixture
def anonymous(db):
    return Api(None)
