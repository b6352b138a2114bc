"""Whether ids of what belongs to others tell anything: a guess of one that exists is answered like any other."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pools.domain import ids
from pools.domain.actors import SYSTEM
from pools.models import Device, Node, SyncRun
from pools.services import partitions, tokens
from tests import factories
from tests.api.conftest import Api
from tests.factories import Clock, Shows, node
from tests.security import urls

pytestmark = pytest.mark.django_db
MADE_UP = re.compile(r"[0-9a-f]{32}|[0-9a-f-]{36}|s\d+_x\d+|\d{4}-\d\d-\d\d[T ][^'\"]*")
"""Ids, savepoints and times differ from request to request."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def others():
    """Ids of what belongs to umbrella, by the parameter of an address that names such a thing."""
    now = timezone.now()
    partitions.ensure(now=now)
    umbrella = factories.project("umbrella/secret", owner=factories.person("eve"))
    lab = factories.granted(factories.pool("lab"), umbrella)
    factories.synced(lab, Shows(node("n1")), Clock(now))
    return {
        "pool": lab.pk,
        "run": SyncRun.objects.get().pk,
        "node": Node.objects.get().pk,
        "device": Device.objects.first().pk,
        "project": umbrella.pk,
        "user": factories.person("mallory").pk,
    }


@pytest.fixture
def tenant(others):
    """Somebody who owns acme and nothing else."""
    factories.project("acme", owner=factories.person("alice"))
    return Api(tokens.make(username="alice", name="tests", actor=SYSTEM, now=timezone.now()))


def asked(tenant, method, path, hidden):
    """Return all that an answer tells and costs, with the id that was asked for made unknown."""
    with CaptureQueriesContext(
        connection,
    ) as caught:
        answer = tenant(method, path, {} if method != "GET" else None)

    def plain(text):
        return re.sub(
            r"[0-9a-f]{32}|s\d+_x\d+|[0-9a-f-]{36}|\d{4}-\d\d-\d\d[T ][^'\"]*", "_", text.replace(str(hidden), "_")
        )

    told = {
        name: value
        for name, value in answer.items()
        if not name.startswith(("X-Request-ID", "X-RateLimit", "RateLimit"))
    }
    return answer.status_code, plain(answer.content.decode()), told, [plain(query["sql"]) for query in caught]


def with_one_id():
    for address in urls.api():
        names = re.findall(r"<\w+:(\w+)>", address.route)
        if len(names) == 1:
            yield address, names[0]


class TestAnIdOfSomebodyElse:
    def test_is_answered_in_words_and_work_like_one_that_never_was(self, tenant, others):
        checked = set()
        for address, name in with_one_id():
            if name not in others:
                continue
            absent = ids.new_id()
            for method in METHODS:
                asked(tenant, method, address.path({name: str(ids.new_id())}), "")  # what is looked up once is known
                theirs = asked(tenant, method, address.path({name: str(others[name])}), others[name])
                nobodys = asked(tenant, method, address.path({name: str(absent)}), absent)

                assert theirs == nobodys, (method, address.route)
                assert theirs[0] in (403, 404, 405, 422), (method, address.route)
                checked.add(name)

        assert checked >= {"pool", "run", "node", "device"}
