"""What the choices of a request mean: which models, what a member takes of a row, and what kind of request it is."""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec.structs import replace

from pools.domain.candidates import Form
from pools.domain.chips import Entry
from pools.domain.request import WHOLE_MILLI, Choice, Wanted
from pools.domain.rows import FOREVER, Need
from pools.domain.shapes import Shape

# What programs for a vendor's devices are written against. Source: the vendors' own names of their software stacks.
RUNTIMES: Final[Mapping[str, str]] = {
    "amd": "rocm",
    "aws": "neuron",
    "biren": "supa",
    "cambricon": "neuware",
    "enflame": "topsrider",
    "google": "libtpu",
    "huawei": "cann",
    "hygon": "dtk",
    "iluvatar": "corex",
    "intel": "oneapi",
    "kunlunxin": "xre",
    "metax": "maca",
    "mthreads": "musa",
    "nvidia": "cuda",
    "thead": "ppu",
}
CPU_ONLY: Final = Choice()


def of(wanted: Wanted) -> tuple[Choice, ...]:
    """Return the choices in order. A request for CPU alone has the one that asks for nothing of a device."""
    return wanted.any_of if wanted.devices_per_member else (CPU_ONLY,)


def form(wanted: Wanted, choice: Choice) -> Form:
    """Return what a choice asks for: whole devices, pieces, shares, or no device at all."""
    if not wanted.devices_per_member:
        return "cpu"
    if choice.profile:
        return "profile"
    return "share" if wanted.share else "whole"


def models(choice: Choice, known: Collection[str], chips: Mapping[str, Entry]) -> tuple[str, ...]:
    """Return the models of ``known`` that would do, in their order. One that no catalogue has is found by name only."""
    if choice.model is not None:
        return (choice.model,) if choice.model in known else ()
    return tuple(model for model in known if (entry := chips.get(model)) is not None and _has(entry, choice))


def after(
    wanted: Wanted, rank: int, model: str, known: Collection[str], chips: Mapping[str, Entry]
) -> tuple[Choice, ...]:
    """Return what a request would take after a model that its choice of this rank led to: none is left at the end."""
    others = tuple(
        replace(choice, model=other)
        for choice in wanted.any_of[rank : rank + 1]
        for other in models(choice, known, chips)
        if other != model
    )
    return (*others, *wanted.any_of[rank + 1 :])


def _has(entry: Entry, choice: Choice) -> bool:
    return (
        choice.vendor in (None, entry.vendor)
        and entry.memory_mib >= (choice.memory_mib_min or 0)
        and choice.interconnect in (None, entry.interconnect)
        and choice.runtime in (None, RUNTIMES.get(entry.vendor))
        and (not choice.profile or entry.find_profile(choice.profile) is not None)
    )


def need(wanted: Wanted, form: Form, profile: str, entry: Entry | None, *, has_bookings: bool) -> Need:
    """Return what one member takes of one row of a model. ``profile`` is in the catalogue's words, "" for none."""
    milli = WHOLE_MILLI
    if form == "share" and wanted.share:
        milli = wanted.share.milli
    elif entry is not None and profile and (found := entry.find_profile(profile)):
        milli = found[1].milli
    near, group = wanted.topology.devices, ""
    if near is not None and wanted.devices_per_member > 1:
        group = "required" if near.required else "preferred"
    return Need(
        form=form,
        devices=wanted.devices_per_member,
        milli=milli,
        mib=wanted.share.memory_mib if form == "share" and wanted.share else None,
        profile=profile,
        cpu_milli=wanted.per_member.cpu_milli,
        memory_mib=wanted.per_member.memory_mib,
        group=group,
        lease_seconds=_longest(wanted) if has_bookings else 0,
    )


def _longest(wanted: Wanted) -> int:
    """How long it may be there: a hold may be confirmed in its last second."""
    return FOREVER if wanted.lease_seconds is None else wanted.lease_seconds + (wanted.hold_seconds or 0)


def kind(wanted: Wanted, known: Collection[str], chips: Mapping[str, Entry]) -> Shape:
    """Return the request as a kind of request: what the mix counts once for each of its members' shapes.

    Pieces count by the milli they take on the first model that has them. All choices together say which models would
    do; no models are all.
    """
    found: dict[str, None] = {}
    milli = wanted.share.milli if wanted.share else WHOLE_MILLI
    for choice in of(wanted):
        for model in models(choice, known, chips):
            found.setdefault(model)
            if choice.profile and len(found) == 1 and (entry := chips.get(model)):
                piece = entry.find_profile(choice.profile)
                milli = piece[1].milli if piece else milli
    devices = wanted.devices_per_member
    is_all = len(found) == len(known)
    return Shape(
        cpu_milli=wanted.per_member.cpu_milli,
        memory_mib=wanted.per_member.memory_mib,
        devices=devices,
        milli=milli if devices else 0,
        models=frozenset() if is_all or not devices else frozenset(found),
    )
