"""How a service begins: ``@writing.transaction``, all or nothing and committed when it returns.

Only ``request`` may stand around a service, and then it is the request that is all or nothing: the answer that a key
stands for commits with the write, and a dry run takes everything back (docs/decisions/0014).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import connection
from django.db.transaction import atomic, set_rollback

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
_is_directly_in_request: ContextVar[bool] = ContextVar("is_directly_in_request", default=False)


def transaction(service: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Run the service as one transaction of its own, or as a part of the request's.

    Raises RuntimeError inside any other transaction, such as that of another service: a caller who went on after this
    one returned could still take back what it wrote.
    """

    @wraps(service)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with atomic(durable=not _is_directly_in_request.get()), _directly_in_request(False):
            return service(*args, **kwargs)

    return run


@contextmanager
def request() -> Iterator[None]:
    """One transaction around all that a REST request does. Hints leave after it, as always after a commit."""
    with atomic(durable=True), _directly_in_request(True):
        yield


def take_back() -> None:
    """Make the request's transaction end without effect, once the checks that wait for a commit agreed as well."""
    connection.check_constraints()
    set_rollback(True)


@contextmanager
def _directly_in_request(value: bool) -> Iterator[None]:
    before = _is_directly_in_request.set(value)
    try:
        yield
    finally:
        _is_directly_in_request.reset(before)
