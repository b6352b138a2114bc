"""What a request would be answered, in words: where it fits, why not, and what would do instead."""

import re
from decimal import Decimal
from typing import Any, Final

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pools.domain import waiting
from pools.domain.decisions import Change
from pools.domain.request import Wanted
from pools.services.what_ifs import Answer
from pools.web import allocation_view, figures, words
from pools.web import request_form_values as form_values

_FREED: Final = re.compile(r"Free (\d+) more on node (.+)\.")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


def presented(answer: Answer, wanted: Wanted, *, sees_nodes: bool) -> dict[str, Any]:
    """Return {fits, reason, pool, model, price, whole_price, promised, losses, nodes, candidates, ...}.

    People of projects learn of what others have as "full" and no more, as from the API.
    """
    decision = answer.decision
    told: dict[str, Any] = {"fits": decision is not None, "reason": words.label("allocation_reason", answer.reason)}
    if decision is not None:
        explanation = decision.explanation
        told |= {
            "pool": answer.pools[decision.pool_id].name,
            "model": allocation_view.model_name(decision.model),
            "profile": decision.profile,
            "price": allocation_view.price(decision.price_per_hour),
            "whole_price": _whole(decision.price_per_hour, wanted.lease_seconds),
            "promised": words.label("allocation_promise", explanation.promised),
            "losses": [allocation_view.loss(msgspec.to_builtins(each)) for each in explanation.losses if each.share],
            "nodes": sorted({each.node_name for each in decision.members if each.node_name}) if sees_nodes else [],
        }
    return told | {
        "candidates": [
            {
                "pool": answer.pools[each.pool_id].name,
                "model": allocation_view.model_name(each.model),
                "profile": each.profile,
                "nodes": each.nodes,
                "price": allocation_view.price(each.price_per_hour),
                "share": figures.percent(round(1_000_000 * each.fragmentation_delta), 1_000_000),
            }
            for each in answer.possible
        ],
        "refusals": [
            {
                "pool": answer.pools[each.pool_id].name,
                "words": words.label("allocation_reason", each.code),
                "nodes": each.nodes if sees_nodes else 0,
            }
            for each in answer.refusals
        ],
        "is_hold": wanted.mode == "hold",
        "waits": wanted.queue and answer.reason and answer.reason not in waiting.HOPELESS,
        "changes": [{"words": change(each), "patch": _patch(each)} for each in answer.changes],
    }


def change(each: Change) -> str:
    """Return a smallest change in words."""
    patch, number = each.patch, _NUMBER.search(each.detail)
    if each.code == "quota":
        missing = {"number": number[0] if number else ""}
        if "compute units" in each.detail:
            return _("%(number)s more compute units of quota are needed.") % missing
        return _("%(number)s more devices of quota are needed.") % missing
    if each.code == "price":
        price = allocation_view.price(patch["max_price_per_hour"])
        return _("Pay up to %(price)s per hour.") % {"price": price}
    if each.code == "topology":
        return _("Prefer to be near together, do not require it.")
    if each.code == "members":
        members = patch["members"]
        told = ngettext("Ask for %(number)s member.", "Ask for %(number)s members.", members)
        return told % {"number": figures.number(members)}
    if each.code == "devices" and "members" in patch:
        sizes = {"members": patch["members"], "devices": patch["devices_per_member"]}
        return _("Ask for %(members)s members of %(devices)s devices.") % sizes
    if each.code == "devices":
        return _("Ask for members of %(devices)s devices.") % {"devices": patch["devices_per_member"]}
    if each.code == "share":
        return _("Ask for %(share)s of a card.") % {"share": figures.percent(patch["share"]["milli"], 1000)}
    if each.code == "model":
        return _("Take %(model)s as well.") % {"model": allocation_view.model_name(patch["any_of"][-1].get("model"))}
    if each.code == "wait":
        seconds = int(number[0]) if number else None
        return _("Wait in the queue: it fits when leases end in %(duration)s.") % {
            "duration": figures.duration(seconds)
        }
    if freed := _FREED.fullmatch(each.detail):
        return _("Free %(number)s more devices on node %(node)s.") % {"number": freed[1], "node": freed[2]}
    return each.detail


def _patch(each: Change) -> str:
    return msgspec.json.encode(each.patch).decode() if form_values.is_known(each.patch) else ""


def _whole(per_hour: Decimal | None, seconds: int | None) -> str:
    """Return what the whole lease costs; empty where there is no price or no end."""
    if per_hour is None or seconds is None:
        return ""
    return allocation_view.price((per_hour * seconds / 3600).quantize(Decimal("0.01")))
