"""The one layer of retries for questions to a far end. Changes are never repeated here: their effect may be unknown."""

import time
from collections.abc import Callable
from typing import TypeVar

import stamina

from connectors.contract import Transient

ATTEMPTS = 3
LONGEST_WAIT_SECONDS = 10.0

T = TypeVar("T")


def repeated(ask: Callable[[float], T], *, deadline_seconds: float) -> T:
    """Return what ``ask`` returns, asked again after a Transient that may be over soon.

    ``ask`` is given the instant on the monotonic clock at which all attempts together must have ended.
    Raises what the last attempt raised.
    """
    deadline_at = time.monotonic() + deadline_seconds

    def wait(error: Exception) -> bool | float:
        if not isinstance(error, Transient) or error.code == "timeout":
            return False  # who was slow once would be slow again: the pool's own schedule repeats that
        if error.after_seconds is None:
            return True
        is_soon = error.after_seconds <= LONGEST_WAIT_SECONDS
        return error.after_seconds if is_soon and time.monotonic() + error.after_seconds < deadline_at else False

    for attempt in stamina.retry_context(
        on=wait, attempts=ATTEMPTS, timeout=deadline_seconds, wait_initial=0.2, wait_max=2.0, wait_jitter=0.3
    ):
        with attempt:
            return ask(deadline_at)
    raise AssertionError("stamina ends by a result or by the last error")
