"""Projects over HTTP: as the platform, and as a tenant that knows of itself only."""

import pytest

from tests.api.tenants import caller, paths
from tests.factories import granted, person, pool, project

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db):
    return project("acme")


@pytest.fixture
def olga(acme):
    """Owner of acme."""
    user = person("olga")
    project("acme", owner=user)
    return caller(user)


class TestMaking:
    def test_answers_the_project_with_its_address_and_version(self, api):
        tenant = api.post("/projects", {"name": "acme", "display_name": "Acme", "labels": {"tier": "gold"}})
        made = api.post("/projects", {"name": "vision", "parent": "acme"})

        assert (tenant.status_code, made.status_code) == (201, 201)
        assert (tenant.data["parent"], made.data["path"], made.data["parent"]) == (None, "acme/vision", "acme")
        assert made.data["state"] == made.data["effective_state"] == "active"
        found = api.get(made["Location"])
        assert found.data == made.data and found["ETag"] == made["ETag"]

    def test_of_a_tenant_is_for_the_platform(self, olga):
        assert olga.post("/projects", {"name": "umbrella"}).status_code == 403
        assert olga.post("/projects", {"name": "vision", "parent": "acme"}).status_code == 201

    def test_below_what_one_may_not_know_is_as_below_nothing(self, olga):
        project("umbrella")

        answers = [olga.post("/projects", {"name": "x", "parent": parent}) for parent in ("umbrella", "made-up")]

        first, second = ({**answer.data, "request_id": ""} for answer in answers)
        assert first == second and first["errors"][0]["field"] == "parent"

    def test_of_a_word_of_addresses_is_refused(self, api):
        answer = api.post("/projects", {"name": "members"})

        assert answer.status_code == 422 and answer.data["errors"][0]["code"] == "reserved"

    def test_takes_no_fields_that_are_not_for_callers(self, api):
        answer = api.post("/projects", {"name": "acme", "state": "archived", "lineage": []})

        assert [error["field"] for error in answer.data["errors"]] == ["state", "lineage"]


class TestTheList:
    @pytest.fixture
    def tree(self, acme):
        for path in ("acme/vision/ocr", "acme/audio", "acme-labs", "umbrella/acme"):
            project(path)

    def test_goes_by_path_and_tells_a_tenant_of_itself_only(self, api, olga, tree):
        assert paths(olga.get("/projects")) == ["acme", "acme/audio", "acme/vision", "acme/vision/ocr"]
        assert len(paths(api.get("/projects"))) == 7

    @pytest.mark.parametrize(
        "query, found",
        [
            ("under=acme/vision", ["acme/vision", "acme/vision/ocr"]),
            ("parent=acme", ["acme/audio", "acme/vision"]),
            ("q=VIS", ["acme/vision", "acme/vision/ocr"]),
            ("label=tier=gold", ["acme/audio"]),
            ("state=suspended", ["acme/vision"]),
            ("state=archived", ["acme-labs"]),
        ],
    )
    def test_is_narrowed_by_filters(self, api, tree, query, found):
        api("PATCH", "/projects/acme/audio", {"labels": {"tier": "gold"}})
        api.post("/projects/acme/vision/suspend")
        api.post("/projects/acme-labs/archive")

        assert paths(api.get(f"/projects?{query}")) == found

    def test_does_not_narrow_by_what_one_may_not_know(self, olga, tree):
        for name in ("under", "parent"):
            answers = [olga.get(f"/projects?{name}={path}") for path in ("umbrella", "made-up00")]

            details = [answer.data["errors"][0]["detail"] for answer in answers]
            assert [answer.status_code for answer in answers] == [422, 422]
            assert details[0].replace("umbrella", "") == details[1].replace("made-up00", "")

    def test_comes_in_pages(self, api, tree):
        first = api.get("/projects?limit=4")
        second = api.get(first.data["next"])

        assert second.data["next"] is None
        assert sorted(paths(first) + paths(second)) == sorted(paths(api.get("/projects")))

    def test_takes_one_query_however_many_there_are(self, api, tree, django_assert_num_queries):
        api.get("/projects")

        with django_assert_num_queries(1):
            api.get("/projects")


class TestOneProject:
    def test_is_found_by_path_and_by_id(self, api, olga):
        made = project("acme/vision")

        by_path, by_id = (olga.get(f"/projects/{word}") for word in ("acme/vision", made.pk))

        assert by_path.data == by_id.data and by_path.data["path"] == "acme/vision"

    @pytest.mark.parametrize("path", ["umbrella", "made-up", "A", "a//b", "acme/%00", "acme/made-up"])
    def test_that_one_may_not_know_is_none(self, olga, path):
        project("umbrella")

        answer = olga.get(f"/projects/{path}")

        assert (answer.status_code, answer.data["code"]) == (404, "project.not_found")

    def test_is_not_sent_again_to_who_has_it(self, api, acme):
        tag = api.get("/projects/acme")["ETag"]

        assert api.get("/projects/acme", headers={"If-None-Match": tag}).status_code == 304

    def test_has_another_version_when_what_is_above_is_suspended(self, api, acme):
        project("acme/vision")
        tag = api.get("/projects/acme/vision")["ETag"]

        api.post("/projects/acme/suspend")
        again = api.get("/projects/acme/vision", headers={"If-None-Match": tag})

        assert (again.data["state"], again.data["effective_state"]) == ("active", "suspended")

    def test_is_edited_in_the_version_that_was_read_only(self, api, acme):
        tag = api.get("/projects/acme")["ETag"]

        first = api("PATCH", "/projects/acme", {"display_name": "A"}, headers={"If-Match": tag})
        second = api("PATCH", "/projects/acme", {"display_name": "B"}, headers={"If-Match": tag})

        assert (first.status_code, first.data["display_name"]) == (200, "A")
        assert (second.status_code, second.data["code"]) == (412, "project.changed")

    def test_is_renamed_with_all_below(self, api, olga):
        project("acme/vision/ocr")

        answer = olga("PATCH", "/projects/acme/vision", {"name": "sight"})

        assert answer.data["path"] == "acme/sight"
        assert paths(olga.get("/projects?under=acme/sight")) == ["acme/sight", "acme/sight/ocr"]
        assert olga.get("/projects/acme/vision").status_code == 404


class TestTheStates:
    def test_an_owner_does_not_resume_what_the_platform_suspended(self, api, olga):
        api.post("/projects/acme/suspend")

        assert olga.post("/projects/acme/resume").status_code == 403
        assert olga.post("/projects", {"name": "x", "parent": "acme"}).data["code"] == "project.suspended"
        assert api.post("/projects/acme/resume").data["state"] == "active"

    def test_an_owner_decides_about_what_is_below(self, olga):
        project("acme/vision")

        moves = [olga.post(f"/projects/acme/vision/{move}") for move in ("suspend", "resume")]

        assert [move.data["state"] for move in moves] == ["suspended", "active"]

    def test_an_archived_project_is_found_by_its_id_and_restored(self, api, acme):
        archived = api.post("/projects/acme/archive")

        assert archived.data["state"] == "archived" and api.get("/projects/acme").status_code == 404
        assert api.get(f"/projects/{acme.pk}").data["archived_at"] is not None
        assert api.post(f"/projects/{acme.pk}/restore").data["state"] == "active"

    def test_an_archive_names_what_is_below(self, api, acme):
        project("acme/vision")

        answer = api.post("/projects/acme/archive")

        assert (answer.status_code, answer.data["code"]) == (409, "project.has_children")
        assert "vision" in answer.data["detail"]


class TestThePoolsOfAProject:
    def test_are_those_granted_to_it_or_above_and_tell_no_addresses(self, api, olga):
        own, above = granted(pool("own"), project("acme/vision")), granted(pool("above"), project("acme"))
        granted(pool("below"), project("acme/vision/ocr"))
        granted(pool("beside"), project("acme/audio"))

        answer = olga.get("/projects/acme/vision/pools")

        assert [row["id"] for row in answer.data["results"]] == [str(above.pk), str(own.pk)]
        assert "settings" not in answer.data["results"][0]
        names = [row["name"] for row in api.get("/projects/acme/pools?q=o").data["results"]]
        assert names == ["above"]

    def test_take_three_queries_however_many_there_are(self, olga, django_assert_num_queries):
        for number in range(3):
            granted(pool(f"p{number}"), project("acme"))
        olga.get("/projects/acme/pools")

        with django_assert_num_queries(3):
            olga.get("/projects/acme/pools")
