"""What is wrong with a request by itself, whatever there is to give: everything at once, with the way out.

The bounds are far above any real request. They keep every product of numbers of a request within 63 bits, and one
request from keeping everybody else waiting.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pools.domain import choices, filters, labels, policies
from pools.domain.chips import Entry
from pools.domain.errors import FieldError
from pools.domain.request import WHOLE_MILLI, Choice, Wanted

MEMBERS_MOST: Final = 10_000
DEVICES_PER_MEMBER_MOST: Final = 1_024
DEVICES_MOST: Final = 1_000_000  # of all members: 10**9 milli
CPU_MILLI_MOST: Final = 10_000_000
MEMORY_MIB_MOST: Final = 1 << 30
SECONDS_MOST: Final = 10 * 366 * 86_400
HOLD_SECONDS_MOST: Final = 7 * 86_400
BEFORE_END_SECONDS_MOST: Final = 3600
CHOICES_MOST: Final = 16
LIST_MOST: Final = 1_000
TARGET_MOST: Final = 16
LONGEST: Final = 255
PROJECT_LONGEST: Final = 8 * 64
SSH_KEYS_MOST: Final = 50
SSH_KEY_LONGEST: Final = 16_384

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LEVEL: Final = re.compile(r"[a-z](?:[a-z0-9._/-]{0,61}[a-z0-9])?")
_SSH_KEY: Final = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}(?: [^\x00-\x1f\x7f]*)?")
_PROPERTIES: Final = ("vendor", "memory_mib_min", "interconnect", "runtime")


def mistakes(
    wanted: Wanted, chips: Mapping[str, Entry], *, other_models: Collection[str] = (), now: datetime | None = None
) -> list[FieldError]:
    """Return all that is wrong. ``other_models`` are known though no catalogue has them; ``start_at`` is not before
    ``now``.
    """
    found = [
        *_numbers(wanted),
        *_times(wanted, now),
        *_devices(wanted, chips, other_models),
        *_levels(wanted),
        *_words(wanted),
    ]
    return found + labels.mistakes(wanted.labels)


def is_name(text: str) -> bool:
    """Return whether an allocation can be called so."""
    return not text or _NAME.fullmatch(text) is not None


def lease_mistakes(lease_seconds: int) -> list[FieldError]:
    """Return what is wrong with the length of a lease by itself."""
    return list(_between("lease_seconds", lease_seconds, 1, SECONDS_MOST))


def _numbers(wanted: Wanted) -> Iterator[FieldError]:
    yield from _between("members", wanted.members, 1, MEMBERS_MOST)
    yield from _between("devices_per_member", wanted.devices_per_member, 0, DEVICES_PER_MEMBER_MOST)
    is_each_possible = wanted.members <= MEMBERS_MOST and wanted.devices_per_member <= DEVICES_PER_MEMBER_MOST
    if is_each_possible and wanted.devices > DEVICES_MOST:
        detail = (
            f"{wanted.members} members of {wanted.devices_per_member} devices are more than {DEVICES_MOST} devices."
        )
        yield FieldError("members", "too_many", f"{detail} Ask for fewer, or in several requests.")
    yield from _between("per_member.cpu_milli", wanted.per_member.cpu_milli, 0, CPU_MILLI_MOST)
    yield from _between("per_member.memory_mib", wanted.per_member.memory_mib, 0, MEMORY_MIB_MOST)
    if not wanted.devices_per_member and not (wanted.per_member.cpu_milli or wanted.per_member.memory_mib):
        yield FieldError("per_member", "required", "Without devices, say how much CPU or memory a member needs.")
    if wanted.share is not None:
        yield from _between("share.milli", wanted.share.milli, 1, WHOLE_MILLI)
        yield from _between("share.memory_mib", wanted.share.memory_mib, 1, MEMORY_MIB_MOST)
    yield from _between("priority", wanted.priority, 0, 100)
    price = wanted.max_price_per_hour
    if price is not None and not (price.is_finite() and 0 <= price < 10**12):
        yield FieldError("max_price_per_hour", "out_of_range", "A price from 0 to below 10^12 is needed.")


def _times(wanted: Wanted, now: datetime | None) -> Iterator[FieldError]:
    yield from _between("lease_seconds", wanted.lease_seconds, 1, SECONDS_MOST)
    yield from _between("hold_seconds", wanted.hold_seconds, 1, HOLD_SECONDS_MOST)
    yield from _between("notice_seconds", wanted.notice_seconds, 0, SECONDS_MOST)
    yield from _between("min_run_seconds", wanted.min_run_seconds, 0, SECONDS_MOST)
    yield from _between("before_end_seconds", wanted.before_end_seconds, 0, BEFORE_END_SECONDS_MOST)
    if wanted.lease_seconds is not None and wanted.before_end_seconds > wanted.lease_seconds > 0:
        yield FieldError("before_end_seconds", "out_of_range", "It cannot be longer than its lease.")
    if wanted.mode == "hold" and wanted.hold_seconds is None:
        yield FieldError("hold_seconds", "required", "Say for how long to hold it.")
    if wanted.mode == "claim" and wanted.hold_seconds is not None:
        yield FieldError("hold_seconds", "not_allowed", 'Only mode "hold" holds for a time; leave it out.')
    if wanted.lease_seconds is not None and wanted.min_run_seconds > wanted.lease_seconds > 0:
        yield FieldError("min_run_seconds", "out_of_range", "It cannot run longer than its lease.")
    start_at = wanted.start_at
    if start_at is not None and start_at.utcoffset() is None:
        yield FieldError("start_at", "bad_value", "Say the offset too, as in 2026-11-25T12:00:00Z.")
    elif start_at is not None and now is not None and start_at < now:
        yield FieldError("start_at", "in_the_past", "This is over; leave it out to start now.")
    elif start_at is not None and now is not None and start_at > now + timedelta(seconds=SECONDS_MOST):
        yield FieldError("start_at", "out_of_range", "Within the next ten years is possible.")
    if start_at is not None and wanted.mode == "hold":
        yield FieldError("start_at", "not_allowed", "A hold begins at once; leave one of the two out.")


def _devices(wanted: Wanted, chips: Mapping[str, Entry], other_models: Collection[str]) -> Iterator[FieldError]:
    if not wanted.devices_per_member:
        if wanted.any_of or wanted.share is not None:
            name = "any_of" if wanted.any_of else "share"
            yield FieldError(name, "not_allowed", "No device is asked for; leave it out, or ask for at least one.")
        return
    if not wanted.any_of:
        detail = 'Say which devices would do, as a list such as [{"model": ...}].'
        yield FieldError("any_of", "required", detail)
    if len(wanted.any_of) > CHOICES_MOST:
        yield FieldError("any_of", "too_many", f"At most {CHOICES_MOST} choices are allowed.")
    for number, choice in enumerate(wanted.any_of[:CHOICES_MOST]):
        yield from _choice(f"any_of[{number}]", choice, chips, other_models)
    if wanted.share is not None and any(choice.profile for choice in wanted.any_of):
        yield FieldError("share", "not_allowed", "A profile is a fixed share already; ask for one of the two.")
    elif wanted.share is not None and wanted.share.memory_mib is not None:
        models = {model for choice in wanted.any_of for model in choices.models(choice, chips, chips)}
        most = max((chips[model].memory_mib for model in models), default=0)
        if models and wanted.share.memory_mib > most:
            detail = f"No card of these models has more than {most} MiB, and a share lies on one card."
            yield FieldError("share.memory_mib", "too_large", detail)


def _choice(
    path: str, choice: Choice, chips: Mapping[str, Entry], other_models: Collection[str]
) -> Iterator[FieldError]:
    properties = [name for name in _PROPERTIES if getattr(choice, name) is not None]
    if choice.model is not None and properties:
        for name in properties:
            yield FieldError(f"{path}.{name}", "not_allowed", "The model says this; leave one of the two out.")
    elif choice.model is None and not properties and choice.profile is None:
        yield FieldError(path, "required", "Say a model, or what the device must have.")
    if choice.model is not None and choice.model not in chips and choice.model not in other_models:
        known = [*chips, *other_models]
        similar = sorted(model for model in known if choice.model.lower() in model)[:5] if choice.model else []
        meant = f"Is one of {', '.join(similar)} meant?" if len(similar) > 1 else filters.meant(choice.model, known)
        yield FieldError(f"{path}.model", "unknown_model", f'"{choice.model[:64]}" is not known. {meant}'.rstrip())
        return
    vendors = {entry.vendor for entry in chips.values()}
    interconnects = {str(entry.interconnect) for entry in chips.values()}
    runtimes = set(choices.RUNTIMES.values())
    bad = list(_between(f"{path}.memory_mib_min", choice.memory_mib_min, 1, MEMORY_MIB_MOST))
    for name, words in (("vendor", vendors), ("interconnect", interconnects), ("runtime", runtimes)):
        bad += _known(f"{path}.{name}", getattr(choice, name), words)
    yield from bad
    if bad or choice.model in other_models:
        return
    without = Choice(**{name: getattr(choice, name) for name in ("model", *_PROPERTIES)})
    models = choices.models(without, chips, chips)
    if not models:
        yield FieldError(path, "no_match", "No known model has all of this; ask for less.")
    elif choice.profile and not any(chips[model].find_profile(choice.profile) for model in models):
        names = {profile.name for model in models for profile in chips[model].profiles}
        detail = f'"{choice.profile[:64]}" is not known. {filters.meant(choice.profile, names)}'.rstrip()
        yield FieldError(f"{path}.profile", "unknown_profile", detail if names else "These devices cannot be cut.")


def _levels(wanted: Wanted) -> Iterator[FieldError]:
    topology = wanted.topology
    if topology.devices is not None and topology.devices.level != "link-group":
        detail = "The devices of a member can be near to each other in a link-group."
        yield FieldError("topology.devices.level", "unknown_level", detail)
    for name, level in (("members", topology.members), ("spread", topology.spread)):
        if level is None:
            continue
        if level.level == "link-group" or not _LEVEL.fullmatch(level.level):
            detail = "Say a level such as node, rack, zone or region."
            yield FieldError(f"topology.{name}.level", "unknown_level", detail)
        elif name == "spread" and level.level == "pool":
            detail = "All members of a request are in one pool. Spread over a narrower level, or ask several times."
            yield FieldError("topology.spread.level", "not_allowed", detail)


def _words(wanted: Wanted) -> Iterator[FieldError]:
    if not 0 < len(wanted.project) <= PROJECT_LONGEST:
        yield FieldError("project", "required", "Say the path or the id of a project.")
    if not is_name(wanted.name):
        detail = "A name has 1 to 63 letters, digits and . _ -, and begins and ends with a letter or digit."
        yield FieldError("name", "bad_name", detail)
    yield from _known("policy", wanted.policy, policies.NAMES)
    avoid, selector = wanted.topology.avoid, wanted.pools
    for path, listed in (
        ("topology.avoid.nodes", avoid.nodes),
        ("topology.avoid.pools", avoid.pools),
        ("pools.names", selector.names or ()),
        ("pools.kinds", selector.kinds or ()),
        ("pools.regions", selector.regions or ()),
    ):
        if len(listed) > LIST_MOST or any(len(text) > LONGEST for text in listed):
            detail = f"At most {LIST_MOST} of at most {LONGEST} characters are allowed."
            yield FieldError(path, "too_many", detail)
    try:
        labels.requirements((selector.labels or "")[: LIST_MOST + 1])
    except ValueError as error:
        yield FieldError("pools.labels", "bad_value", str(error))
    if len(selector.labels or "") > LIST_MOST:
        yield FieldError("pools.labels", "too_long", f"At most {LIST_MOST} characters are allowed.")
    for path, text in (("flavor", wanted.flavor), ("consumer_pool", wanted.consumer_pool)):
        if text is not None and not 0 < len(text) <= LONGEST:
            yield FieldError(path, "bad_value", f"1 to {LONGEST} characters are needed.")
    yield from _target(wanted.target)
    if len(wanted.access.ssh_keys) > SSH_KEYS_MOST:
        yield FieldError("access.ssh_keys", "too_many", f"At most {SSH_KEYS_MOST} are allowed.")
    for number, key in enumerate(wanted.access.ssh_keys[:SSH_KEYS_MOST]):
        if len(key) > SSH_KEY_LONGEST or not _SSH_KEY.fullmatch(key):
            detail = "A public key in one line is needed, as in a .pub file: ssh-ed25519 AAAA... name."
            yield FieldError(f"access.ssh_keys[{number}]", "bad_value", detail)


def _target(target: Mapping[str, Any]) -> Iterator[FieldError]:
    if len(target) > TARGET_MOST:
        yield FieldError("target", "too_many", f"At most {TARGET_MOST} fields are allowed.")
    for name, value in target.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST or len(name) > LONGEST:
            yield FieldError(f"target.{name[:64]}", "bad_value", f"A text of 1 to {LONGEST} characters is needed.")


def _between(path: str, number: int | None, least: int, most: int) -> Iterator[FieldError]:
    if number is not None and not least <= number <= most:
        yield FieldError(path, "out_of_range", f"{least} to {most} is possible.")


def _known(path: str, word: str | None, known: Collection[str]) -> list[FieldError]:
    if word is None or word in known:
        return []
    detail = f'"{word[:64]}" is not known. {filters.meant(word, known)}'.rstrip()
    return [FieldError(path, "bad_value", detail)]
