"""Whether what people say about a pool is right, before it is stored."""

import re
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings as django_settings

from connectors import catalog
from connectors.contract import Manifest, Permanent
from pools.domain import drift
from pools.domain import labels as label_rules
from pools.domain.errors import FieldError, Invalid

SYNC_INTERVAL_SECONDS: Final = (5, 86400)
CHANGES_PER_MINUTE_MOST: Final = 10_000
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def manifest(kind: str) -> Manifest:
    """Return the manifest of a kind. Raises Invalid."""
    try:
        return catalog.manifest(kind)
    except Permanent:
        detail = f"There is no such kind. Known kinds: {', '.join(catalog.MANIFESTS)}."
        raise Invalid(fields=(FieldError("kind", "unknown_kind", detail),)) from None


def grain(manifest: Manifest, mode: str) -> str:
    """Return how finely the mode can promise: device, node or pool."""
    return next(known.grain for known in manifest.modes if known.name == mode)


def validated(
    kind: str, settings: Mapping[str, Any], credential: Mapping[str, Any] | None, wrong: list[FieldError]
) -> catalog.Valid:
    """Return checked settings and credential. A credential of None stands for the stored one.

    Raises Invalid with the mistakes found so far (``wrong``) and those in settings and credential.
    """
    problems: tuple[catalog.Problem, ...] = ()
    try:
        valid = catalog.validate(kind, settings, credential)
    except catalog.InvalidSettings as error:
        problems = error.problems
    else:
        problems = catalog.objections(kind, valid.settings, django_settings.OUTGOING)
    if wrong or problems:
        found = [FieldError(problem.field, problem.code, problem.message) for problem in problems]
        raise Invalid(fields=(*wrong, *found))
    return valid


def mistakes(manifest: Manifest, **given: Any) -> list[FieldError]:
    """Return what is wrong with the given ones of what is common to all kinds, from the name to the mode."""
    wrong = []
    if "name" in given and not _NAME.fullmatch(given["name"]):
        detail = (
            "A name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit."
        )
        wrong.append(FieldError("name", "bad_name", detail))
    if len(given.get("region", "")) > 63:
        wrong.append(FieldError("region", "too_long", "At most 63 characters are allowed."))
    wrong += label_rules.mistakes(given.get("labels", {}))
    least, most = SYNC_INTERVAL_SECONDS
    if not least <= given.get("sync_interval_seconds", least) <= most:
        detail = f"Between {least} and {most} seconds are allowed."
        wrong.append(FieldError("sync_interval_seconds", "out_of_range", detail))
    if given.get("drift_policy", "report") not in drift.POLICIES:
        wrong.append(FieldError("drift_policy", "not_a_choice", f"Allowed are {', '.join(drift.POLICIES)}."))
    changes = given.get("changes_per_minute")
    if changes is not None and not 1 <= changes <= CHANGES_PER_MINUTE_MOST:
        detail = f"Between 1 and {CHANGES_PER_MINUTE_MOST} are allowed; leave it out for no limit."
        wrong.append(FieldError("changes_per_minute", "out_of_range", detail))
    known = [mode.name for mode in manifest.modes]
    if given.get("mode", known[0]) not in known:
        wrong.append(FieldError("mode", "not_a_choice", f"Allowed are {', '.join(known)}."))
    return wrong
