"""The texts of the connectors' manifests, for gettext: `python -m tests.web.manifest_texts` writes them anew.

Connectors know no Django, so their manifests hold plain English; this puts the same texts where gettext finds them.
"""

import json
import textwrap
from pathlib import Path

from connectors import catalog

FILE = Path(__file__).resolve().parents[2] / "pools" / "web" / "manifest_texts.py"


def texts() -> list[str]:
    """Return every text of a manifest that a person reads, in order and once."""
    found: list[str] = []
    for manifest in catalog.MANIFESTS.values():
        found += [manifest.label, manifest.summary]
        for setting in manifest.settings:
            found += [setting.label, setting.help]
        found += [mode.label for mode in manifest.modes]
        found += manifest.missing.values()
    return list(dict.fromkeys(filter(None, found)))


def source() -> str:
    """Return the module that gettext reads."""
    lines = [
        '"""The texts of the manifests, for gettext. Written by `python -m tests.web.manifest_texts`."""',
        "",
        "from django.utils.translation import gettext_noop as _",
        "",
        "TEXTS = (",
        *(f"    _({_quoted(text)}\n    )," for text in texts()),
        ")",
        "",
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    pieces = textwrap.wrap(text, 100, drop_whitespace=False, break_long_words=False) or [text]
    return "".join(f"\n        {json.dumps(piece, ensure_ascii=False)}" for piece in pieces)


if __name__ == "__main__":
    FILE.write_text(source(), encoding="utf-8")
