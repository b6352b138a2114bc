"""Which projects may use a pool, over HTTP."""

import pytest

from tests.api.tenants import caller
from tests.factories import person, pool, project

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab(db):
    return pool()


def projects(answer):
    assert answer.status_code == 200, answer.data
    return [row["project"] for row in answer.data["results"]]


class TestGrants:
    def test_are_replaced_by_a_list_of_paths_and_ids(self, api, lab):
        vision = project("acme/vision")

        given = api("PUT", "/pools/lab/grants", ["acme", str(vision.pk)])

        assert projects(given) == projects(api.get("/pools/lab/grants")) == ["acme", "acme/vision"]
        assert projects(api("PUT", "/pools/lab/grants", [])) == []

    def test_are_replaced_in_the_version_of_the_pool_that_was_read(self, api, lab):
        project("acme")
        tag = api.get("/pools/lab/grants")["ETag"]
        assert tag == api.get("/pools/lab")["ETag"]

        first = api("PUT", "/pools/lab/grants", ["acme"], headers={"If-Match": tag})
        second = api("PUT", "/pools/lab/grants", [], headers={"If-Match": tag})
        third = api("PUT", "/pools/lab/grants", [], headers={"If-Match": first["ETag"]})

        assert [each.status_code for each in (first, second, third)] == [200, 412, 200]

    def test_let_a_tenant_see_the_pool_as_long_as_they_last(self, api, lab):
        olga = person("olga")
        project("acme", owner=olga)
        tenant = caller(olga)
        assert tenant.get("/pools/lab").status_code == 404

        api("PUT", "/pools/lab/grants", ["acme"])
        assert tenant.get("/pools/lab").status_code == 200
        assert tenant.get("/pools/lab/grants").status_code == 404
        api("PUT", "/pools/lab/grants", [])

        assert tenant.get("/pools/lab").status_code == 404

    @pytest.mark.parametrize("body", [["made-up"], [1], {"projects": []}, [["acme"]], ["\x00"]])
    def test_by_what_is_no_list_of_projects_change_nothing(self, api, lab, body):
        project("acme")
        api("PUT", "/pools/lab/grants", ["acme"])

        assert api("PUT", "/pools/lab/grants", body).status_code == 422
        assert projects(api.get("/pools/lab/grants")) == ["acme"]

    def test_are_listed_in_three_queries_and_pages(self, api, lab, django_assert_num_queries):
        for path in ("acme", "umbrella"):
            project(path)
        api("PUT", "/pools/lab/grants", ["acme", "umbrella"])
        first = api.get("/pools/lab/grants?limit=1")
        assert projects(api.get(first.data["next"])) == ["umbrella"] == projects(api.get("/pools/lab/grants?q=BRELL"))

        with django_assert_num_queries(3):  # one for the version of the pool
            api.get("/pools/lab/grants")
