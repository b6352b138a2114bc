"""An auditor answers in the console: who gave which project which pool, when, and is the log unaltered?"""

import pytest
from django.test import Client
from django.utils import timezone

from pools.services import audit, verification
from tests import factories, logs
from tests.factories import ALICE, NOW
from tests.web.conftest import NASTY
from tests.web.reading import read


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def site(db):
    logs.empty()
    for path in ("acme/vision", "umbrella"):
        project = factories.project(path)
        after = {"project": path}
        audit.record(ALICE, "pool.granted", "pool", f"lab-{path}", "lab", None, after, NOW, project_id=project.pk)
    audit.record(ALICE, "pool.edited", "pool", "p1", NASTY, {"region": "eu"}, {"region": NASTY}, NOW)


@pytest.fixture
def auditor(site):
    return browser(factories.person("eve", "auditor"))


def seen(client, path="/audit/"):
    response = client.get(path)
    assert response.status_code == 200
    page = read(path, response.content)
    assert page.refused == []
    return " ".join(page.texts), page


class TestAnAuditor:
    def test_reads_who_gave_a_project_the_right_to_a_pool_and_when(self, auditor):
        words, _ = seen(auditor, "/audit/?action=pool.granted&project=acme/vision&pool=lab")

        assert "2026-11-25 12:00:00" in words and "alice" in words and "acme/vision" in words
        assert "umbrella" not in words

    def test_reads_what_was_before_and_what_is_now(self, auditor):
        response = auditor.get("/audit/?action=pool.edited")

        assert b"<del>eu</del>" in response.content and b"<ins>&lt;script&gt;" in response.content

    def test_reads_that_nothing_was_checked_and_asks_for_it(self, auditor):
        assert "not checked yet" in seen(auditor)[0]

        answer = auditor.post("/audit/verify/", follow=True)

        assert "A check for eve waits for a worker" in answer.content.decode()
        assert "Check now" not in seen(auditor)[0]

    def test_reads_that_the_log_is_unaltered_for_whom_it_was_checked_and_which_rows_that_proves(self, auditor):
        logs.run("TRUNCATE audit_event")
        logs.sealed(3)
        verification.run(actor=ALICE, now=timezone.now())
        logs.write(2, xid=50)

        words, _ = seen(auditor, "/audit/?actor=alice&action=pool.edited")

        assert "unaltered" in words and "Rows of audit and ledger: 3, in seals: 1. Checked for alice" in words
        assert words.count("proved") == 3 and words.count("not sealed yet") == 2

    def test_reads_which_row_is_not_what_was_sealed(self, auditor):
        logs.run("TRUNCATE audit_event")
        (row, *_), _ = logs.sealed(2, 3)
        logs.run("UPDATE audit_event SET actor = 'mallory' WHERE id = %s", [row])
        verification.run(actor=ALICE, now=timezone.now())

        words, _ = seen(auditor)

        assert "not what was sealed" in words and f"Row {row} of the audit, sealed in 1, was changed." in words
        assert words.count(" altered ") == 1 and "proved" not in words

    def test_takes_along_what_was_filtered(self, auditor):
        _, page = seen(auditor, "/audit/?actor=alice&q=grant")

        assert "/api/v1/audit/export?actor=alice&q=grant" in page.own_links

    def test_keeps_the_filters_in_the_address_of_every_link(self, auditor):
        logs.write(60)

        _, page = seen(auditor, "/audit/?actor=alice")

        assert [link for link in page.own_links if "cursor=" in link and "actor=alice" in link]
        assert "/audit/?actor=alice&action=pool.edited" in page.own_links

    def test_is_told_what_cannot_be_understood(self, auditor):
        assert "From (UTC): there is nothing of this name" in seen(auditor, "/audit/?from=soon")[0]

    def test_costs_the_database_the_same_for_one_row_and_for_fifty(self, auditor, django_assert_num_queries):
        auditor.get("/audit/")
        for count in (0, 50):
            logs.write(count)
            with django_assert_num_queries(6):  # session, user; last check and request; rows, seals
                auditor.get("/audit/")


class TestAnOwner:
    @pytest.fixture
    def owner(self, site):
        user = factories.person("olga")
        factories.project("acme", owner=user)
        return browser(user)

    def test_reads_the_own_projects_and_nothing_about_the_log_as_a_whole(self, owner):
        words, page = seen(owner)

        assert "acme/vision" in words and "umbrella" not in words and "Is the log unaltered?" not in words
        assert "/audit/" in page.own_links, "it stands in the navigation"

    def test_cannot_ask_for_a_check(self, owner):
        assert owner.post("/audit/verify/").status_code == 404


class TestAMember:
    def test_has_no_audit(self, site):
        user = factories.person("max")
        factories.project("acme", member=user)
        member = browser(user)

        assert member.get("/audit/").status_code == 403
