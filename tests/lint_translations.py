"""Checks that the console is complete in every language: `python -m tests.lint_translations`.

Needs no gettext tools: it reads the .po files, finds the texts in code and templates by Python and Django themselves,
and compares the committed .mo with its .po.
"""

import ast
import gettext
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
CONTEXT = "\x04"


@dataclass(frozen=True, slots=True)
class Entry:
    """One text of a .po file. `texts` has one translation, or one for each plural form."""

    id: str
    texts: tuple[str, ...]
    is_fuzzy: bool


def main() -> int:
    """Print every fault and return 1 when there is one."""
    catalogs = sorted(CHECKOUT.glob("locale/*/LC_MESSAGES/django.po"))
    faults = [] if catalogs else ["locale: there is no translation"]
    wanted = set(texts_of_code()) | set(texts_of_templates())
    for catalog in catalogs:
        entries = read(catalog.read_text(encoding="utf-8"))
        faults += [f"{catalog.relative_to(CHECKOUT)}: {fault}" for fault in faults_of(entries, wanted, catalog)]
    for fault in faults:
        print(fault)
    print(f"{len(wanted)} texts, {len(catalogs)} languages, {len(faults)} faults")
    return int(bool(faults))


def faults_of(entries: list[Entry], wanted: set[str], catalog: Path) -> Iterator[str]:
    known = {entry.id: entry for entry in entries}
    for text in sorted(wanted - known.keys()):
        yield f"not there: {text!r}"
    for entry in entries:
        if entry.id and not all(entry.texts):
            yield f"not translated: {entry.id!r}"
        elif entry.is_fuzzy:
            yield f"fuzzy, so not shown: {entry.id!r}"
        elif entry.id and names_in(entry.id) != names_in(entry.texts[0]):
            yield f"other placeholders than the original: {entry.id!r}"
    compiled = catalog.with_suffix(".mo")
    if not compiled.exists():
        yield "django.mo is missing; run `manage.py compilemessages`"
    elif any(differs(compiled, entry) for entry in entries if entry.id and all(entry.texts) and not entry.is_fuzzy):
        yield "django.mo is older than django.po; run `manage.py compilemessages`"


def names_in(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)", text)) | set(re.findall(r"\{(\w+)\}", text))


def differs(compiled: Path, entry: Entry) -> bool:
    with compiled.open("rb") as file:
        catalog: dict[object, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    if entry.id in catalog:
        return catalog[entry.id] != entry.texts[0]
    return any(catalog.get((entry.id, number)) != text for number, text in enumerate(entry.texts))


def read(po: str) -> list[Entry]:
    """Return the live entries of a .po file, the header (empty id) among them."""
    entries = []
    for block in re.split(r"\n\s*\n", po):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#~")]
        parts: dict[str, str] = {}
        name = ""
        for line in lines:
            if line.startswith("#"):
                continue
            if match := re.match(r"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)\s+", line):
                name, line = match[1], line[match.end() :]
                parts[name] = ""
            parts[name] += ast.literal_eval(line.strip())
        if "msgid" in parts:
            context = f"{parts['msgctxt']}{CONTEXT}" if "msgctxt" in parts else ""
            texts = tuple(text for key, text in sorted(parts.items()) if key.startswith("msgstr"))
            is_fuzzy = any(line.startswith("#,") and "fuzzy" in line for line in lines)
            entries.append(Entry(f"{context}{parts['msgid']}", texts, is_fuzzy and bool(parts["msgid"])))
    return entries


def texts_of_code() -> Iterator[str]:
    for folder in ("ocenter", "pools", "connectors"):
        for file in sorted((CHECKOUT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield from _text_of_call(node)


def _text_of_call(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", None)
    words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    if name not in FUNCTIONS or not words:
        return
    yield CONTEXT.join(words[:2]) if name.startswith("pgettext") else words[0]


def texts_of_templates() -> Iterator[str]:
    """Django turns a template into calls of gettext; the text between them is masked and does not matter."""
    import django

    django.setup()
    from django.utils.translation.template import templatize

    for file in sorted((CHECKOUT / "templates").rglob("*.html")):
        code = templatize(file.read_text(encoding="utf-8"), origin=str(file))
        calls = r"\b(?:_|n?gettext|pgettext|npgettext)\((?:[^()'\"]|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")*\)"
        for call in re.findall(calls, code, flags=re.DOTALL):
            yield from _text_of_call(ast.parse(re.sub(r"\bu(?=['\"])", "", call).strip(), mode="eval").body)  # type: ignore[arg-type]


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")
    sys.exit(main())
