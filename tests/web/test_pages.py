"""Every page, empty and full: it answers, keeps to the policy, escapes, costs as many queries as written here."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from pools.models import Device, Node
from tests import factories
from tests.web.conftest import NASTY, make_people
from tests.web.reading import read

pytestmark = pytest.mark.django_db

STATIC = Path(__file__).resolve().parents[2] / "static"
# Statements of a page beside the two for session and user. They do not grow with what is there.
QUERIES = {
    "/": 6,
    "/pools/": 3,
    "/pools/lab/": 8,
    "/pools/lab/capacity/": 4,
    "/pools/lab/nodes/": 7,
    "/pools/lab/devices/": 8,
    "/pools/lab/sync-runs/": 6,
    "/pools/lab/settings/": 4,
    "/pools/lab/check/": 5,
    "/pools/lab/edit/": 4,
    "/pools/lab/remove/": 4,
    "/pools/lab/pause/": 4,
    "/nodes/": 2,
    "/devices/": 3,
    "/sync-runs/": 1,
    "/models/": 3,
    "/seen-twice/": 1,
    "/add-pool/": 0,
    "/add-pool/kubernetes/": 0,
    "/search/?q=n1": 8,
    "/pools/lab/grants/": 5,
    "/projects/": 2,
    "/projects/acme/": 9,
    "/projects/acme/vision/pools/": 5,
    "/projects/acme/vision/members/": 3,
    "/projects/acme/vision/invitations/": 3,
    "/projects/acme/vision/service-accounts/": 3,
    "/projects/acme/vision/settings/": 2,
    "/users/": 2,
    "/invitations/": 1,
    "/service-accounts/": 1,
    "/sso-groups/": 1,
    "/tokens/": 1,
    "/tokens/new/": 0,
    "/roles/": 0,
    "/allocations/": 1,
    "/allocations/queue/": 1,
    "/allocations/new/": 4,
    "/fragmentation/": 4,
    "/calendar/": 4,
    "/quotas/": 4,
    "/projects/acme/quotas/new/": 2,
}
ALWAYS = (
    "/",
    "/pools/",
    "/nodes/",
    "/devices/",
    "/sync-runs/",
    "/models/",
    "/seen-twice/",
    "/system/",
    "/search/",
    "/search/?q=nothing-of-this-name",
    "/add-pool/",
    "/add-pool/kubernetes/",
    "/add-pool/openstack/",
    "/add-pool/simulated/",
    "/projects/",
    "/projects/new/",
    "/users/",
    "/users/new/",
    "/invitations/",
    "/invitations/new/",
    "/service-accounts/",
    "/service-accounts/new/",
    "/sso-groups/",
    "/sso-groups/new/",
    "/roles/",
    "/tokens/",
    "/tokens/new/",
    "/allocations/",
    "/allocations/new/",
    "/allocations/queue/",
    "/fragmentation/",
    "/calendar/",
    "/quotas/",
)


def crawl(client, *starts, most=400):
    """Return every page that links lead to, downloads left out, each shape of an address once: {address: response}."""
    todo: list[str] = list(starts)
    seen: set[tuple[str, ...]] = set()
    pages: dict[str, Any] = {}
    while todo and len(pages) < most:
        address = todo.pop(0)
        path, _, query = address.partition("?")
        names = sorted(parse_qs(query))
        shape = (re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/models/)[^/?]+", "*", path), *names[:2])
        if shape in seen or address.startswith("/static/") or "live/" in address:
            continue
        seen.add(shape)
        response = client.get(address)
        if response.streaming:
            continue
        pages[address] = response
        if "html" in response.headers.get("Content-Type", ""):
            todo += sorted(read(address, response.content).own_links)
    return pages


@pytest.fixture
def people(fleet):
    """The fleet, and a tenant with something of everything."""
    return make_people(fleet["lab"])


class TestAnEmptyConsole:
    @pytest.mark.parametrize("address", ALWAYS)
    def test_answers(self, console, address):
        response = console.get(address)

        assert response.status_code == 200
        assert read(address, response.content).refused == []

    def test_says_what_to_do_first(self, console):
        words = console.get("/").content.decode()

        assert "/add-pool/" in words and "make demo" in words


class TestAFullConsole:
    def test_has_no_link_that_leads_nowhere(self, console, fleet, people):
        pages = crawl(console, *ALWAYS, f"/sync-runs/{fleet['held_run']}/", f"/sync-runs/{fleet['failed_run']}/")

        wrong = {address: page.status_code for address, page in pages.items() if page.status_code not in (200, 302)}
        assert wrong == {} and len(pages) > 60

    def test_keeps_to_a_policy_without_inline_code_and_styles(self, console, fleet, people):
        pages = crawl(console, *ALWAYS)

        policy = console.get("/").headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy
        refused = {address: read(address, page.content).refused for address, page in pages.items()}
        assert {address: found for address, found in refused.items() if found} == {}

    def test_shows_names_as_text_whatever_they_hold(self, console, fleet):
        pages = crawl(console, *ALWAYS)

        for address, page in pages.items():
            assert "<script>alert" not in page.content.decode(), address
            assert "<img src=x" not in page.content.decode(), address
        assert any("&lt;script&gt;alert" in page.content.decode() for page in pages.values())

    def test_has_every_file_that_it_names(self, console, fleet):
        links = {link for page in crawl(console, "/").values() for link in read("/", page.content).links}

        files = {link.removeprefix("/static/").partition("#")[0] for link in links if link.startswith("/static/")}
        assert files and [file for file in files if finders.find(file) is None] == []

    def test_has_one_small_style_sheet(self, console, fleet):
        sheets = {link for link in read("/", console.get("/").content).links if link.endswith(".css")}

        assert len(sheets) == 1 and (STATIC / "ocenter.css").stat().st_size <= 27 * 1024

    def test_names_only_icons_of_the_sprite(self, console, fleet):
        symbols = set(re.findall(r'<symbol id="(\w+)"', (STATIC / "icons.svg").read_text("utf-8")))

        used = {
            name
            for page in crawl(console, *ALWAYS).values()
            for name in re.findall(r"icons\.svg#(\w+)", page.content.decode())
        }

        assert used and used - symbols == set()

    @pytest.mark.parametrize(("address", "count"), QUERIES.items())
    def test_costs_no_more_queries_than_before(self, console, people, address, count, django_assert_num_queries):
        console.get(address)

        with django_assert_num_queries(count + 2):
            console.get(address)

    def test_marks_simulated_pools_wherever_they_show(self, console, fleet):
        for address in ("/", "/pools/", "/nodes/", "/devices/", "/pools/lab/", "/add-pool/"):
            assert "simulated" in console.get(address).content.decode(), address

    def test_shows_a_name_of_ten_thousand_letters(self, console, fleet):
        Node.objects.filter(name="n1").update(labels={"k": "v" * 10_000}, unavailable_reason="r" * 500)
        Device.objects.filter(ref="used").update(attributes={"a" * 10_000: "b" * 10_000})

        pages = [
            console.get(f"/nodes/{Node.objects.get(name='n1').pk}/"),
            console.get(f"/devices/{Device.objects.get(ref='used').pk}/"),
        ]

        assert [page.status_code for page in pages] == [200, 200]

    def test_finds_pools_nodes_and_devices(self, console, fleet):
        for phrase, wanted in (("lab", "/pools/lab/"), ("n1", "/nodes/"), ("GPU-used", "/devices/")):
            found = console.get("/search/", {"q": phrase}, headers={"HX-Request": "true"})

            assert any(link.startswith(wanted) for link in read("/", found.content).own_links), phrase

    def test_searches_for_odd_characters_without_falling(self, console, fleet):
        for phrase in ("\x00", "%", "_", "\\", "'", NASTY, "a" * 5000, "0000:3b:00.0"):
            assert console.get("/search/", {"q": phrase}).status_code == 200

    def test_tells_what_is_wrong_with_a_filter_and_shows_nothing(self, console, fleet):
        page = console.get("/devices/", {"state": "flying"})

        assert page.status_code == 200
        assert 'role="alert"' in page.content.decode() and "GPU-used" not in page.content.decode()

    def test_keeps_filters_in_the_address(self, console, fleet):
        page = console.get("/devices/", {"pool": "lab", "state": "faulty"}).content.decode()

        assert page.count('scope="row"') == 1 and '<option value="faulty" selected>' in page

    def test_goes_on_with_the_next_page(self, console, fleet, monkeypatch):
        monkeypatch.setattr("pools.web.listing.PAGE_ROWS", 3)

        seen, address = 0, "/devices/?pool=lab"
        while address:
            page = console.get(address)
            seen += page.content.decode().count('scope="row"')
            following = [link for link in read("/devices/", page.content).own_links if "cursor=" in link]
            address = following[0] if following else ""

        assert seen == Device.objects.filter(pool__name="lab", retired_at=None).count()


class TestSomebodyWithoutARole:
    def test_is_told_so(self, db):
        client = Client()
        client.force_login(factories.person("ada"))

        page = client.get("/")

        assert page.status_code == 403 and "No access yet" in page.content.decode()

    def test_cannot_write(self, fleet):
        client = Client()
        client.force_login(factories.person("ada"))

        assert client.post("/pools/lab/sync/").status_code == 403
        assert client.post("/pools/lab/remove/").status_code == 403


class TestAStranger:
    @pytest.mark.parametrize("address", [address for address in ALWAYS if address != "/login/"])
    def test_is_sent_to_log_in(self, client, db, address):
        response = client.get(address)

        assert response.status_code == 302 and response.headers["Location"].startswith("/login/")


class TestErrors:
    def test_look_like_the_console(self, console, fleet):
        for address in ("/no/such/page/", "/nodes/0192a000-0002-7001-8000-000000000000/", "/pools/nobody/"):
            page = console.get(address)

            assert page.status_code == 404
            assert "There is no such page" in page.content.decode()
            assert read(address, page.content).refused == []

    def test_say_it_when_ocenter_is_at_fault(self, console, monkeypatch):
        def broken(_now):
            raise RuntimeError("a secret detail")

        monkeypatch.setattr("pools.selectors.fleet.overview", broken)
        console.raise_request_exception = False

        page = console.get("/")

        assert page.status_code == 500
        assert "ocenter made a mistake" in page.content.decode() and "secret detail" not in page.content.decode()

    def test_ask_for_a_reload_when_the_form_is_forged(self, admin, fleet):
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin)

        page = client.post("/pools/lab/sync/")

        assert page.status_code == 403 and "The form was too old" in page.content.decode()


class TestAnAuditor:
    def test_reads_everything_and_is_offered_nothing_that_would_be_refused(self, fleet):
        client = Client()
        client.force_login(factories.person("ada", "auditor"))

        pages = [client.get(address).content.decode() for address in ("/pools/", "/pools/lab/", "/pools/begun/")]
        held = client.get(f"/sync-runs/{fleet['held_run']}/").content.decode()

        assert "lab" in pages[0] and "waits for your decision" in held
        for offered in ("/add-pool/", "/sync/", "/edit/", "/remove/", "/approve/"):
            assert not any(offered in page for page in (*pages, held)), offered
