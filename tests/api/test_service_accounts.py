"""Service accounts over HTTP."""

import pytest

from tests.api.conftest import Api
from tests.api.tenants import caller
from tests.factories import person, project

pytestmark = pytest.mark.django_db


@pytest.fixture
def mia(db):
    """Manager of acme."""
    user = person("mia")
    project("acme", manager=user)
    return caller(user)


class TestServiceAccounts:
    def test_work_with_a_token_until_they_are_removed(self, mia):
        made = mia.post("/projects/acme/service-accounts", {"name": "ci", "role": "viewer"})
        token = mia.post("/tokens", {"name": "build", "service_account": made.data["username"]}).data["token"]
        ci = Api(token)

        assert made.status_code == 201 and mia.get(made["Location"]).data == {**made.data, "last_used_at": None}
        assert ci.get("/projects/acme").status_code == 200
        assert ci.post("/projects", {"name": "x", "parent": "acme"}).status_code == 403
        assert mia("DELETE", f"/service-accounts/{made.data['id']}").status_code == 204
        assert ci.get("/projects/acme").status_code == 401
        assert mia.get(made["Location"]).status_code == 404

    def test_are_edited_by_name_in_the_version_that_was_read(self, mia):
        made = mia.post("/projects/acme/service-accounts", {"name": "ci", "role": "viewer"})
        where = f"/service-accounts/{made.data['username']}"

        first = mia("PATCH", where, {"role": "member"}, headers={"If-Match": made["ETag"]})
        second = mia("PATCH", where, {"is_active": False}, headers={"If-Match": made["ETag"]})

        assert (first.data["role"], second.status_code) == ("member", 412)

    def test_get_no_role_above_that_of_the_giver(self, mia):
        answer = mia.post("/projects/acme/service-accounts", {"name": "ci", "role": "owner"})

        assert (answer.status_code, answer.data["code"]) == (403, "member.role_too_high")

    def test_of_the_platform_and_of_others_are_not_known(self, api, mia):
        project("umbrella")
        for where, role in (("/service-accounts", "operator"), ("/projects/umbrella/service-accounts", "owner")):
            made = api.post(where, {"name": "ci", "role": role})

            assert made.status_code == 201
            assert mia.get(f"/service-accounts/{made.data['id']}").data["code"] == "service_account.not_found"
        assert mia.get("/service-accounts").data["results"] == []
        assert mia.post("/service-accounts", {"name": "ci", "role": "operator"}).status_code == 403

    @pytest.mark.parametrize("query", ["project=acme", "role=viewer", "is_active=false", "q=C"])
    def test_are_narrowed_by_filters(self, mia, query):
        mia.post("/projects", {"name": "vision", "parent": "acme"})
        made = mia.post("/projects/acme/service-accounts", {"name": "ci", "role": "viewer"})
        mia("PATCH", f"/service-accounts/{made.data['id']}", {"is_active": False})
        mia.post("/projects/acme/vision/service-accounts", {"name": "bot", "role": "member"})

        rows = mia.get(f"/service-accounts?{query}").data["results"]

        assert [row["name"] for row in rows] == ["ci"]

    def test_are_listed_in_one_query(self, mia, django_assert_num_queries):
        mia.post("/projects/acme/service-accounts", {"name": "ci", "role": "viewer"})
        mia.get("/service-accounts")

        with django_assert_num_queries(1):
            mia.get("/service-accounts")
        with django_assert_num_queries(2):
            mia.get("/projects/acme/service-accounts")
