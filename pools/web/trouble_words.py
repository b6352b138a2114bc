"""The words for what is not as it should be on platforms."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

Word = tuple["str | Promise", str]

WORDS: Final[dict[str, dict[str, Word]]] = {
    "orphan_state": {
        "open": (pgettext_lazy("orphan", "open"), "warn"),
        "reaping": (_("being taken away"), "info"),
        "closed": (_("over"), ""),
    },
    "orphan_outcome": {
        "gone": (_("nothing of it is seen any more"), ""),
        "claimed": (_("a claim has it again"), "ok"),
        "reaped": (_("taken away"), "ok"),
        "adopted": (_("attached to its allocation"), "ok"),
    },
    "orphan_origin": {
        "seen": (_("seen by a sync"), ""),
        "left": (_("may be left of a removed pool"), "warn"),
    },
}
