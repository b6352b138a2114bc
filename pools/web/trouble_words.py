"""The words for what is not as it should be on platforms."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

Word = tuple["str | Promise", str]

WORDS: Final[dict[str, dict[str, Word]]] = {
    "drift_state": {
        "open": (pgettext_lazy("drift", "open"), "warn"),
        "repairing": (_("being repaired"), "info"),
        "ignored": (_("ignored"), ""),
        "closed": (_("over"), ""),
    },
    "drift_outcome": {
        "agrees": (_("the platform agrees again"), "ok"),
        "repaired": (_("repaired"), "ok"),
        "adopted": (_("taken as it is"), ""),
        "over": (_("nothing is ordered there any more"), ""),
    },
    "drift_code": {
        "differs": (_("it differs from what was ordered"), "warn"),
        "gone": (_("nothing of it is there any more"), "bad"),
        "not_ours": (_("somebody else made what is there"), "bad"),
        "stale_generation": (_("it carries something newer than ocenter knows of"), "warn"),
    },
    "drift_policy": {
        "report": (_("report it only"), ""),
        "repair": (_("repair it"), ""),
        "adopt": (_("give back what is gone"), ""),
    },
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
