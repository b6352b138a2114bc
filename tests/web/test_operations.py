"""The page of operations: what was done on platforms for the allocations of all projects."""

import pytest
from django.utils import timezone

from pools.domain import ids
from pools.models import Allocation, Operation, Pool
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = {"code": "denied", "message": "The platform did not let us.", "words": "403 forbidden", "class": "permanent"}


def operation(pool, project, name, **fields):
    now = timezone.now()
    of = Allocation.objects.create(
        project=project, name=name, state="claimed", spec={}, pool=pool, members=1, devices_per_member=1,
        created_at=now, changed_at=now,
    )  # fmt: skip
    return Operation.objects.create(
        id=ids.new_id(), pool=pool, allocation=of, member_index=0, target_ref=f"oc-{name}", created_at=now,
        changed_at=now, **({"action": "apply"} | fields),
    )  # fmt: skip


@pytest.fixture
def work(db):
    lab, other = factories.pool("lab"), factories.pool("other")
    calls = [{"verb": "create", "object": "pod/x", "body": {}}]
    operation(lab, factories.project("acme/vision"), "train", state="failed", calls=calls, attempts=2, trouble=WORDS)
    operation(other, factories.project("globex/speech"), "serve", state="planned", action="release")


class TestThePage:
    def test_shows_what_was_asked_and_what_was_answered(self, console, work):
        page = console.get("/operations/").content.decode()

        assert "train" in page and "create pod/x" in page and "403 forbidden" in page and "/pools/lab/" in page
        assert page.index("serve") < page.index("train")  # the newest first

    def test_is_filtered_by_its_address(self, console, work):
        for query in ("state=failed", "pool=lab", "action=apply"):
            page = console.get(f"/operations/?{query}").content.decode()
            assert "train" in page and "serve" not in page

        assert "Nothing matches" in console.get("/operations/?state=sent").content.decode()
        assert "alert" in console.get("/operations/?state=nonsense").content.decode()

    def test_is_empty_where_nothing_was_done(self, console):
        assert "Nothing was done on a platform yet" in console.get("/operations/").content.decode()

    def test_names_a_pool_that_is_gone_without_leading_to_another(self, console, work):
        Pool.objects.filter(name="lab").update(state="removed", removed_at=timezone.now())

        page = console.get("/operations/").content.decode()

        assert "lab" in page and "/pools/lab/" not in page and "/pools/other/" in page

    def test_takes_as_many_queries_for_many_as_for_one(self, console, work, django_assert_max_num_queries):
        project = factories.project("acme/vision")
        lab = Operation.objects.first().pool
        for number in range(20):
            operation(lab, project, f"more-{number}")

        with django_assert_max_num_queries(6):
            console.get("/operations/")
