"""A project's quotas over HTTP: as the platform, as the tenant above, and as the project itself."""

import pytest

from pools.domain.quota_fields import QuotaWanted
from pools.models import AuditEvent, ChipModel, Quota
from tests.api.tenants import caller
from tests.factories import NOW, granted, person, pool, project

pytestmark = pytest.mark.django_db

H100 = "nvidia-h100-80gb"


@pytest.fixture
def acme(db):
    ChipModel.objects.create(slug=H100, vendor="nvidia", name="H100", created_at=NOW)
    return project("acme")


@pytest.fixture
def olga(acme):
    """Owner of acme."""
    user = person("olga")
    project("acme", owner=user)
    return caller(user)


@pytest.fixture
def vera(acme):
    """Owner of acme/vision."""
    user = person("vera")
    project("acme/vision", owner=user)
    return caller(user)


def a_row(nominal_milli=8000, model=H100, **more):
    return {"model": model, "nominal_milli": nominal_milli, **more}


def rows(answer):
    assert answer.status_code == 200, answer.data
    return answer.data["results"]


def used(path, milli, model=H100):
    """Somebody uses so much in the project and so in all above it."""
    line = project(path).lineage
    for each in Quota.objects.filter(project__in=line, model__slug=model):
        each.used_milli += milli
        each.save()


class TestReplacing:
    def test_answers_all_there_is_of_each_quota(self, api, acme):
        granted(pool("lab"), acme)

        answer = api("PUT", "/projects/acme/quotas", [a_row(pools=["lab"], weight=2), a_row(5000, None)])

        first, second = rows(answer)
        assert answer.data["next"] is None and rows(api.get("/projects/acme/quotas")) == [first, second]
        assert {**first, "id": "", "changed_at": ""} == {
            "id": "", "model": H100, "profile": None, "pools": ["lab"], "nominal_milli": 8000,
            "borrow_limit_milli": None, "lend_limit_milli": None, "hard_limit_milli": None, "weight": 2,
            "used_milli": 0, "borrowed_milli": 0, "lent_milli": 0, "available_milli": 8000, "parent": None,
            "parent_limit_milli": None, "changed_at": "",
        }  # fmt: skip
        assert (second["model"], second["pools"], second["nominal_milli"]) == (None, None, 5000)

    def test_with_what_was_answered_changes_nothing(self, api, acme):
        granted(pool("lab"), acme)
        api("PUT", "/projects/acme/quotas", [a_row(pools=["lab"], lend_limit_milli=10)])
        answered = rows(api.get("/projects/acme/quotas"))
        sent = [{name: row[name] for name in row if name in QuotaWanted.__struct_fields__} for row in answered]

        again = api("PUT", "/projects/acme/quotas", sent)

        assert rows(again) == answered and AuditEvent.objects.filter(action="quota.replaced").count() == 1

    def test_is_of_the_version_that_was_read(self, api, acme):
        tag = api.get("/projects/acme/quotas")["ETag"]

        first = api("PUT", "/projects/acme/quotas", [a_row()], headers={"If-Match": tag})
        second = api("PUT", "/projects/acme/quotas", [], headers={"If-Match": tag})
        third = api("PUT", "/projects/acme/quotas", [], headers={"If-Match": first["ETag"]})

        assert [each.status_code for each in (first, second, third)] == [200, 412, 200]

    def test_names_every_mistake_by_its_field(self, api, acme):
        answer = api(
            "PUT", "/projects/acme/quotas",
            [a_row(), {"model": H100}, a_row("8"), a_row(limit=1), "all", a_row(-1), a_row(1.5)],
        )  # fmt: skip

        assert answer.status_code == 422
        assert [(error["field"], error["code"]) for error in answer.data["errors"]] == [
            ("[1].nominal_milli", "required"),
            ("[2].nominal_milli", "bad_type"),
            ("[3].limit", "unknown_field"),
            ("[4]", "not_an_object"),
            ("[6].nominal_milli", "bad_type"),
        ]

    def test_names_what_is_not_known_with_the_nearest(self, api, acme):
        answer = api("PUT", "/projects/acme/quotas", [a_row(), a_row(-1), a_row(1, "nvidia-h100-80g")])

        told = {error["field"]: error["detail"] for error in answer.data["errors"]}
        assert told["[1].nominal_milli"] == "Between 0 and 1000000000000 are allowed."
        assert told["[2].model"] == '"nvidia-h100-80g" is not known. Is nvidia-h100-80gb meant?'

    @pytest.mark.parametrize("body", [{}, {"quotas": []}, "all", [["acme"]], [{"model": "\x00", "nominal_milli": 1}]])
    def test_by_what_is_no_list_of_quotas_changes_nothing(self, api, acme, body):
        api("PUT", "/projects/acme/quotas", [a_row()])

        assert api("PUT", "/projects/acme/quotas", body).status_code == 422
        assert len(rows(api.get("/projects/acme/quotas"))) == 1

    def test_that_is_only_tried_changes_nothing(self, api, acme):
        answer = api("PUT", "/projects/acme/quotas?dry_run=true", [a_row()])

        assert rows(answer)[0]["available_milli"] == 8000 and not Quota.objects.exists()


class TestATenant:
    def test_shares_out_below_and_not_to_itself(self, api, olga, vera):
        api("PUT", "/projects/acme/quotas", [a_row()])

        assert olga("PUT", "/projects/acme/quotas", [a_row(9000)]).status_code == 403
        assert olga("PUT", "/projects/acme/vision/quotas", [a_row(9000)]).status_code == 200
        assert vera("PUT", "/projects/acme/vision/quotas", [a_row(9999)]).status_code == 403
        assert vera("PUT", "/projects/acme/quotas", []).status_code == 404

    def test_sees_what_is_used_borrowed_and_left(self, api, olga, vera):
        api("PUT", "/projects/acme/quotas", [a_row(8000)])
        olga("PUT", "/projects/acme/vision/quotas", [a_row(4000, borrow_limit_milli=2000)])
        project("acme/audio")
        olga("PUT", "/projects/acme/audio/quotas", [a_row(4000, hard_limit_milli=5000)])
        used("acme/vision", 5000)

        (vision,), (audio,) = (
            rows(olga.get("/projects/acme/vision/quotas")),
            rows(olga.get("/projects/acme/audio/quotas")),
        )

        numbers = ("used_milli", "borrowed_milli", "lent_milli", "available_milli")
        assert [vision[name] for name in numbers] == [5000, 1000, 0, 1000]
        assert [audio[name] for name in numbers] == [0, 0, 1000, 3000]

    def test_sees_the_limit_above_only_where_it_may_see_the_project(self, api, olga, vera):
        api("PUT", "/projects/acme/quotas", [a_row(8000)])
        olga("PUT", "/projects/acme/vision/quotas", [a_row(4000)])

        (from_above,), (from_within,) = [rows(each.get("/projects/acme/vision/quotas")) for each in (olga, vera)]

        assert (from_above["parent"], from_above["parent_limit_milli"]) == ("acme", 8000)
        assert (from_within["parent"], from_within["parent_limit_milli"]) == (None, None)
        assert {**from_above, "parent": None, "parent_limit_milli": None} == from_within

    def test_gets_an_id_for_a_pool_that_it_may_use_no_more(self, api, olga, acme):
        lab = granted(pool("lab"), acme)
        api("PUT", "/projects/acme/quotas", [a_row(pools=["lab"])])
        lab.grants.all().delete()

        assert rows(olga.get("/projects/acme/quotas"))[0]["pools"] == [str(lab.pk)]
        assert rows(api.get("/projects/acme/quotas"))[0]["pools"] == ["lab"]


class TestTheList:
    def test_is_answered_304_until_what_is_used_or_given_has_changed(self, api, acme):
        first = api("PUT", "/projects/acme/quotas", [a_row()])
        known = {"If-None-Match": first["ETag"]}
        assert api.get("/projects/acme/quotas", headers=known).status_code == 304

        used("acme", 1000)

        assert api.get("/projects/acme/quotas", headers=known).status_code == 200

    def test_is_made_of_three_queries_however_deep_the_project_is(self, api, acme, django_assert_num_queries):
        granted(pool("lab"), acme)
        for path in ("acme", "acme/a", "acme/a/b", "acme/a/b/c"):
            project(path)
            api("PUT", f"/projects/{path}/quotas", [a_row(), a_row(1, None), a_row(pools=["lab"])])

        with django_assert_num_queries(3):
            assert len(rows(api.get("/projects/acme/a/b/c/quotas"))) == 3

        with django_assert_num_queries(1):
            api.get("/projects/made-up/quotas")
