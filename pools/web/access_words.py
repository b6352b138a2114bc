"""The words for rights: roles, nouns, verbs and the states of what gives access."""

from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

Word = tuple["str | Promise", str]

WORDS: Final[dict[str, dict[str, Word]]] = {
    "project_state": {
        "active": (pgettext_lazy("project", "active"), "ok"),
        "suspended": (_("suspended"), "warn"),
        "archived": (_("archived"), ""),
    },
    "role": {
        "admin": (_("administrator"), ""),
        "operator": (_("operator"), ""),
        "auditor": (_("auditor"), ""),
        "finance": (_("finance"), ""),
        "owner": (_("owner"), ""),
        "manager": (_("manager"), ""),
        "member": (_("member"), ""),
        "viewer": (_("viewer"), ""),
    },
    "role_source": {
        "hand": (_("by hand"), ""),
        "sso": (_("by single sign-on"), "info"),
    },
    "account_state": {
        "on": (_("switched on"), "ok"),
        "off": (_("switched off"), "bad"),
    },
    "user_kind": {
        "person": (_("person"), ""),
        "service": (_("service account"), ""),
    },
    "invitation_state": {
        "open": (_("waits"), "info"),
        "accepted": (_("accepted"), "ok"),
        "withdrawn": (_("withdrawn"), ""),
        "expired": (_("expired"), ""),
    },
    "token_state": {
        "active": (_("valid"), "ok"),
        "expired": (_("expired"), ""),
        "revoked": (_("revoked"), ""),
    },
    "verb": {
        "read": (_("read"), ""),
        "create": (_("make"), ""),
        "edit": (_("edit"), ""),
        "remove": (_("remove"), ""),
        "operate": (_("operate"), ""),
    },
    "noun": {
        "pool": (_("pools"), ""),
        "kind": (_("kinds of platforms"), ""),
        "model": (_("chip models"), ""),
        "node": (_("nodes"), ""),
        "device": (_("devices"), ""),
        "sync_run": (_("sync runs"), ""),
        "grant": (_("pool grants"), ""),
        "project": (_("projects"), ""),
        "quota": (_("quotas"), ""),
        "allocation": (_("allocations"), ""),
        "ledger": (_("the ledger"), ""),
        "capacity": (_("capacity and fragmentation"), ""),
        "flavor": (_("flavors"), ""),
        "price": (_("prices"), ""),
        "member": (_("members"), ""),
        "invitation": (_("invitations"), ""),
        "service_account": (_("service accounts"), ""),
        "token": (_("tokens of others"), ""),
        "user": (_("users"), ""),
        "platform_role": (_("roles on the platform"), ""),
        "sso_group": (_("groups of single sign-on"), ""),
        "session": (_("log-ins of others"), ""),
        "audit": (_("audit"), ""),
        "event": (_("events"), ""),
        "system": (_("processes"), ""),
        "orphan": (_("orphans"), ""),
        "drift": (_("drift"), ""),
        "me": (_("own profile, log-ins and tokens"), ""),
    },
}

ROLES: Final[dict[str, "str | Promise"]] = {
    "admin": _("Does everything: pools, projects, people and their roles."),
    "operator": _("Runs the pools and decides which projects may use them; sees projects and their members."),
    "auditor": _("Reads everything, the audit included, and changes nothing."),
    "finance": _("Reads what is there and which project may use it, for accounting."),
    "owner": _("Answers for the project: makes and archives what is below it, and gives every role."),
    "manager": _("Runs the project day by day: people up to manager, invitations, service accounts."),
    "member": _("Works in the project with what it may use."),
    "viewer": _("Looks at the project and changes nothing."),
}

# What is wrong with a field, by field and code, or by the code alone.
MISTAKES: Final[dict[str, "str | Promise"]] = {
    "name.bad_name": _("A name has 1 to 63 lower-case letters, digits and hyphens."),
    "name.reserved": _("This is a word of ocenter's own; choose another name."),
    "username.bad_name": _("A name has 1 to 150 letters, digits and @ . + - _"),
    "email.bad_value": _("This is no e-mail address."),
    "parent.too_deep": _("A tree of projects has at most 8 levels; choose a project further up."),
    "expires_at.too_late": _("This is longer than is allowed here."),
    "overlap_seconds.bad_value": _("At most seven days are allowed."),
    "name.bad_value": _("Write a name; it may not be too long."),
    "project.bad_value": _("There is no such project."),
    "unknown": _("There is nothing of this name that you may see."),
    "model.bad_value": _("This model is not known."),
    "model.duplicate": _("There is a quota for this already; change that one."),
    "profile.bad_value": _("This model has no such profile."),
    "profile.no_model": _("A profile is one of a model; name the model as well."),
    "pools.bad_value": _("One of these pools is not known."),
    "pools.not_granted": _("The project may not use one of these pools; grant it first, or leave it out."),
    **dict.fromkeys(
        ("nominal", "borrow_limit", "lend_limit", "hard_limit"),
        _("Write a number of devices such as 8 or 0.5, from 0 on."),
    ),
    "weight": _("1 to 1,000 is possible."),
    "labels": _("Write labels as name=value with commas between."),
    "too_long": _("This is too long."),
    "required": _("This field is needed."),
    "not_a_choice": _("Choose one of the given values."),
    "too_wide": _("A token cannot make one that may do more than itself; narrow this."),
}


def role_choices(names: Any) -> list[tuple[str, Any]]:
    """Return (name, words with the sentence about it) of roles, for a choice."""
    return [(name, f"{WORDS['role'][name][0]} – {ROLES[name]}") for name in names]
