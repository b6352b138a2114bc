"""What it costs to know who asks: a token whose rights the process keeps, and one that it looks up."""

import statistics
import time
from collections.abc import Callable

from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import User
from pools.selectors import access
from pools.services import tokens
from tests.bench.frame import Frame

ROUNDS = 20
TURNS = 2_000
NAME = "bench-access"


def run(frame: Frame) -> None:
    """Measure a token that is known and one that is not, in this process, as the web process does it."""
    User.objects.filter(username=NAME).delete()
    User.objects.create_user(NAME)
    token = tokens.make(username=NAME, name=NAME, actor=SYSTEM, now=timezone.now())
    try:
        cached = _cpu_us(lambda: tokens.access_of(token, timezone.now()), TURNS)
        # The question every two seconds whether rights changed is in it, as often as it falls into the turns.
        frame.results.record("token_cached_cpu_us", cached, "own CPU a request, rights kept; median of rounds")
        looked_up = _cpu_us(lambda: _as_a_new_process(token), TURNS // 20)
        frame.results.record("token_looked_up_cpu_us", looked_up, "own CPU, the first request of a token")
    finally:
        User.objects.filter(username=NAME).delete()


def _as_a_new_process(token: str) -> None:
    access.forget()
    tokens.access_of(token, timezone.now())


def _cpu_us(turn: Callable[[], object], turns: int) -> float:
    turn()
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        for _ in range(turns):
            turn()
        rounds.append((time.process_time_ns() - begun) / turns / 1000)
    return statistics.median(rounds)
