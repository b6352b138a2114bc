"""Flavors: named templates of requests that operators offer."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pools.domain import filters, ids, request_body
from pools.domain.actors import Actor
from pools.domain.errors import FieldError, FlavorChanged, FlavorMissing, FlavorNameTaken, Invalid
from pools.models import ChipModel, Flavor
from pools.services import audit, models, writing

# What of a request a flavor may set; all else is the asking project's own affair.
SETTABLE: Final = (
    "members",
    "devices_per_member",
    "any_of",
    "share",
    "per_member",
    "topology",
    "pools",
    "policy",
    "lease_seconds",
    "priority",
    "preemptible",
    "notice_seconds",
    "before_end_seconds",
    "min_run_seconds",
)
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_DESCRIPTION_LONGEST: Final = 500
_EDITABLE: Final = ("name", "description", "spec")


@writing.transaction
def make(*, name: str, spec: Mapping[str, Any], description: str = "", actor: Actor, now: datetime) -> Flavor:
    """Offer a flavor. Raises Invalid with all mistakes, FlavorNameTaken."""
    values = {"name": name, "description": description, "spec": dict(spec)}
    _require_right(values)
    _require_free(name)
    flavor = Flavor.objects.create(id=ids.new_id(), created_at=now, **values)
    audit.record(actor, "flavor.made", "flavor", flavor.pk, flavor.name, None, values, now)
    return flavor


@writing.transaction
def edit(
    *, flavor_id: UUID, changes: Mapping[str, Any], generation: int | None = None, actor: Actor, now: datetime
) -> Flavor:
    """Change name, description or spec (replaced as a whole). What was asked for before keeps what it was given.

    Raises Invalid, FlavorNameTaken, FlavorChanged, FlavorMissing.
    """
    flavor = _locked(flavor_id, generation)
    known = {field: changes[field] for field in _EDITABLE if field in changes}
    _require_right(known)
    before = {field: getattr(flavor, field) for field in known}
    changed = {field: value for field, value in known.items() if value != before[field]}
    if not changed:
        return flavor
    if "name" in changed:
        _require_free(changed["name"])
    for field, value in changed.items():
        setattr(flavor, field, value)
    flavor.generation += 1
    flavor.save(update_fields=[*changed, "generation"])
    audit.record(
        actor, "flavor.edited", "flavor", flavor.pk, flavor.name, {name: before[name] for name in changed}, changed, now
    )
    return flavor


@writing.transaction
def remove(*, flavor_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> None:
    """Offer it no longer; what was asked for by it lives on. Raises FlavorChanged, FlavorMissing."""
    flavor = _locked(flavor_id, generation)
    flavor.removed_at = now
    flavor.generation += 1
    flavor.save(update_fields=["removed_at", "generation"])
    audit.record(actor, "flavor.removed", "flavor", flavor.pk, flavor.name, {"name": flavor.name}, None, now)


def _locked(flavor_id: UUID, generation: int | None) -> Flavor:
    flavor = Flavor.objects.select_for_update().filter(pk=flavor_id, removed_at=None).first()
    if flavor is None:
        raise FlavorMissing
    if generation is not None and generation != flavor.generation:
        raise FlavorChanged
    return flavor


def _require_free(name: str) -> None:
    # Two at once: the second breaks the constraint, and is told that the database refused it.
    if Flavor.objects.filter(name=name, removed_at=None).exists():
        raise FlavorNameTaken(name=name)


def _require_right(values: Mapping[str, Any]) -> None:
    wrong = list(_mistakes(values))
    if wrong:
        raise Invalid(fields=tuple(wrong))


def _mistakes(values: Mapping[str, Any]) -> Iterator[FieldError]:
    if "name" in values and not _NAME.fullmatch(values["name"]):
        yield FieldError("name", "bad_name", "Use 1 to 63 lower-case letters, digits, dots and hyphens.")
    if len(values.get("description", "")) > _DESCRIPTION_LONGEST:
        yield FieldError("description", "too_long", f"At most {_DESCRIPTION_LONGEST} characters are taken.")
    if "spec" not in values:
        return
    spec = values["spec"]
    if not spec:
        yield FieldError("spec", "required", f"Set at least one of {', '.join(SETTABLE)}.")
    for name in spec:
        if name not in SETTABLE:
            meant = filters.meant(name, SETTABLE)
            yield FieldError(f"spec.{name[:64]}", "unknown_field", f"A flavor cannot set this. {meant}".rstrip())
    known = {name: spec[name] for name in SETTABLE if name in spec}
    slugs = ChipModel.objects.filter(is_catalogued=False).values_list("slug", flat=True)
    try:
        request_body.read({"project": "any", **known}, models.current().by_slug, other_models=list(slugs))
    except Invalid as error:
        # What a flavor leaves open the request has to say.
        for mistake in error.fields:
            if re.split(r"[.\[]", mistake.field)[0] in known:
                yield FieldError(f"spec.{mistake.field}", mistake.code, mistake.detail)
