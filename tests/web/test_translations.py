"""The console in Simplified Chinese: nothing is left in English but names and what platforms say themselves."""

import re

import pytest
from django.conf import settings
from django.utils import translation

from pools.web import manifest_texts as committed
from tests.lint_translations import CHECKOUT, CONTEXT
from tests.lint_translations import read as entries_of
from tests.web import manifest_texts
from tests.web.reading import read
from tests.web.test_pages import ALWAYS, crawl

CATALOG = CHECKOUT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"


def english_texts():
    """Every text that has another form in Chinese, as a pattern: its placeholders match anything."""
    for entry in entries_of(CATALOG.read_text(encoding="utf-8")):
        text = entry.id.rpartition(CONTEXT)[2]
        if text and re.search("[a-z]{2}", text) and entry.texts[0] != text:
            pieces = re.split(r"%\(\w+\)s", text.replace("%%", "%"))
            if any(len(piece.strip()) > 3 for piece in pieces):
                yield re.compile(".+".join(re.escape(piece) for piece in pieces) + r"\Z")


class TestManifests:
    def test_are_in_the_module_that_gettext_reads(self):
        assert list(committed.TEXTS) == manifest_texts.texts(), "run `python -m tests.web.manifest_texts`"

    def test_have_chinese_words_for_everything(self):
        with translation.override("zh-hans"):
            same = [text for text in manifest_texts.texts() if translation.gettext(text) == text]

        assert set(same) <= {"Kubernetes", "OpenStack", "vSphere", "Kubeconfig", "clouds.yaml"}


class TestStates:
    def test_have_words_wherever_the_domain_knows_them(self):
        from pools.domain import devices, states
        from pools.selectors import changes, nodes
        from pools.web.words import WORDS

        assert set(states.POOL_STATES) == set(WORDS["pool_state"])
        assert set(states.POOL_HEALTHS) == set(WORDS["pool_health"])
        assert set(states.RUN_STATES) == set(WORDS["run_state"])
        assert set(states.RUN_TRIGGERS) == set(WORDS["run_trigger"])
        assert set(states.RUN_KINDS) == set(WORDS["run_kind"])
        assert set(states.DEVICE_HEALTHS) == set(WORDS["device_health"])
        assert set(states.GRAINS) == set(WORDS["grain"])
        assert set(devices.DEVICE_STATES) == set(WORDS["device_state"])
        assert set(nodes.NODE_STATES) == set(WORDS["node_state"])
        assert set(changes.ACTIONS) == set(WORDS["change"])


@pytest.mark.django_db
class TestTheChineseConsole:
    def test_has_no_english_text(self, console, fleet):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
        patterns = list(english_texts())

        pages = crawl(console, *ALWAYS, f"/sync-runs/{fleet['held_run']}/", f"/sync-runs/{fleet['failed_run']}/")

        left = {
            (address, text)
            for address, page in pages.items()
            for text in read(address, page.content).texts
            if any(pattern.match(text) for pattern in patterns)
        }
        assert left == set()

    def test_names_the_language_of_the_page(self, console, fleet):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"

        assert '<html lang="zh-hans"' in console.get("/").content.decode()

    def test_says_what_is_wrong_in_a_form(self, console):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"

        page = console.post("/add-pool/simulated/", {"name": "Not A Name", "settings.nodes": "-1", "mode": "device"})

        assert page.status_code == 422
        assert "个字段有误" in page.content.decode() and "至少为 0" in page.content.decode()

    def test_says_what_is_refused(self, console, fleet):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"

        page = console.post("/pools/resting/pause/", {"generation": ""}, follow=True).content.decode()

        assert "状态为“已暂停”的资源池不能变为“已暂停”" in page

    def test_says_what_is_wrong_with_a_password(self, console, admin):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
        admin.email = "root.of.all@example.org"
        admin.set_password("a password of some length")
        admin.save()
        console.force_login(admin)

        pages = [
            console.post(
                "/account/password/change/",
                {"oldpassword": "a password of some length", "password1": weak, "password2": weak},
            ).content.decode()
            for weak in ("short", "password1234", admin.email)
        ]

        assert "至少需要 12 个字符" in pages[0] and "太常见" in pages[1] and "太相似" in pages[2]

    def test_follows_the_browser_without_a_cookie(self, client, db):
        page = client.get("/login/", headers={"Accept-Language": "zh-CN,zh;q=0.9"})

        assert "用户名" in page.content.decode()
