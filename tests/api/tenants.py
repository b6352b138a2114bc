"""Callers of REST that are no administrators."""

from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.services import tokens
from tests.api.conftest import Api


def caller(user):
    """A client with a token of the user."""
    return Api(tokens.make(username=user.username, name="tests", actor=SYSTEM, now=timezone.now()))


def paths(answer):
    """The paths in a list of projects."""
    assert answer.status_code == 200, answer.data
    return [row["path"] for row in answer.data["results"]]
