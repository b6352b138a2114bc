"""Accounts, roles, groups and oneself over HTTP."""

import pytest

from pools.domain import roles
from pools.models import User
from tests.api.conftest import Api
from tests.api.tenants import caller
from tests.factories import person, project

pytestmark = pytest.mark.django_db


class TestUsers:
    def test_are_made_with_a_link_that_is_shown_once(self, api):
        made = api.post("/users", {"username": "bo", "email": "bo@example.com", "display_name": "Bo"})

        assert made.status_code == 201 and "/account/password/reset/key/" in made.data["link"]
        found = api.get(made["Location"])
        assert "link" not in found.data and found["ETag"] == made["ETag"]
        assert found.data == api.get("/users/bo").data and found.data["roles"] == []

    def test_by_a_taken_name_are_refused(self, api):
        person("bo")

        assert api.post("/users", {"username": "BO"}).data["code"] == "user.name_taken"

    def test_are_edited_in_the_version_that_was_read(self, api):
        person("bo")
        tag = api.get("/users/bo")["ETag"]

        first = api("PATCH", "/users/bo", {"is_active": False}, headers={"If-Match": tag})
        second = api("PATCH", "/users/bo", {"is_active": True}, headers={"If-Match": tag})

        assert first.data["is_active"] is False
        assert (second.status_code, second.data["code"]) == (412, "user.changed")

    def test_take_no_field_that_is_not_for_callers(self, api):
        person("bo")

        for field in ("password", "kind", "username", "roles", "id"):
            answer = api("PATCH", "/users/bo", {field: "x"})
            assert (answer.status_code, answer.data["errors"][0]["code"]) == (422, "unknown_field")

    def test_get_roles_of_the_platform_by_a_list(self, api):
        person("bo")

        given = api("PUT", "/users/bo/platform-roles", ["auditor", "operator"])

        assert [role["role"] for role in given.data["roles"]] == ["auditor", "operator"]
        assert api("PUT", "/users/bo/platform-roles", ["owner"]).status_code == 422
        assert api("PUT", "/users/bo/platform-roles", {"roles": []}).data["errors"][0]["code"] == "not_a_list"
        assert api("PUT", "/users/bo/platform-roles", []).data["roles"] == []

    def test_keep_the_last_administrator(self, api):
        for answer in (
            api("PUT", "/users/root/platform-roles", []),
            api("PATCH", "/users/root", {"is_active": False}),
        ):
            assert (answer.status_code, answer.data["code"]) == (409, "user.last_admin")

    @pytest.mark.parametrize(
        "query, found",
        [
            ("role=viewer", ["ann"]),
            ("role=admin", ["root"]),
            ("is_active=false", ["off"]),
            ("kind=service", ["sa:ci"]),
            ("q=ann@", ["ann"]),
            ("q=Anna", ["ann"]),
        ],
    )
    def test_are_narrowed_by_filters(self, api, query, found):
        project("acme", viewer=person("ann", email="ann@example.com", display_name="Anna"))
        person("off", is_active=False)
        api.post("/service-accounts", {"name": "ci", "role": "auditor"})

        rows = api.get(f"/users?{query}").data["results"]

        assert [row["username"] for row in rows] == found

    def test_are_listed_with_their_roles_in_two_queries_and_pages(self, api, django_assert_num_queries):
        project("acme", viewer=person("ann"))
        first = api.get("/users?limit=1")
        assert first.data["results"][0]["roles"][0]["project"] == "acme"
        assert api.get(first.data["next"]).data["results"][0]["username"] == "root"

        with django_assert_num_queries(2):
            api.get("/users")

    def test_are_not_for_people_of_projects(self):
        olga = person("olga")
        project("acme", owner=olga)

        assert caller(olga).get("/users").status_code == 403
        assert caller(olga).get("/users/olga").data["code"] == "user.not_found"


class TestRoles:
    def test_are_the_table_itself_for_everybody_who_is_logged_in(self):
        rows = caller(person("new")).get("/roles").data["results"]

        assert [row["role"] for row in rows] == list(roles.ROLES)
        told = {row["role"]: {noun: frozenset(verbs) for noun, verbs in row["rights"].items()} for row in rows}
        assert told == {
            role: {noun: verbs for noun, verbs in roles.RIGHTS[role].items() if verbs} for role in roles.ROLES
        }


class TestMe:
    def test_tells_what_one_may_do_where(self):
        ann = person("ann", "auditor")
        project("acme/vision", viewer=ann)

        me = caller(ann).get("/me").data

        assert me["user"]["username"] == "ann" and me["scope"] == {} and len(me["token"]) == 8
        assert me["platform"]["audit"] == ["read"] and me["projects"].keys() == {"acme/vision"}
        assert me["projects"]["acme/vision"]["member"] == ["read"]

    def test_tells_what_a_narrower_token_leaves(self):
        olga = person("olga")
        acme = project("acme", owner=olga)
        project("acme/vision")
        scope = {"projects": ["acme/vision"], "verbs": ["read"]}
        made = caller(olga).post("/tokens", {"name": "narrow", "scope": scope})

        me = Api(made.data["token"]).get("/me").data

        assert me["projects"].keys() == {"acme/vision"} and me["scope"]["verbs"] == ["read"]
        assert {verb for verbs in me["projects"]["acme/vision"].values() for verb in verbs} == {"read"}
        assert str(acme.pk) not in str(me["scope"])

    def test_is_edited_without_any_role(self):
        new = caller(person("new", email="new@example.com"))

        answer = new("PATCH", "/me", {"language": "zh-hans", "time_zone": "Asia/Shanghai"})

        assert answer.status_code == 200
        stored = User.objects.get(username="new")
        assert (stored.language, stored.time_zone, stored.email) == ("zh-hans", "Asia/Shanghai", "new@example.com")

    @pytest.mark.parametrize("field", ["language", "time_zone", "is_active", "email"])
    def test_refuses_what_is_none_or_not_ones_own_to_say(self, field):
        answer = caller(person("new"))("PATCH", "/me", {field: "nowhere"})

        assert answer.status_code == 422 and answer.data["errors"][0]["field"] == field


class TestSsoGroups:
    def test_are_made_listed_and_removed(self, api, django_assert_num_queries):
        project("acme")
        made = api.post("/sso-groups", {"name": "staff", "role": "viewer", "project": "acme"})
        api.post("/sso-groups", {"name": "board", "role": "auditor"})

        with django_assert_num_queries(1):
            rows = api.get("/sso-groups").data["results"]
        assert [(row["name"], row["project"], row["role"]) for row in rows] == [
            ("board", None, "auditor"),
            ("staff", "acme", "viewer"),
        ]
        assert api.get("/sso-groups?project=acme&role=viewer&q=STAFF").data["results"] == [made.data]
        assert api.get(f"/sso-groups/{made.data['id']}").data == made.data
        assert api("DELETE", f"/sso-groups/{made.data['id']}").status_code == 204
        assert api.get(f"/sso-groups/{made.data['id']}").data["code"] == "sso_group.not_found"

    def test_give_nothing_in_a_project_that_is_none(self, api):
        answer = api.post("/sso-groups", {"name": "staff", "role": "viewer", "project": "made-up"})

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "project")
