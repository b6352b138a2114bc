"""How many queries each list takes: the same for one row and for many, and no more than before."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from tests import logs
from tests.api import world

LISTS = {
    "/allocations": 3,
    "/allocations/{allocation}/events": 2,
    "/allocations/{allocation}/delivery": 2,
    "/allocations/{allocation}/operations": 2,
    "/allocations/{allocation}/plan": 2,
    "/audit": 2,
    "/audit/seals": 1,
    "/calendar": 1,
    "/calendar/peaks": 3,
    "/capacity": 1,
    "/devices": 3,
    "/devices/{device}/changes": 2,
    "/devices/{device}/usage": 2,
    "/drift": 2,  # one more where members are on the targets
    "/events": 2,
    "/flavors": 1,
    "/fragmentation": 4,
    "/invitations": 1,
    "/kinds": 0,
    "/ledger": 1,
    "/me/sessions": 1,
    "/models": 3,
    "/nodes": 2,
    "/nodes/{node}/changes": 3,
    "/orphans": 1,
    "/pools": 4,
    "/pools/{pool}/grants": 3,
    "/prices": 1,
    "/projects": 1,
    "/projects/{project}/invitations": 2,
    "/projects/{project}/members": 2,
    "/projects/{project}/pools": 3,
    "/projects/{project}/quotas": 3,
    "/projects/{project}/service-accounts": 2,
    "/roles": 0,
    "/service-accounts": 1,
    "/sso-groups": 1,
    "/sync-runs": 2,
    "/sync-runs/{run}/changes": 2,
    "/tokens": 1,
    "/users": 2,
}
# Lists of what a new row elsewhere adds nothing to: of code, of the caller, of one object.
SAME_ROWS = {
    "/allocations/{allocation}/events",
    "/allocations/{allocation}/delivery",
    "/allocations/{allocation}/operations",
    "/allocations/{allocation}/plan",
    "/audit/seals",
    "/devices/{device}/changes",
    "/devices/{device}/usage",
    "/kinds",
    "/ledger",
    "/me/sessions",
    "/models",
    "/nodes/{node}/changes",
    "/roles",
    "/sync-runs/{run}/changes",
    "/tokens",
}


def lists_of_the_description() -> set[str]:
    """Return the addresses whose answer has results."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return {
        path.removeprefix("/api/v1")
        for path, methods in schema["paths"].items()
        if "get" in methods and "results" in _answer(schema, methods["get"])
    }


def _answer(schema: Any, operation: Any) -> Any:
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref", "")
    return schema["components"]["schemas"].get(reference.rpartition("/")[2], {}).get("properties", {})


@pytest.mark.django_db(transaction=True)  # every observation merges in transactions of its own
class TestLists:
    def counts(self, api, names):
        """Return for each address how many queries it takes and how many rows it shows."""
        return {path: self.count(api, path.format(**names)) for path in sorted(lists_of_the_description())}

    def count(self, api, path):
        api.get(path)  # what is kept per process is there
        with CaptureQueriesContext(connection) as queries:
            response = api.get(path)
        assert response.status_code == 200, response.content
        return len(queries), len(response.data["results"])

    def test_take_as_many_queries_for_many_rows_as_for_one(self, api):
        logs.empty()  # what other tests left would fill the page, in which more rows do not show
        names = world.made(timezone.now())
        few = self.counts(api, names)
        for number in range(2, 5):
            world.made(timezone.now(), number)

        many = self.counts(api, names)

        assert {path: queries for path, (queries, _) in few.items()} == LISTS
        assert {path: queries for path, (queries, _) in many.items()} == LISTS
        assert {path for path, (_, rows) in many.items() if rows <= few[path][1]} == SAME_ROWS
