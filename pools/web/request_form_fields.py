"""The fields of the request form, and what is wrong with them in words."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pools.domain.choices import RUNTIMES
from pools.domain.errors import FieldError
from pools.services.models import current
from pools.web import allocation_view, allocation_words, forms, words
from pools.web import request_form_values as form_values
from pools.web.forms import Field, Outcome
from pools.web.request_form_values import Values

_NEARNESS: Final = (
    ("", gettext_lazy("no matter")),
    ("preferred", gettext_lazy("preferred")),
    ("required", gettext_lazy("required")),
)
_POLICIES: Final = ("pack", "spread", "cheapest", "preferred")
_CHOICE_FIELDS: Final = ("model-", "profile-", "vendor-", "memory-", "interconnect-", "runtime-")
_NUMBERED: Final = re.compile(r"\[\d+\]")
_SIZE: Final = (
    Field(
        name="members",
        label=gettext_lazy("Members"),
        help=gettext_lazy("Each is on a node of its own or shares one. All come together or none."),
        is_required=True,
    ),
    Field(
        name="devices",
        label=gettext_lazy("Devices per member"),
        help=gettext_lazy("0 asks for CPU and memory alone."),
        is_required=True,
    ),
    Field(
        name="share",
        label=gettext_lazy("Share of a card, in percent"),
        help=gettext_lazy("Empty: whole cards."),
        example="25",
    ),
    Field(
        name="share_memory",
        label=gettext_lazy("Memory of the share, in MiB"),
        help=gettext_lazy("Empty: in proportion."),
        example="10240",
    ),
    Field(name="cpu", label=gettext_lazy("CPU per member, in cores"), example="32"),
    Field(name="memory", label=gettext_lazy("Memory per member, in GiB"), example="256"),
)
_PLACE: Final = (
    Field(
        name="near_devices",
        label=gettext_lazy("Devices of a member in one link group"),
        type="choice",
        choices=_NEARNESS,
        help=gettext_lazy("Cards that are linked directly, such as by NVLink or HCCS."),
    ),
    Field(
        name="near_members",
        label=gettext_lazy("Members in one rack"),
        type="choice",
        choices=_NEARNESS,
    ),
)
_MORE: Final = (
    Field(
        name="spread",
        label=gettext_lazy("Members far from each other"),
        type="choice",
        choices=_NEARNESS,
        help=gettext_lazy("What breaks in one place then leaves the others alone."),
    ),
    Field(
        name="spread_level",
        label=gettext_lazy("Each in another"),
        type="choice",
        choices=(
            ("node", gettext_lazy("node")),
            ("rack", gettext_lazy("rack")),
            ("zone", gettext_lazy("zone")),
            ("region", gettext_lazy("region")),
        ),
        is_required=True,
    ),
    Field(
        name="kinds",
        label=gettext_lazy("Kinds of pools"),
        help=gettext_lazy("With commas between. Empty: any."),
        example="kubernetes, openstack",
    ),
    Field(
        name="avoid_pools",
        label=gettext_lazy("Pools to avoid"),
        help=gettext_lazy("Names with commas between."),
    ),
    Field(
        name="avoid_nodes",
        label=gettext_lazy("Nodes to avoid"),
        help=gettext_lazy("Names with commas between."),
    ),
)
_WHERE: Final = (
    Field(
        name="pools",
        label=gettext_lazy("Pools"),
        help=gettext_lazy("Names with commas between. Empty: any that the project may use."),
    ),
    Field(
        name="regions",
        label=gettext_lazy("Regions"),
        help=gettext_lazy("With commas between. Empty: any."),
    ),
    Field(
        name="pool_labels",
        label=gettext_lazy("Labels of pools"),
        help=gettext_lazy("Only pools that have them."),
        example="tier=prod,!old",
    ),
    Field(
        name="max_price",
        label=gettext_lazy("Price per hour, at most"),
        help=gettext_lazy("Of all members together. Empty: any."),
    ),
)
_TIME: Final = (
    Field(name="lease", label=gettext_lazy("Lease"), help=gettext_lazy("Empty: open-ended.")),
    Field(
        name="lease_unit",
        label=gettext_lazy("Counted in"),
        type="choice",
        choices=(
            ("minutes", gettext_lazy("minutes")),
            ("hours", gettext_lazy("hours")),
            ("days", gettext_lazy("days")),
        ),
        is_required=True,
    ),
    Field(
        name="start",
        label=gettext_lazy("Begins at"),
        type="instant",
        help=gettext_lazy("In UTC; it is booked from then on. Empty: now."),
    ),
    Field(
        name="notice",
        label=gettext_lazy("Notice before the end, in minutes"),
        help=gettext_lazy("An event tells of the end so long before. Empty: none."),
        example="60",
    ),
    Field(
        name="hold",
        label=gettext_lazy("Hold it first, for minutes"),
        help=gettext_lazy("It is kept for you and costs nothing until you confirm. Empty: take it at once."),
        example="15",
    ),
    Field(
        name="priority",
        label=gettext_lazy("Priority"),
        help=gettext_lazy("From 0 to 100; the higher comes first in the queue."),
        is_required=True,
    ),
    Field(
        name="save",
        label=gettext_lazy("Time to save before the end, in minutes"),
        help=gettext_lazy("Up to 60, within the lease: say when it is done, and it ends then. Empty: none."),
        example="10",
    ),
    Field(
        name="min_run",
        label=gettext_lazy("Runs at least, in minutes"),
        help=gettext_lazy("Of what may be told to leave: for so long it may not."),
        example="120",
    ),
    Field(
        name="preemptible",
        label=gettext_lazy("It may be told to leave"),
        type="boolean",
        help=gettext_lazy("When somebody of a higher priority needs the place; the notice above is kept."),
        is_wide=True,
    ),
    Field(
        name="queue",
        label=gettext_lazy("Wait in the queue when nothing is free"),
        type="boolean",
        help=gettext_lazy("Without it the request is refused then."),
        is_wide=True,
    ),
)


def who(
    values: Values, projects: Sequence[str], flavors: Sequence[Mapping[str, str]], outcome: Outcome
) -> list[dict[str, Any]]:
    """Return the group with project, name and flavor."""
    fields = (
        Field(
            name="project",
            label=_("Project"),
            type="choice",
            choices=(("", "–"), *((path, path) for path in projects)),
            is_required=True,
        ),
        Field(name="name", label=_("Name"), help=_("What people call it."), example="train-7"),
        Field(
            name="flavor",
            label=_("Flavor"),
            type="choice",
            choices=(("", _("none, I say it myself")), *((each["name"], each["label"]) for each in flavors)),
            help=_("A template: what it sets is left out below."),
            is_wide=True,
        ),
    )
    return forms.grouped(_("Who asks"), fields if flavors else fields[:2], values.texts, outcome)


def how(values: Values, outcome: Outcome) -> list[dict[str, Any]]:
    """Return the groups below the models."""
    policy = Field(
        name="policy",
        label=_("Policy"),
        type="choice",
        choices=tuple((name, words.label("allocation_policy", name)) for name in _POLICIES),
        help=_("Which place to take where several would do. The order of pools is the one in which they are named."),
        is_wide=True,
    )
    more = forms.grouped(_("More about where"), _MORE, values.texts, outcome)
    is_open = any(each["error"] or (each["value"] and each["name"] != "spread_level") for each in more[0]["fields"])
    return [
        *forms.grouped(_("How much"), _SIZE, values.texts, outcome),
        *forms.grouped(_("How near"), _PLACE, values.texts, outcome),
        *forms.grouped(_("Where, and at what price"), (*_WHERE, policy), values.texts, outcome),
        *({**group, "is_folded": True, "is_open": is_open} for group in more),
        *forms.grouped(_("How long"), _TIME, values.texts, outcome),
    ]


def choices(values: Values, outcome: Outcome) -> list[dict[str, Any]]:
    """Return [{number, model, profile, vendor, memory, interconnect, runtime, profiles, errors by field}] in order."""
    wrong = {each.field: each.detail for each in reversed(outcome.errors)}
    return [
        {
            "number": number,
            **choice._asdict(),
            "profiles": _profiles(choice.model),
            "errors": {name: wrong.get(f"{name}-{number}", "") for name in choice._fields},
        }
        for number, choice in enumerate(values.choices)
    ]


def vendors() -> list[str]:
    """Return the vendors of the catalogue."""
    return sorted({entry.vendor for entry in current().entries})


def interconnects() -> list[str]:
    """Return how devices of the catalogue are linked with each other, by name."""
    return sorted({str(entry.interconnect) for entry in current().entries} - {"none"})


def runtimes() -> list[str]:
    """Return what programs for devices of the catalogue are written against."""
    vendors = {entry.vendor for entry in current().entries}
    return sorted({runtime for vendor, runtime in RUNTIMES.items() if vendor in vendors})


def models(slugs: Sequence[str], values: Values) -> list[tuple[str, str]]:
    """Return (slug, name) of the models to choose from, those that are chosen already among them."""
    chosen = [choice.model for choice in values.choices if choice.model]
    return [(slug, allocation_view.model_name(slug)) for slug in dict.fromkeys([*slugs, *chosen])]


def mistakes(groups: list[dict[str, Any]], outcome: Outcome) -> list[dict[str, Any]]:
    """Return all mistakes for the top of the form, those of models too."""
    found = forms.summary(groups, outcome)
    return [_of_choice(each) if each["label"].startswith(_CHOICE_FIELDS) else each for each in found]


def in_words(outcome: Outcome) -> Outcome:
    """Return the outcome with its mistakes at the form's fields and in the language of the page."""
    told = [FieldError(form_values.field_of(each.field), "shown", _mistake(each)) for each in outcome.errors]
    return Outcome(outcome.is_done, outcome.result, tuple(told), outcome.refused)


def _mistake(wrong: FieldError) -> str:
    for key in (f"{_NUMBERED.sub('', wrong.field)}.{wrong.code}", wrong.code):
        if key in allocation_words.MISTAKES:
            return str(allocation_words.MISTAKES[key])
    return forms.mistake(wrong)


def _of_choice(each: dict[str, Any]) -> dict[str, Any]:
    kind, _dash, number = each["label"].partition("-")
    place = {"number": int(number) + 1 if number.isdecimal() else number}
    labels = {
        "model": _("Model %(number)s"),
        "profile": _("Profile %(number)s"),
        "vendor": _("Vendor of model %(number)s"),
        "memory": _("Memory of model %(number)s"),
        "interconnect": _("Interconnect of model %(number)s"),
        "runtime": _("Runtime of model %(number)s"),
    }
    return {**each, "name": each["label"], "label": labels[kind] % place}


def _profiles(model: str) -> list[str]:
    entry = current().by_slug.get(model)
    return [profile.name for profile in entry.profiles] if entry else []
