"""The words for stored states and codes, with the tone (ok, warn, bad, info or none) in which they are shown."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from connectors import catalog
from pools.domain.errors import DomainError
from pools.web import access_words, allocation_words, audit_words, trouble_words

Word = tuple["str | Promise", str]

WORDS: Final[dict[str, dict[str, Word]]] = (
    access_words.WORDS
    | allocation_words.WORDS
    | trouble_words.WORDS
    | {
        "pool_state": {
            "registering": (_("draft"), "info"),
            "active": (pgettext_lazy("pool", "active"), "ok"),
            "paused": (_("paused"), "warn"),
            "draining": (_("draining"), "warn"),
            "maintenance": (_("maintenance"), "warn"),
            "removed": (_("removed"), ""),
        },
        "pool_health": {
            "online": (_("online"), "ok"),
            "degraded": (_("degraded"), "warn"),
            "unknown": (_("unknown"), "bad"),
        },
        "run_state": {
            "queued": (_("queued"), "info"),
            "running": (_("running"), "info"),
            "succeeded": (_("succeeded"), "ok"),
            "failed": (_("failed"), "bad"),
            "held": (_("waits for a decision"), "warn"),
            "rejected": (_("rejected"), ""),
        },
        "run_kind": {
            "full": (pgettext_lazy("sync run", "full"), ""),
            "incremental": (_("incremental"), ""),
        },
        "run_trigger": {
            "schedule": (_("schedule"), ""),
            "manual": (_("by hand"), ""),
            "follow_up": (_("follow-up"), ""),
            "activate": (_("activation"), ""),
            "watch": (_("watch"), ""),
        },
        "device_state": {
            "retired": (_("retired"), ""),
            "missing": (_("missing"), "bad"),
            "faulty": (_("faulty"), "bad"),
            "in_use": (_("claimed"), "info"),
            "elsewhere": (_("given out by another pool"), ""),
            "partial": (_("in parts"), "info"),
            "shadow": (_("shadow use"), "warn"),
            "unavailable": (_("node unavailable"), "warn"),
            "unknown": (_("unknown"), "warn"),
            "free": (_("free"), "ok"),
        },
        "device_health": {
            "ok": (_("well"), "ok"),
            "faulty": (_("faulty"), "bad"),
            "unknown": (_("unknown"), "warn"),
        },
        "node_state": {
            "available": (_("available"), "ok"),
            "unavailable": (_("unavailable"), "warn"),
            "missing": (_("missing"), "bad"),
            "retired": (_("retired"), ""),
        },
        "grain": {
            "device": (_("promises single devices"), ""),
            "node": (_("promises devices on a node"), ""),
            "pool": (_("promises a share of the pool"), ""),
        },
        "change": {
            "created": (_("created"), "ok"),
            "changed": (_("changed"), "info"),
            "moved": (_("moved"), "info"),
            "missing": (_("missing"), "bad"),
            "returned": (_("returned"), "ok"),
            "retired": (_("retired"), ""),
            "held": (_("loss waits for a decision"), "warn"),
        },
        "log": audit_words.STREAMS,
        "object_kind": audit_words.OBJECT_KINDS
        | {
            "pool": (_("Pool"), ""),
            "node": (_("Node"), ""),
            "device": (_("Device"), ""),
            "counter": (_("Counter"), ""),
            "capacity": (_("Capacity"), ""),
        },
        "cell": {
            "c": (_("claimed"), "claimed"),
            "h": (_("held"), "held"),
            "s": (_("shadow use"), "shadow"),
            "f": (_("free"), "free"),
            "x": (_("faulty"), "faulty"),
            "u": (_("not available"), "unknown"),
            "p": (_("counted in pieces"), "pieces"),
            "e": (_("given out by another pool"), "elsewhere"),
        },
        "count": {
            "seen": (_("seen"), ""),
            "created": (_("created"), ""),
            "changed": (_("changed"), ""),
            "unchanged": (_("unchanged"), ""),
            "missing": (_("missing"), ""),
            "retired": (_("retired"), ""),
        },
        "phase": {
            "read_recorded": (_("reading what is recorded"), ""),
            "platform": (_("reading the platform"), ""),
            "compare": (_("comparing"), ""),
            "merge": (_("merging"), ""),
            "settle": (_("concluding what is missing"), ""),
        },
        "process_state": {
            "starting": (_("starting"), "info"),
            "running": (pgettext_lazy("process", "running"), "ok"),
            "waiting": (_("waits before the next start"), "warn"),
            "stopped": (_("stopped"), "bad"),
        },
        "yes_no": {
            "yes": (_("yes"), ""),
            "no": (_("no"), ""),
        },
        "field": audit_words.FIELDS
        | allocation_words.FIELDS
        | {
            "name": (_("Name"), ""),
            "ref": (_("Reference"), ""),
            "node": (_("Node"), ""),
            "index": (_("Index"), ""),
            "vendor": (_("Vendor"), ""),
            "model": (_("Model"), ""),
            "model_text": (_("Model as the platform names it"), ""),
            "profile": (_("Profile"), ""),
            "uuid": ("UUID", ""),
            "serial": (_("Serial number"), ""),
            "pci_id": (_("PCI id"), ""),
            "pci_address": (_("PCI address"), ""),
            "memory_mib": (_("Memory"), ""),
            "memory_used_mib": (_("Memory in use"), ""),
            "cpu_milli": (_("CPU (thousandths)"), ""),
            "cpu_used_milli": (_("CPU in use (thousandths)"), ""),
            "total_milli": (_("Capacity (thousandths)"), ""),
            "shadow_milli": (_("Shadow use (thousandths)"), ""),
            "shadow_mib": (_("Shadow use of memory"), ""),
            "health": (_("Health"), ""),
            "health_reason": (_("Reason of the health"), ""),
            "link_group": (_("Link group"), ""),
            "numa_node": (_("NUMA node"), ""),
            "uses": (pgettext_lazy("device", "Users"), ""),
            "attributes": (_("Attributes"), ""),
            "topology": (_("Topology"), ""),
            "topology_path": (_("Topology"), ""),
            "labels": (_("Labels"), ""),
            "device_count": (_("Devices"), ""),
            "devices": (_("Devices"), ""),
            "is_available": (_("Takes new work"), ""),
            "unavailable_reason": (_("Reason"), ""),
            "unknown_resources": (_("Resources nobody knows"), ""),
            "missing_since": (_("Missing since"), ""),
            "misses": (_("Observations without it"), ""),
            "retired_at": (_("Retired"), ""),
        },
        "credential_state": {
            "active": (_("in use"), "ok"),
            "pending": (_("waits for a check"), "info"),
            "refused": (_("refused"), "bad"),
            "replaced": (_("replaced"), ""),
        },
    }
)

# What an error means and what to do, by its stable code; the connector's own sentence stands beside it.
ERRORS: Final[dict[str, "str | Promise"]] = {
    "unreachable": _("The platform does not answer. Check address, network and firewall; ocenter keeps trying."),
    "timeout": _("The platform answers too slowly. ocenter keeps trying."),
    "dns_failed": _("The host name is not known. Check the address and the name service."),
    "server_error": _("The platform reports an error of its own. ocenter keeps trying."),
    "throttled": _("The platform asks for fewer requests. ocenter waits and tries again."),
    "unauthorized": _("The platform does not accept the credential. Replace the credential."),
    "denied": _("The platform refuses the credential or a permission is missing."),
    "forbidden": _("The credential lacks a permission. Grant it on the platform, then check the pool again."),
    "proxy_denied": _("The proxy refuses. Check the proxy's address and its credential."),
    "tls_untrusted": _("The server certificate is not trusted. Enter its authority or fingerprint in the settings."),
    "tls_failed": _("No encrypted connection came about. Check the address and the TLS settings."),
    "address_denied": _("ocenter may not connect to this address. Correct it, or let the operator allow it."),
    "redirected": _("The address leads elsewhere. Enter the final address in the settings."),
    "not_this_kind": _("Something else answers at this address. Check the address and the kind of the pool."),
    "not_found": _("The address answers, but not with what is needed. Check the address."),
    "identity_changed": _("Another platform answers at this address than before. Nothing was changed."),
    "identity_taken": _("Another pool stands for the same platform already."),
    "invalid": _("The settings do not fit the platform. Edit the pool's settings."),
    "invalid_settings": _("The settings do not fit the platform. Edit the pool's settings."),
    "invalid_answer": _("The platform's answer cannot be understood. Nothing was removed."),
    "too_large": _("The platform's answer is too large. Ask for smaller pages in the settings."),
    "truncated": _("The answer broke off in the middle. Nothing was removed; ocenter tries again."),
    "repeated_page": _("The platform gave the same page twice. Nothing was removed; ocenter tries again."),
    "gone": _("The list changed while it was read. ocenter begins anew."),
    "stopped": _("The worker was shut down in the middle. The next run goes on."),
    "worker_lost": _("The worker stopped in the middle. The next run goes on."),
    "database": _("The database failed in the middle. The next run goes on."),
    "internal": _("ocenter itself failed. Its log has the details."),
    "connector_bug": _("The connector failed. The log of the worker has the details."),
    "pool.removed": _("The pool was removed."),
    "credential.unreadable": _("The stored credential cannot be decrypted. Enter it again."),
}

HOLDS: Final[dict[str, "str | Promise"]] = {
    "claimed": _("Somebody holds capacity of what is missing."),
    "all_nodes": _("Every node of the pool is missing."),
    "many_nodes": _("More than a fifth of the nodes is missing."),
    "many_devices": _("More than a fifth of the devices is missing."),
}


# What is wrong with a field, by the stable code of the mistake.
MISTAKES: Final[dict[str, "str | Promise"]] = {
    "required": _("This field is needed."),
    "too_long": _("At most %(longest)s characters are allowed."),
    "too_small": _("At least %(minimum)s is needed."),
    "too_large": _("At most %(maximum)s is allowed."),
    "not_a_choice": _("Choose one of the given values."),
    "not_a_number": _("A whole number is needed."),
    "not_a_boolean": _("Yes or no is needed."),
    "not_a_url": _("An address such as https://host:port is needed."),
    "not_a_text": _("A text is needed."),
    "address_denied": _("ocenter may not connect to this address. Correct it, or let the operator allow it."),
    "secret_in_url": _("A user name or password does not belong into the address."),
    "bad_character": _("The text contains a character with the code 0; remove it."),
    "bad_name": _(
        "A name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit."
    ),
    "bad_label": _("Write labels as name=value with commas between."),
    "out_of_range": _("Between 5 and 86,400 seconds are allowed."),
    "name_taken": _("Another pool has this name."),
    "another_name": _("Type the name of the pool exactly."),
}


def refusal(error: DomainError) -> str:
    """Return what ocenter refuses, translated, with states as their words."""
    known = WORDS["run_state"] | WORDS["project_state"] | WORDS["pool_state"] | WORDS["role"]
    known = known | WORDS["allocation_reason"] | (WORDS["allocation_state"] if error.code == "allocation.state" else {})
    params = {
        name: str(known[value][0]) if name in ("state", "wanted", "role", "reason") and value in known else value
        for name, value in error.params.items()
    }
    return gettext(error.msgid) % params


def reason(code: str) -> str:
    """Return why an allocation is in its state; empty for a connector's code, of which its members tell a sentence."""
    return label("allocation_reason", code) if code in WORDS["allocation_reason"] else ""


def kind(name: str) -> str:
    """Return what a kind of platform is called."""
    return gettext(catalog.manifest(name).label)


def label(vocabulary: str, value: str | None) -> str:
    """Return the translated word; a value nobody knows is shown as it is."""
    return str(WORDS[vocabulary].get(value or "", (value or _("unknown"), ""))[0])


def tone(vocabulary: str, value: str | None) -> str:
    """Return the tone of a word: ok, warn, bad, info or nothing."""
    return WORDS[vocabulary].get(value or "", ("", ""))[1]
