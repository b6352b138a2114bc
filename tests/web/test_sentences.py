"""What workers warn of is stored in English and shown in the language of the page."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.utils import translation

from pools.models import SyncRun
from pools.web import sentences
from tests.lint_translations import CHECKOUT

SOURCES = [
    *sorted((CHECKOUT / "connectors").rglob("*.py")),
    CHECKOUT / "pools" / "reconcile" / "conclusion.py",
]
COLLECTORS = {"warnings", "gaps", "told", "findings"}
NAMES_FOLLOW = " (%(count)s): %(names)s."  # of connectors.openstack.findings


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Every text of the code as a pattern; what is put in when it runs may be anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant) and (pattern := as_pattern(node)):
            yield pattern


def as_pattern(text: ast.expr) -> str:
    if isinstance(text, ast.Constant):
        return re.escape(text.value) if isinstance(text.value, str) else ""
    assert isinstance(text, ast.JoinedStr)
    return "".join(as_pattern(part) if isinstance(part, ast.Constant) else ".+" for part in text.values)


def warned_of(tree: ast.Module) -> Iterator[str]:
    """The texts that are put among the warnings."""
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        collector = node.func.value
        if node.func.attr not in ("append", "add", "insert", "setdefault"):
            continue
        if str(getattr(collector, "attr", getattr(collector, "id", ""))).lstrip("_") not in COLLECTORS:
            continue
        for given in node.args:
            text = named.get(given.id, given) if isinstance(given, ast.Name) else given
            if isinstance(text, ast.JoinedStr | ast.Constant) and (pattern := as_pattern(text)):
                yield pattern


def filled(msgid: str) -> str:
    return re.sub(r"%\(\w+\)s", "something", msgid.removesuffix(NAMES_FOLLOW))


TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
WARNED_OF = sorted({pattern for tree in TREES for pattern in warned_of(tree)})


class TestTheSentences:
    def test_are_all_there_that_code_warns_of(self):
        known = [filled(msgid) for msgid in sentences.SENTENCES]

        missing = [each for each in WARNED_OF if not any(re.fullmatch(each, text, re.DOTALL) for text in known)]

        assert len(WARNED_OF) > 15 and missing == []

    def test_are_those_that_the_code_says(self):
        said = {pattern for tree in TREES for pattern in texts_of(tree) if len(pattern.replace(".+", "")) > 15}

        stale = [msgid for msgid in sentences.SENTENCES if not any(re.fullmatch(each, filled(msgid)) for each in said)]

        assert stale == []

    @pytest.mark.parametrize("msgid", sentences.SENTENCES)
    def test_are_recognised_and_are_other_words_in_chinese(self, msgid):
        sentence = re.sub(r"%\((\w+)\)s", r"<\1 100% of\\n it>", msgid)

        with translation.override("zh-hans"):
            shown = sentences.shown(sentence)

        assert shown != sentence and re.search("[\u4e00-\u9fff]", shown)
        assert all(shown.count(f"<{name} 100% of\\n it>") == 1 for name in re.findall(r"%\((\w+)\)s", msgid))
        with translation.override("en"):
            assert sentences.shown(sentence) == sentence

    def test_that_follow_each_other_are_recognised_one_by_one(self):
        known = "Pods may not be listed, so nobody knows what is in use."
        told = f"{known} The platform says so. The observation was incomplete."

        with translation.override("zh-hans"):
            first, middle, last = sentences.shown(told).partition("The platform says so.")

        assert middle and not re.search("[a-z]{4}", last) and "Pod" in first and "nobody" not in first

    @pytest.mark.parametrize("words", ["", "quota exceeded for 100%s", "x" * 100_000, "a. b. %(c)s"])
    def test_of_a_platform_stay_as_they_are(self, words):
        with translation.override("zh-hans"):
            assert sentences.shown(words) == words


@pytest.mark.django_db
class TestTheChinesePageOfARun:
    def test_tells_its_warnings_in_chinese_with_the_names_of_the_platform(self, console, fleet):
        console.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
        SyncRun.objects.filter(pk=fleet["lab_run"]).update(
            warnings=["Node gpu-7 has texts that are too long or hold unprintable characters; they were changed."]
        )

        page = console.get(f"/sync-runs/{fleet['lab_run']}/").content.decode()

        assert "gpu-7" in page and "unprintable" not in page
