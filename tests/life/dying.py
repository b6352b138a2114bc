"""A worker that kills itself at one point of a call on a real platform: a fork of this process, with all loaded."""

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from django.db import connections
from django.utils import timezone

from connectors import session
from connectors.baremetal import desired, ssh
from connectors.contract import Done
from connectors.http import Http
from pools import dispatch
from pools.models import Target
from pools.services import targets as turns
from tests.connectors.server import Seen
from tests.connectors.vsphere.double_soap import is_write
from tests.life.tenant import Tenant

POINTS: Final = ("before it is sent", "after it is sent", "after its effect", "before the outcome commits")
"""Written down as sent, and nothing left yet; the first change left and nobody read on; all of it is there, and nobody
knows; known, and not committed."""
PATIENCE_SECONDS: Final = 120
ARRIVES_SECONDS: Final = 0.1
"""In which a host's helper gets its document, and is not done with it."""


def die(tenant: Tenant, point: str) -> None:
    """Let a worker work until it dies there with SIGKILL. Fails when it ends otherwise."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            _arm(point)
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < give_up_at:
                tenant.work()
                time.sleep(0.2)
        except BaseException:  # the copy of a test run must not go on as one
            traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    # The turn of the dead runs out within minutes.
    Target.objects.filter(turn_until__isnull=False).update(turn_until=timezone.now())
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"it did not die {point}"


def _arm(point: str) -> None:
    """Nothing is put back: the process dies of it."""
    patch.object(dispatch, "_send", lambda *_args: None).start()  # the broker's connection is the parent's
    if point == "before it is sent":
        patch.object(session._Session, "apply", _dying).start()
    elif point == "after it is sent":
        patch.object(Http, "send", _dying_after_a_change(Http.send)).start()
        patch.object(ssh.Session, "run", _dying_while_it_runs(ssh.Session.run)).start()
    elif point == "after its effect":
        patch.object(session._Session, "apply", _dying_when_done(session._Session.apply)).start()
    elif point == "before the outcome commits":
        patch.object(turns, "_finish", _dying_behind(turns._finish)).start()


def crash(tenant: Tenant, point: str) -> None:
    """Let a worker die there while it makes what is asked for, and another while it gives that back.

    Fails unless those who go on leave no double, no orphan and nothing lost, and an exact ledger.
    """
    platform, shape = tenant.platform, tenant.platform.shapes[0]
    before = platform.picture()

    id = tenant.ask(shape)
    die(tenant, point)
    assert tenant.state(id) in ("claimed", "binding")
    tenant.bind(id)
    given = tenant.given(id, shape)
    platform.prove(given)
    tenant.check()

    tenant.release(id)
    die(tenant, point)
    assert tenant.state(id) == "releasing"
    tenant.work_until(lambda: tenant.state(id) == "released", id)
    platform.prove_ended(given)
    assert platform.picture() == before, "something is left on the platform"
    tenant.check_nothing_left()


def _dying(*_args: Any, **_more: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying_behind(real: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **more: Any) -> None:
        real(*args, **more)
        _dying()

    return wrapped


def _dying_when_done(real: Callable[..., Any]) -> Callable[..., Any]:
    """An answer that the platform is still at it is no effect yet."""

    def wrapped(*args: Any, **more: Any) -> Any:
        outcome = real(*args, **more)
        if isinstance(outcome, Done):
            _dying()
        return outcome

    return wrapped


def _dying_after_a_change(real: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(http: Http, method: str, path: str, **more: Any) -> Any:
        answer = real(http, method, path, **more)
        if _is_change(method, path, more.get("body")):
            _dying()
        return answer

    return wrapped


def _is_change(method: str, path: str, body: Any) -> bool:
    """Whether a request changes what a platform gives out: asking for rights, tokens and properties does not."""
    if method == "GET" or path.endswith(("/selfsubjectaccessreviews", "/token", "/auth/tokens")):
        return False
    return is_write(Seen(method, path, {}, {}, body)) if path.endswith("/sdk") else True


def _dying_while_it_runs(real: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapped(connected: ssh.Session, command: str, stdin: str = "") -> Any:
        if command != desired.APPLY:
            return await real(connected, command, stdin)
        process = await connected._connection.create_process(command, encoding=None)
        process.stdin.write(stdin.encode())
        process.stdin.write_eof()
        await process.stdin.drain()
        await asyncio.sleep(ARRIVES_SECONDS)
        _dying()

    return wrapped
