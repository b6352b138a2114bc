"""The words for allocations: their states, why they are in them, why something does not fit, and what happened."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

Word = tuple["str | Promise", str]

_REASONS: Final[dict[str, Word]] = {
    "topology": (_("it would fit, but not so near together"), "warn"),
    "host_full": (_("the hosts have too little CPU or memory left"), "warn"),
    "too_big": (_("enough is free, but in pieces that are too small"), "warn"),
    "no_capacity": (_("too little is free"), "warn"),
    "price": (_("it costs more than is allowed"), "warn"),
    "stale_pool": (_("the pool was not seen lately"), "warn"),
    "grain_ambiguous": (_("the platform cannot tell these models apart"), "warn"),
    "not_offered": (_("the platform does not give out such shares"), "warn"),
    "avoid": (_("it is to be avoided"), ""),
    "not_active": (_("the pool takes nothing new"), ""),
    "selector": (_("it is not among the wanted pools"), ""),
    "no_model": (_("it has no such model"), ""),
    "not_granted": (_("the project may not use it"), ""),
    "quota_exceeded": (_("the quota has no room"), "warn"),
    "queue": (_("others who want the same came first"), "info"),
}

WORDS: Final[dict[str, dict[str, Word]]] = {
    "allocation_state": {
        "pending_approval": (_("waits for approval"), "info"),
        "scheduled": (_("scheduled"), "info"),
        "queued": (pgettext_lazy("allocation", "waits in the queue"), "info"),
        "held": (pgettext_lazy("allocation", "held"), "warn"),
        "claimed": (pgettext_lazy("allocation", "claimed"), "info"),
        "binding": (_("being set up"), "info"),
        "active": (pgettext_lazy("allocation", "active"), "ok"),
        "needs_attention": (_("needs attention"), "bad"),
        "releasing": (_("being given back"), "info"),
        "released": (_("given back"), ""),
        "refused": (_("refused"), "bad"),
        "expired": (pgettext_lazy("allocation", "expired"), ""),
    },
    "calendar_kind": {
        "lease": (pgettext_lazy("calendar", "lease"), "ok"),
        "hold": (pgettext_lazy("allocation", "held"), "warn"),
        "scheduled": (_("scheduled"), "info"),
        "booking": (pgettext_lazy("calendar", "booked"), "info"),
        "booked": (_("booked by others"), ""),
    },
    "allocation_mode": {
        "claim": (_("take it at once"), ""),
        "hold": (_("hold it first"), ""),
    },
    "allocation_reason": {
        **_REASONS,
        "user": (_("somebody gave it back"), ""),
        "lease_end": (_("its lease ended"), ""),
        "hold_expired": (_("the hold was not confirmed in time"), ""),
        "preempted": (_("it made room for another"), ""),
        "lost": (_("the platform lost it"), "bad"),
        "policy": (_("a rule forbids it"), ""),
        "no_quota": (_("the project has no quota for it"), "warn"),
        "hard_limit": (_("the hard limit of a quota is reached"), "warn"),
        "nominal": (_("the quota is used up"), "warn"),
        "guarantee": (_("what is left is promised to other projects"), "warn"),
    },
    "allocation_event": {
        "allocation.scheduled": (_("scheduled"), "info"),
        "allocation.refused": (_("refused"), "bad"),
        "allocation.queued": (_("asked for, waits"), "info"),
        "allocation.booked": (_("room is booked for it"), "info"),
        "allocation.held": (pgettext_lazy("allocation", "held"), "warn"),
        "allocation.claimed": (pgettext_lazy("allocation", "claimed"), "ok"),
        "allocation.confirmed": (_("confirmed"), "ok"),
        "allocation.extended": (_("lease extended"), "info"),
        "allocation.preempted": (_("has to make room"), "warn"),
        "allocation.ends_soon": (_("the lease ends soon"), "warn"),
        "allocation.released": (_("given back"), ""),
        "allocation.expired": (pgettext_lazy("allocation", "expired"), ""),
    },
    "operation_action": {
        "apply": (_("set up"), "info"),
        "release": (_("give back"), ""),
    },
    "operation_state": {
        "planned": (_("planned"), "info"),
        "sent": (_("sent"), "info"),
        "confirmed": (pgettext_lazy("operation", "confirmed"), "ok"),
        "failed": (_("failed"), "bad"),
        "unknown": (_("sent, outcome unknown"), "warn"),
    },
    "calls_state": {
        "not_yet": (_("not worked out yet: a worker does it right before it sends them"), ""),
        "none": (_("none: no platform was asked"), ""),
        "withheld": (_("not shown: the host carries orders of other projects too"), ""),
    },
    "allocation_policy": {
        "pack": (_("pack: leave the most room for others"), ""),
        "spread": (_("spread: the emptiest place"), ""),
        "cheapest": (_("cheapest: the lowest price"), ""),
        "preferred": (_("preferred: pools in their order"), ""),
    },
    "allocation_promise": {
        "device": (_("exactly these devices"), ""),
        "node": (_("devices on these nodes; the platform picks which"), ""),
        "pool": (_("a share of the pool; the platform picks nodes and devices"), ""),
    },
    "nearness": {
        "preferred": (_("preferred"), ""),
        "required": (_("required"), ""),
    },
}

FIELDS: Final[dict[str, Word]] = {
    "pool": (_("Pool"), ""),
    "lease_seconds": (_("Lease (seconds)"), ""),
    "members": (_("Members"), ""),
    "start_at": (_("Start of the lease"), ""),
    "end_at": (_("End of the lease"), ""),
}

# What is wrong with a field of a request or a quota, by path and code, or by the code alone.
MISTAKES: Final[dict[str, "str | Promise"]] = {
    "name.bad_name": _("A name has 1 to 63 letters, digits and . _ -, and begins and ends with a letter or digit."),
    "members.out_of_range": _("1 to 10,000 is possible."),
    "members.too_many": _("Together these are too many devices. Ask in several requests."),
    "devices_per_member.out_of_range": _("0 to 1,024 is possible."),
    "per_member.cpu_milli.out_of_range": _("0 to 10,000 cores is possible."),
    "per_member.memory_mib.out_of_range": _("0 to 1,048,576 GiB is possible."),
    "per_member.required": _("Without devices, say how much CPU or memory a member needs."),
    "share.milli.out_of_range": _("0.1 to 100 is possible."),
    "share.not_allowed": _("A profile is a fixed share already; ask for one of the two."),
    "share.milli.bad_value": _("A number from 0.1 to 100 with one digit behind the point is needed."),
    "lease_seconds.out_of_range": _("At least a second and at most ten years is possible."),
    "hold_seconds.out_of_range": _("At least a second and at most seven days is possible."),
    "start_at.bad_value": _("An instant such as 2026-12-01 08:00 is needed."),
    "start_at.in_the_past": _("This is over; leave it empty to begin now."),
    "start_at.out_of_range": _("Within the next ten years is possible."),
    "start_at.not_allowed": _("A hold begins at once; leave one of the two empty."),
    "notice_seconds.out_of_range": _("At most ten years is possible."),
    "priority.out_of_range": _("0 to 100 is possible."),
    "share.milli.required": _("Say which share of a card; memory alone is none."),
    "share.memory_mib.out_of_range": _("1 MiB or more is possible."),
    "share.memory_mib.bad_value": _("A whole number of MiB is needed."),
    "share.memory_mib.too_large": _("No card of these models has so much; a share lies on one card."),
    "max_price_per_hour.bad_value": _("A price such as 12.5 is needed."),
    "max_price_per_hour.out_of_range": _("A price such as 12.5 is needed."),
    "pools.labels.bad_value": _("Write labels such as tier=prod,zone!=b,gpu,!old."),
    "any_of.memory_mib_min.out_of_range": _("1 to 1,048,576 GiB is possible."),
    "any_of.memory_mib_min.bad_value": _("A number of GiB is needed."),
    "any_of.required": _("Choose at least one model."),
    "unknown_model": _("This model is not known."),
    "unknown_profile": _("This model has no such profile."),
    "no_match": _("No known model has all of this; ask for less."),
}
