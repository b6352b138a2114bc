"""The sentences that workers store in English, and their translation when they are shown.

Connectors and loops know no language: what they warn of is stored, told by the API and logged as they say it. Here are
the same sentences for gettext, with names for what changes in them; a test sees to it that none is missing. What a
platform says itself stays as it is.
"""

import re
from functools import cache
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SENTENCES: Final = (
    # pools.reconcile
    _("A large loss waits for a decision."),
    _("The last observation was incomplete."),
    _("The observation was incomplete."),
    _("Marking %(count)s nodes as missing waits for a decision on run %(run)s."),
    # connectors.facts
    _("The answer has texts that are too long or hold unprintable characters; they were changed."),
    _("Node %(node)s has texts that are too long or hold unprintable characters; they were changed."),
    _("There are more warnings of this kind; they are left out."),
    _(
        "Device %(device)s of node %(node)s was seen before in this observation; it is counted once, where it was seen "
        "first."
    ),
    # connectors.http
    _(
        "The clock of %(host)s is %(seconds)s s ahead of ours: leases and certificates may end at another time than "
        "shown. Set both clocks by NTP."
    ),
    _(
        "The clock of %(host)s is %(seconds)s s behind ours: leases and certificates may end at another time than "
        "shown. Set both clocks by NTP."
    ),
    _("%(host)s is spoken to without TLS: anyone on the way can read the credential and change the answers."),
    _("The certificate of %(host)s is not checked: anyone on the way can read the credential and lie."),
    # connectors.baremetal
    _("The management controller of %(host)s tells nothing: %(why)s"),
    _(
        "The management controller of %(host)s is of another server: its serial number is %(serial)s, the host's is "
        "%(other)s. Correct the host's bmc; nothing of it was used."
    ),
    # connectors.vsphere
    _("The account may not read the whole inventory, so hosts and VMs may be missing."),
    _("Hosts without a hardware uuid are left out."),
    _("The cards of some hosts may not be read: those hosts take nothing new."),
    _("The PCI devices of some hosts may not be read: DirectPath cards and failed cards of theirs are not seen."),
    _("The place or the power state of some VMs may not be read, so use may be missing."),
    _("Some VMs that are on cards may not be read: those cards count as used up."),
    _("Host %(host)s shows the card at %(address)s more than once; it is counted once."),
    _("Hosts %(host)s (%(id)s) and %(other)s (%(other_id)s) have the same hardware uuid; only the second is counted."),
    # connectors.simulated
    _("This pool is simulated: nothing in it exists."),
    _("The platform's clock is %(seconds)s s ahead of ours. Set both clocks by NTP."),
    # connectors.openstack
    _("The catalog has no accelerator service: only cards that Nova manages are seen."),
    _("Without the role admin, Cyborg shows the requests of this account's project only."),
    _(
        "Whether hosts are alive is not known: the account may not list Nova's hypervisors, services and servers. All "
        "count as available."
    ),
    _("Whether hosts are alive is not known: the catalog has no compute service. All count as available."),
    _("Whether hosts are alive is not known: no Nova answers. All count as available."),
    _("%(policy)s: not allowed, so whether hosts are alive is not known"),
    _("Placement has cards of Cyborg, but Cyborg is not in the catalog or lists none."),
    _("Cards of Cyborg without a provider in Placement; nobody can get them (%(count)s): %(names)s."),
    _("Cards listed twice by Cyborg; the newer entry counts (%(count)s): %(names)s."),
    _("Hosts with cards in maintenance in Cyborg that Placement still gives out (%(count)s): %(names)s."),
    _("Providers of Cyborg in Placement without a card in Cyborg (%(count)s): %(names)s."),
    _("Cards bound in Cyborg and not counted in Placement; they count as used (%(count)s): %(names)s."),
    _("Cards in use in Placement without a request in Cyborg (%(count)s): %(names)s."),
    # connectors.baremetal
    _("Host %(host)s could not be looked at (%(code)s)."),
    _("Host %(host)s cannot give out its cards: %(trouble)s."),
    _("Host %(host)s has cards that only %(tool)s tells; ocenter cannot read it yet."),
    # connectors.kubernetes
    _(
        "The API server's clock and ours differ by %(minutes)s minutes. Check the clocks of both: tokens end by the "
        "one and leases by the other."
    ),
    _("The account may not get configmaps in kube-system; only Ascend nodes need that."),
    _("The account may not get configmaps in kube-system, so faults of Ascend chips are only counted."),
    _("What the cluster has installed cannot be read: %(error)s"),
    _("The cluster's state is older than at the last look: it was restored from a backup."),
    _("Annotation %(annotation)s of node %(node)s cannot be read; its cards are counted only."),
    _(
        "Handshakes of HAMi or Volcano agents differ from the API server's clock by more than 5 minutes; check the "
        "clocks of the nodes and that the scheduler of HAMi or Volcano runs."
    ),
    _("Driver %(driver)s publishes devices in pool %(pool)s that belong to no single node; they are not shown."),
    _("%(resource)s is offered by a device plugin beside DRA on node %(node)s."),
    _(
        "%(resource)s stands for %(models)s: a quota cannot tell these apart, so one model of them can be given out by "
        "Kueue only."
    ),
    _("Pods may not be listed, so nobody knows what is in use."),
    _("ResourceSlices may not be listed, so devices of DRA drivers are not seen."),
    _("ResourceClaims may not be listed, so nobody knows which DRA devices are in use."),
)
_LONGEST: Final = 4000  # nothing of ours is longer, and no platform shall make us search for long


def shown(stored: str) -> str:
    """Return what a worker stored in the language of the page; unknown sentences stay as they are.

    Several sentences may follow each other (why an observation was incomplete).
    """
    if not stored or len(stored) > _LONGEST:
        return stored
    if (whole := _translated(stored)) is not None:
        return whole
    pieces = re.split(r"(?<=\.) ", stored)
    return " ".join(_translated(piece) or piece for piece in pieces)


def _translated(sentence: str) -> str | None:
    for msgid, pattern in _patterns():
        if found := pattern.fullmatch(sentence):
            return gettext(msgid) % found.groupdict() if found.groupdict() else gettext(msgid)
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What changes in a sentence may be any text; sentences that begin with it are tried last."""
    ordered = sorted(SENTENCES, key=lambda msgid: msgid.startswith("%("))
    return tuple((msgid, re.compile(_as_pattern(msgid), re.DOTALL)) for msgid in ordered)


def _as_pattern(msgid: str) -> str:
    pieces = re.split(r"%\((\w+)\)s", msgid)
    return "".join(f"(?P<{piece}>.+?)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
