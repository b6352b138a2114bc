"""The API is what its description says: requests that Schemathesis makes up from it, at the real server.

OCENTER_TEST_FUZZ_REQUESTS says how many at least, and OCENTER_TEST_FUZZ_SEED repeats a run that printed it.
"""

import os
import random
from collections import Counter

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from pools.domain import roles
from tests.fuzz import world

pytestmark = pytest.mark.fuzz
REQUESTS = int(os.environ.get("OCENTER_TEST_FUZZ_REQUESTS", "2000"))
SEED = int(os.environ.get("OCENTER_TEST_FUZZ_SEED") or random.randrange(2**32))
AT_ONCE = 4
"""Requests that are right and as many that are wrong, of each operation by each caller, in one world."""
ORDER = ("GET", "PATCH", "PUT", "POST", "DELETE")
"""What ends things comes last, so that there is something to ask for."""
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.ignored_auth,
]
AS_JSON = {"Accept": "application/json"}
REFUSED = [304, 401, 403, 404, 409, 412, 422]
"""What may be the answer to a request that is right by the description: never that its form is wrong."""
WORDS = {
    "role": list(roles.ROLES),
    "name": ["n1", "vision-2", "lab-3", "ci-4"],
    "username": ["bo", "li"],
    "email": ["bo@example.com", "li@example.com"],
    "language": ["en", "zh-hans"],
    "time_zone": ["Asia/Shanghai", "UTC"],
    "state": ["active", "paused", "open", "archived"],
    "mode": ["device", "host"],
    "label": ["who=acme", "!who", "a,b!=c"],
    "from": ["2026-01-01", "2026-11-25T12:00:00Z"],
    "to": ["2026-01-01", "2027-11-25"],
    "after": ["now"],
    "is_active": ["true", "false"],
    "sync_interval_seconds": [60, 3600],
}


def config(things):
    """Names that mean something in four of five places, for of made-up ones nearly none gets further than the door."""
    words = WORDS | things | {"parent": things["project"], "under": things["project"], "object": things["pool"]}
    words |= {"service_account": things["account"], "item": [*things["project"], *roles.PLATFORM_ROLES]}
    places = {name: name for name in words} | {f"body.{name}": name for name in words} | {"body.[*]": "item"}
    return SchemathesisConfig.from_dict(
        {
            "dictionaries": {name: {"values": values} for name, values in words.items()},
            "parameters": {place: {"dictionary": name, "probability": 0.8} for place, name in places.items()},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
                "negative_data_rejection": {"expected-statuses": ["4xx"]},
            },
        }
    )


class Counted(requests.Session):
    """Counts what is really sent, by what comes back; ``let_in`` are the operations that have done something."""

    def __init__(self):
        super().__init__()
        self.statuses = Counter()
        self.let_in = set()

    def send(self, *args, **options):
        answer = super().send(*args, **options)
        self.statuses[answer.status_code] += 1
        return answer


class TestTheDescription:
    def test_is_kept_whatever_an_administrator_an_owner_and_a_viewer_send(self, address):
        print(f"\nOCENTER_TEST_FUZZ_SEED={SEED} OCENTER_TEST_FUZZ_REQUESTS={REQUESTS}")
        session, wrong, number = Counted(), {}, 0

        while session.statuses.total() < REQUESTS:
            one_round(address, session, wrong, number)
            number += 1

        sent = f"{session.statuses.total()} requests, {len(session.let_in)} operations let in"
        print(f"{sent}: {dict(sorted(session.statuses.items()))}")
        assert not wrong, "\n\n".join(f"{key}\n{told}" for key, told in wrong.items())
        assert len(session.let_in) >= min(60, REQUESTS // 20), session.let_in

    def test_names_every_method_there_is_for_another_is_refused_with_those(self, address):
        there = world.made("methods")
        names = {name: found[0] for name, found in there.things().items()}
        description = requests.get(f"{address}/api/schema/", headers=_headers(there.admin) | AS_JSON, timeout=60).json()
        wrong = []

        for path, operations in description["paths"].items():
            described = {method.upper() for method in operations}
            for method in {*ORDER, "OPTIONS", "TRACE", "QUERY"} - described:
                answer = requests.request(
                    method, address + path.format(**names), headers=_headers(there.admin), timeout=60
                )
                allowed = set(answer.headers.get("Allow", "").split(", ")) - {"HEAD"}
                if answer.status_code != 405 or allowed != described:
                    wrong.append((method, path, answer.status_code, allowed))

        assert not wrong, "\n".join(map(str, wrong))


def one_round(address, session, wrong, number):
    """Ask for every operation by every caller in a new world; note in ``wrong`` what should not be, each kind once."""
    there = world.made(f"acme{number}", f"umbrella{number}")
    own = there.tenants[0]
    found = requests.get(f"{address}/api/schema/", headers=_headers(there.admin) | AS_JSON, timeout=60).json()
    # In this order, for the administrator ends what the others need. The first round is whole however many requests it
    # takes: else whoever comes last would ask for nothing.
    for who, token, things in (
        ("viewer", own.tokens["viewer"], own.things | there.shared),
        ("owner", own.tokens["owner"], own.things | there.shared),
        ("admin", there.admin, there.things()),
    ):
        description = schemathesis.openapi.from_dict(found, config=config(things))
        operations = [operation.ok() for operation in description.get_all_operations()]
        for operation in sorted(operations, key=lambda each: ORDER.index(each.method.upper())):
            for mode in GenerationMode:
                if number == 0 or session.statuses.total() < REQUESTS:
                    seed = f"{SEED} {number} {who} {operation.label} {mode}"
                    ask(operation, mode, address, session, _headers(token), wrong, seed)


def ask(operation, mode, address, session, headers, wrong, seed):
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=AT_ONCE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        case.headers.pop("Host", None)  # decides who answers, and tests/security/test_live_server.py tries others
        # Who asks for some fields gets no whole struct, which OpenAPI has no words for; tests/api/test_frame.py has it.
        unfit = [checks.response_schema_conformance] if case.query.get("fields") else []
        try:
            answer = case.call_and_validate(
                base_url=address, session=session, headers=headers, checks=CHECKS, excluded_checks=unfit
            )
        except FailureGroup as group:
            for failure in group.exceptions:
                wrong.setdefault((operation.label, failure.title, failure.message[:80]), str(group))
        else:
            if 200 <= answer.status_code < 300:
                session.let_in.add(operation.label)

    send()


def _headers(token):
    return {"Authorization": f"Bearer {token}"}
