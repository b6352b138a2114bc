"""The console in a real browser: the way to a pool, keys, phones, two colours, and what axe finds."""

import os
import shutil

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from pools.domain.errors import DomainError
from pools.models import Allocation, Device, Pool
from pools.reconcile import checks, inventory
from pools.services.models import load_catalogue
from tests.factories import Clock, node
from tests.services.asking import H100, World
from tests.web.conftest import make_fleet, make_people

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CHROMIUM = os.environ.get("OCENTER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PASSWORD = "correct horse battery"
PAGES = (
    "/",
    "/pools/",
    "/pools/lab/",
    "/pools/lab/capacity/",
    "/pools/lab/devices/",
    "/pools/lab/settings/",
    "/pools/lab/remove/",
    "/nodes/",
    "/devices/",
    "/sync-runs/",
    "/models/",
    "/seen-twice/",
    "/system/",
    "/add-pool/",
    "/add-pool/kubernetes/",
    "/projects/",
    "/projects/new/",
    "/projects/acme/",
    "/projects/acme/vision/pools/",
    "/projects/acme/vision/members/",
    "/projects/acme/vision/members/new/",
    "/projects/acme/vision/invitations/",
    "/projects/acme/vision/service-accounts/",
    "/projects/acme/vision/settings/",
    "/projects/acme/vision/archive/",
    "/pools/lab/grants/",
    "/users/",
    "/users/new/",
    "/invitations/",
    "/service-accounts/",
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
    "/projects/acme/quotas/new/",
)


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("there is no chromium here; install it or name it by OCENTER_CHROMIUM")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    # Playwright runs a loop in this thread, and Django would take it for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(chromium, live_server, admin):
    """A page of a browser in which the administrator is logged in. What its console reports as wrong fails the test."""
    client = Client()
    client.force_login(admin)
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900})
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text) if _is_policy(message) else None)
    yield page
    assert page.wrong == []
    context.close()


def _is_policy(message):
    return "Content Security Policy" in message.text or "Refused to" in message.text


@pytest.fixture
def full(transactional_db):
    made = make_fleet(Clock(timezone.now()))
    make_people(made["lab"])
    return made


def prefer(page, **cookies):
    named = {"theme": "ocenter_theme", "language": settings.LANGUAGE_COOKIE_NAME}
    origin = page.url if page.url.startswith("http") else page.context._options["baseURL"]
    page.context.add_cookies([{"name": named[name], "value": value, "url": origin} for name, value in cookies.items()])


class TestTheWayToAPool:
    def test_leads_from_the_form_to_devices(self, page, full):
        page.goto("/add-pool/")
        page.click("a.card[href$='/simulated/']")
        page.fill("[name=name]", "trial")
        page.fill("[name='settings.nodes']", "3")
        page.click("main button.primary")

        page.wait_for_selector("[data-live]")
        trial = Pool.objects.get(name="trial")
        checks.run(pool_id=trial.pk, clock=timezone.now)
        page.click("text=Preview the first sync")

        page.wait_for_selector("[data-live]")
        inventory.run(pool_id=trial.pk, clock=timezone.now)
        page.click("text=Activate the pool")

        page.wait_for_selector("[data-live]")
        inventory.run(pool_id=trial.pk, clock=timezone.now)
        page.wait_for_selector("text=What changed")
        page.goto("/pools/trial/devices/")

        assert page.locator("tbody tr").count() == Device.objects.filter(pool=trial).count() == 24

    def test_asks_nobody_while_nobody_looks(self, page, full):
        page.goto("/pools/lab/")
        page.click("text=Sync now")
        page.wait_for_selector("[data-live]")
        asked = []
        page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)

        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        page.wait_for_timeout(3500)
        while_hidden = len(asked)
        page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
        page.wait_for_timeout(3500)

        assert while_hidden == 0 and len(asked) >= 1

    def test_gets_nothing_again_that_it_has(self, page, full):
        page.goto("/pools/lab/")
        page.click("text=Sync now")
        page.wait_for_selector("[data-live]")
        answers = []
        page.on("response", lambda response: answers.append(response.status) if "/live/" in response.url else None)

        page.wait_for_timeout(5500)

        assert 304 in answers and set(answers) <= {200, 304}
        assert page.locator("[data-live]").count() == 1


@pytest.fixture
def visitor(chromium, live_server):
    """A page of a browser that nobody has used yet."""
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


class TestTheWayToAccess:
    def test_leads_from_a_tenant_to_a_token_that_works_until_it_is_revoked(self, page, visitor, full):
        send = "main form .actions .button:first-child"
        page.goto("/projects/new/")
        page.fill("[name=name]", "globex")
        page.click(send)
        page.goto("/projects/globex/invitations/new/")
        page.fill("[name=email]", "olga@example.org")
        page.select_option("[name=role]", "owner")
        page.click(send)
        link = page.input_value("#secret")
        page.goto("/users/new/")
        page.fill("[name=username]", "max")
        page.click(send)

        visitor.goto(link)
        visitor.fill("[name=username]", "olga")
        visitor.fill("[name=password]", PASSWORD)
        visitor.click("text=Make the account")
        visitor.wait_for_url("**/login/")
        visitor.fill("[name=username]", "olga")
        visitor.fill("[name=password]", PASSWORD)
        visitor.click("button.primary")
        visitor.wait_for_url("**/projects/")
        visitor.goto("/projects/globex/new/")
        visitor.fill("[name=name]", "vision")
        visitor.click(send)
        visitor.wait_for_url("**/projects/globex/vision/members/")
        page.goto("/projects/globex/members/new/")
        page.fill("[name=user]", "max")
        page.select_option("[name=role]", "viewer")
        page.click(send)
        visitor.goto("/projects/globex/vision/members/new/")
        visitor.fill("[name=user]", "max")
        visitor.select_option("[name=role]", "manager")
        visitor.click(send)
        visitor.wait_for_url("**/projects/globex/vision/members/")
        members = visitor.locator("tbody th").all_inner_texts()

        visitor.goto("/tokens/new/")
        visitor.fill("[name=name]", "laptop")
        visitor.click(send)
        token = visitor.input_value("#secret")
        works = _status(visitor, token)
        visitor.goto("/tokens/")
        visitor.click("tbody a:has-text('Revoke')")
        visitor.click(send)
        visitor.wait_for_url("**/tokens/")

        assert members == ["max", "max", "olga"]
        assert (works, _status(visitor, token)) == (200, 401)
        assert token not in visitor.content()

    def test_copies_what_is_shown_once(self, page, full):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto("/tokens/new/")
        page.fill("[name=name]", "laptop")
        page.click("main form .actions .button:first-child")

        page.click("[data-copy=secret]")
        page.wait_for_selector("text=Copied")

        assert page.evaluate("navigator.clipboard.readText()") == page.input_value("#secret")


def _status(page, token):
    """Return how REST answers to the token."""
    return page.request.get("/api/v1/models", headers={"Authorization": f"Bearer {token}"}).status


@pytest.fixture
def world(transactional_db):
    """Two nodes of eight H100s that acme/vision may use, within a quota."""
    made = World(node("n1", devices=8), node("n2", devices=8), quota_milli=16_000)
    made.clock.now = timezone.now()
    load_catalogue(now=made.clock.now)
    made.observe()
    return made


class TestTheWayToAnAllocation:
    def test_leads_from_the_what_if_to_devices_and_back(self, page, world):
        page.goto("/allocations/new/")
        page.select_option("[name=project]", "acme/vision")
        page.select_option("[name=model]", H100)
        page.fill("[name=members]", "3")
        page.fill("[name=devices]", "8")
        page.wait_for_selector("#what-if >> text=It does not fit now")
        page.click("#what-if button:has-text('Ask for 2 members.')")
        page.wait_for_selector("#what-if >> text=It fits in lab")
        is_taken_by_looking = Allocation.objects.exists()
        page.fill("[name=name]", "train-7")
        page.click("button:has-text('Ask for it')")
        page.wait_for_url("**/allocations/*-*/")
        shown = page.locator("main").inner_text()

        page.click("a[href$='/release/']")
        page.click("main form .actions .button:first-child")
        page.wait_for_url("**/allocations/*-*/")

        made = Allocation.objects.get()
        assert not is_taken_by_looking and "n1" in shown and "n2" in shown
        assert (made.name, made.members, made.devices_per_member) == ("train-7", 2, 8)
        assert made.state in ("releasing", "released")

    def test_hides_what_says_nothing_beside_a_model(self, page, world):
        page.goto("/allocations/new/")
        before = page.locator("[name=memory_min]").is_visible()

        page.select_option("[name=model]", H100)

        assert before and not page.locator("[name=memory_min]").is_visible()


class TestTheWayToAQuota:
    def test_leads_from_the_tree_to_what_still_fits(self, page, world):
        page.goto("/quotas/?under=acme/vision")
        page.click("a[title=Change]")
        page.fill("[name=nominal]", "8")
        page.click("main form .actions .button:first-child")
        page.wait_for_url("**/quotas/?under=acme/vision")
        page.click("a[aria-label='New quota of acme/vision']")
        page.fill("[name=model]", H100)
        page.fill("[name=pools]", "lab")
        page.fill("[name=nominal]", "lots")
        page.click("main form .actions .button:first-child")
        page.wait_for_selector("#nominal-about .error")
        page.fill("[name=nominal]", "12.5")
        page.click("main form .actions .button:first-child")
        page.wait_for_url("**/quotas/?under=acme/vision")
        refused = world.ask(8, members=2, lease_seconds=60)
        world.ask(3, lease_seconds=60)
        page.goto("/quotas/?under=acme/vision")
        told = page.locator("tbody svg title").all_text_contents()

        page.click("a[title=Remove] >> nth=1")
        page.click("main form .actions .button:first-child")
        page.wait_for_url("**/quotas/?under=acme/vision")
        left = page.locator("tbody tr:not(.branch)").count()
        page.click("nav a[href='/fragmentation/']")
        page.wait_for_url("**/fragmentation/")

        assert isinstance(refused, DomainError) and left == 1
        assert [text.split(" used")[0] for text in told] == ["3 of 8", "3 of 12.5"]
        assert page.locator("tbody tr").count() == 1
        assert "1 member × 8" in page.locator("tbody tr").inner_text()


class TestKeys:
    def test_walk_through_the_map_and_open_a_device(self, page, full):
        page.goto("/")
        grid = page.locator(".map .grid").first
        grid.focus()

        page.keyboard.press("End")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".tip:not([hidden])")
        told = page.locator(".tip").inner_text()
        page.keyboard.press("Enter")
        page.wait_for_url("**/devices/*/")

        assert told.split(" · ")[0] in page.content()

    def test_lead_to_the_search_and_its_results(self, page, full):
        page.goto("/pools/")

        for key in ("/", "Control+k"):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.id") == "search"
            page.evaluate("document.activeElement.blur()")
        page.keyboard.press("/")
        page.keyboard.type("lab", delay=20)
        page.wait_for_selector("#found a")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/pools/lab/")

    def test_skip_to_the_content_first(self, page, full):
        page.goto("/pools/")

        page.keyboard.press("Tab")

        assert page.evaluate("document.activeElement.className") == "skip"


class TestLanguage:
    def test_is_switched_by_a_button_and_stays(self, page, full):
        page.goto("/pools/")

        page.click("button[name=language]")
        page.goto("/devices/")

        assert page.locator("h1").inner_text() == "设备"


class TestTheme:
    def test_goes_round_from_the_system_to_light_and_dark(self, page, full):
        page.goto("/")
        backgrounds = []

        for _ in range(2):
            page.click("button[name=theme]")
            backgrounds.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

        assert backgrounds == ["rgb(245, 247, 250)", "rgb(12, 17, 24)"]


class TestWidths:
    @pytest.mark.parametrize("width", [390, 1024, 1440])
    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_need_no_scrolling_sideways(self, page, full, width, language):
        page.goto("/")
        prefer(page, language=language)
        page.set_viewport_size({"width": width, "height": 900})
        too_wide = {}

        for address in (*PAGES, f"/sync-runs/{full['held_run']}/", f"/sync-runs/{full['lab_run']}/"):
            page.goto(address)
            found = page.evaluate("document.documentElement.scrollWidth")
            if found > width:
                too_wide[address] = found

        assert too_wide == {}

    def test_of_a_phone_have_the_navigation_in_a_drawer(self, page, full):
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto("/")

        assert not page.locator("nav a[href='/devices/']").is_visible()
        page.click(".menu-button")
        page.click("nav a[href='/devices/']")
        page.wait_for_url("**/devices/")

    def test_hold_names_of_ten_thousand_letters(self, page, full):
        page.set_viewport_size({"width": 390, "height": 844})
        device = Device.objects.get(ref="used")
        Device.objects.filter(pk=device.pk).update(attributes={"a" * 10_000: "b" * 10_000})

        page.goto(f"/devices/{device.pk}/")

        assert page.evaluate("document.documentElement.scrollWidth") <= 390


class TestAxe:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_finds_nothing_serious(self, page, full, theme):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        page.goto("/")
        prefer(page, theme=theme)
        found = {}

        addresses = (*PAGES, f"/sync-runs/{full['held_run']}/", f"/devices/{Device.objects.get(ref='sick').pk}/")
        for address in addresses:
            page.goto(address)
            # Injected by the browser's own channel, so that the policy stays as it is for the page.
            violations = axe.run(page).response["violations"]
            serious = [violation for violation in violations if violation["impact"] in ("serious", "critical")]
            if serious:
                found[address] = [(each["id"], each["nodes"][0]["html"][:200]) for each in serious]

        assert found == {}

    def test_finds_nothing_serious_at_the_door(self, chromium, live_server, db):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        context = chromium.new_context(base_url=live_server.url)
        page = context.new_page()

        page.goto("/login/")
        violations = axe.run(page).response["violations"]

        assert [violation["id"] for violation in violations if violation["impact"] in ("serious", "critical")] == []
        context.close()
