"""What the documents promise: links lead somewhere, named tests exist, every setting and code is explained."""

import re
from pathlib import Path

import pytest

from ocenter.env import PREFIX, Env
from pools.web import words

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
PICTURES = sorted((CHECKOUT / "docs" / "pictures").glob("*.png"))
STATES = {"works", "partly", "not yet"}
FEATURES = [f"F{number:02}" for number in range(1, 81)]

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_TEST = re.compile(r"tests/[\w./*-]+\w")


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
class TestADocument:
    def test_links_only_to_what_is_there(self, document):
        text = _without_code(document.read_text(encoding="utf-8"))

        broken = []
        for link in (first or second for first, second in _LINK.findall(text)):
            target, _, anchor = link.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            path = (document.parent / target).resolve() if target else document
            if not path.exists() or (anchor and anchor not in _anchors(path.read_text(encoding="utf-8"))):
                broken.append(link)
        assert not broken

    def test_names_only_tests_that_exist(self, document):
        named = {path.rstrip(".") for path in _TEST.findall(document.read_text(encoding="utf-8"))}

        assert not [
            path for path in named if "<" not in path and not any(CHECKOUT.glob(path)) and "/example" not in path
        ]


class TestTheReadmes:
    def test_name_the_same_two_commands(self):
        english, chinese = (
            re.findall(r"^make [\w-]+", (CHECKOUT / name).read_text(encoding="utf-8"), re.MULTILINE)
            for name in ("README.md", "README.zh.md")
        )

        assert english == chinese == ["make run", "make test"]

    def test_lead_to_the_same_places(self):
        english, chinese = (
            {first or second for first, second in _LINK.findall((CHECKOUT / name).read_text(encoding="utf-8"))}
            for name in ("README.md", "README.zh.md")
        )

        of_one_language = {"README.md", "README.zh.md", *(f"docs/pictures/{path.name}" for path in PICTURES)}
        assert english - of_one_language == chinese - of_one_language


class TestThePictures:
    def test_are_small_and_all_shown(self):
        shown = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)

        assert PICTURES and all(path.stat().st_size < 300_000 for path in PICTURES)
        assert not [path.name for path in PICTURES if path.name not in shown]


class TestTheListOfCapabilities:
    @pytest.fixture
    def rows(self):
        text = (CHECKOUT / "docs" / "capabilities.md").read_text(encoding="utf-8")
        return re.findall(r"^\| (F\d\d) \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", text, re.MULTILINE)

    def test_has_each_once_and_in_order(self, rows):
        assert [row[0] for row in rows] == FEATURES

    def test_says_of_each_how_far_it_is(self, rows):
        assert {row[2].strip() for row in rows} <= STATES

    def test_shows_a_proof_for_what_works(self, rows):
        unproven = [row[0] for row in rows if row[2].strip() == "works" and "tests/" not in row[3]]

        assert not unproven


class TestTheRunbook:
    @pytest.fixture
    def runbook(self):
        return (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")

    def test_explains_every_variable_with_its_default(self, runbook):
        told = dict(re.findall(r"^\| `(OCENTER_\w+)` \| `?([^`|]+?)`? \|", runbook, re.MULTILINE))

        known = {PREFIX + name.upper(): field.default for name, field in Env.model_fields.items()}
        plain = {
            name: str(value) for name, value in known.items() if value not in (None, ()) and name != "OCENTER_HOME"
        }
        assert told.keys() == known.keys()
        assert {name: told[name] for name in plain} == plain

    def test_says_what_to_do_for_every_code_of_a_failed_run(self, runbook):
        told = set(re.findall(r"`([\w.]+)`", runbook))

        assert words.ERRORS.keys() <= told

    def test_explains_every_health(self, runbook):
        assert all(f"| {health} |" in runbook for health in words.WORDS["pool_health"])


class TestTheIndex:
    def test_names_every_document(self):
        index = (CHECKOUT / "docs" / "README.md").read_text(encoding="utf-8")
        decisions = (CHECKOUT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")

        documents = [*(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "docs" / "platforms").glob("*.md")]
        assert not [path.name for path in documents if path.name != "README.md" and f"{path.name})" not in index]
        pages = (CHECKOUT / "docs" / "decisions").glob("0*.md")
        assert not [path.name for path in pages if f"({path.name})" not in decisions]
