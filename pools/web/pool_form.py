"""The form of a pool, made from the manifest of its kind. Secrets go in and never come back out."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.http import QueryDict
from django.utils.translation import gettext as _

from connectors.contract import Manifest, Setting
from pools.domain import drift
from pools.domain.errors import FieldError
from pools.services import pool_fields
from pools.web import words

_LONG_TYPES: Final = ("multiline",)


def empty(manifest: Manifest) -> dict[str, Any]:
    """Return the values of a new pool of the kind: the manifest's defaults."""
    values: dict[str, Any] = {
        "name": "",
        "region": "",
        "labels": "",
        "mode": manifest.modes[0].name,
        "sync_interval_seconds": str(manifest.default_sync_interval_seconds),
        "drift_policy": "report",
        "changes_per_minute": "",
    }
    return values | {f"settings.{each.name}": _text(each.default) for each in manifest.settings if not each.is_secret}


def of_pool(manifest: Manifest, pool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a pool that is there. No secret is among them."""
    values = empty(manifest) | {
        "name": pool["name"],
        "region": pool["region"],
        "labels": ", ".join(f"{key}={value}" for key, value in pool["labels"].items()),
        "mode": pool["mode"],
        "sync_interval_seconds": str(pool["sync_interval_seconds"]),
        "drift_policy": pool["drift_policy"],
        "changes_per_minute": _text(pool["changes_per_minute"]),
    }
    return values | {f"settings.{name}": _text(value) for name, value in pool["settings"].items()}


def of_post(manifest: Manifest, post: QueryDict) -> dict[str, Any]:
    """Return the values that were sent, without the secrets, to show them again beside what is wrong."""
    values = {name: post.get(name, "") for name in ("name", "region", "labels", "mode", "sync_interval_seconds")}
    values["drift_policy"] = post.get("drift_policy", "report")
    values["changes_per_minute"] = post.get("changes_per_minute", "")
    for each in manifest.settings:
        if not each.is_secret:
            key = f"settings.{each.name}"
            values[key] = _text(key in post) if each.type == "boolean" else post.get(key, "")
    return values


def wanted(manifest: Manifest, post: QueryDict) -> dict[str, Any]:
    """Return what was sent as the services take it. What is no number or no label becomes one that they refuse."""
    values = of_post(manifest, post)
    interval, changes = values["sync_interval_seconds"].strip(), values["changes_per_minute"].strip()
    labels: dict[str, str] = {}
    for term in filter(None, (term.strip() for term in values["labels"].split(","))):
        name, equals, value = term.partition("=")
        labels[name.strip() if equals else f"={term}"] = value.strip()
    return {
        "name": values["name"].strip(),
        "region": values["region"].strip(),
        "labels": labels,
        "mode": values["mode"],
        "sync_interval_seconds": _number(interval),
        "drift_policy": values["drift_policy"],
        "changes_per_minute": _number(changes) if changes else None,
        "settings": {name.removeprefix("settings."): value for name, value in values.items() if "." in name},
    }


def secrets(manifest: Manifest, post: QueryDict) -> dict[str, str]:
    """Return the secrets that were sent."""
    return {each.name: post.get(f"credential.{each.name}", "") for each in manifest.settings if each.is_secret}


def fields(
    manifest: Manifest,
    values: Mapping[str, Any],
    errors: Iterable[FieldError] = (),
    *,
    with_secrets: bool = True,
    with_mode: bool = True,
) -> list[dict[str, Any]]:
    """Return [{legend, fields}] for a template, with what is wrong beside each field."""
    wrong = mistakes(manifest, errors)
    pool = [
        _common("name", _("Name"), _("Lower-case letters, digits and hyphens."), values, is_required=True, longest=63),
        _common("region", _("Region"), _("Where it stands, for filters and placement."), values, longest=63),
        _common("labels", _("Labels"), _("name=value with commas between."), values, example="tier=prod, team=vision"),
        _common(
            "sync_interval_seconds",
            _("Seconds between observations"),
            _("Between 5 and 86,400 seconds."),
            values,
            type_="integer",
            is_required=True,
        ),
    ]
    pool += [_drift_policy(values), _changes_per_minute(values)]
    if with_mode and len(manifest.modes) > 1:
        pool.append(_mode(manifest, values))
    groups = [
        (_("Pool"), pool),
        (_("Access to the platform"), [_of_setting(each, values) for each in manifest.settings if not each.is_secret]),
    ]
    if with_secrets:
        groups.append((_("Secrets"), [_of_setting(each, {}) for each in manifest.settings if each.is_secret]))
    return [
        {"legend": legend, "fields": [{**each, "error": wrong.get(each["name"], "")} for each in group]}
        for legend, group in groups
        if group
    ]


def secret_fields(manifest: Manifest, errors: Iterable[FieldError] = ()) -> list[dict[str, Any]]:
    """Return [{legend, fields}] with the secrets alone."""
    wrong = mistakes(manifest, errors)
    found = [_of_setting(each, {}) for each in manifest.settings if each.is_secret]
    return [{"legend": _("Secrets"), "fields": [{**each, "error": wrong.get(each["name"], "")} for each in found]}]


def summary(groups: Iterable[Mapping[str, Any]], errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """Return [{name, label, error}] of all mistakes for the top of the form, also of those that have no field."""
    shown = [each for group in groups for each in group["fields"] if each["error"]]
    names = {each["name"] for each in shown}
    others = [
        {"name": "", "label": wrong.field, "error": wrong.detail}
        for wrong in errors
        if _field_of(wrong.field) not in names
    ]
    return [{"name": each["name"], "label": each["label"], "error": each["error"]} for each in shown] + others


def mistakes(manifest: Manifest, errors: Iterable[FieldError]) -> dict[str, str]:
    """Return what is wrong by the name of the field, translated."""
    settings = {each.name: each for each in manifest.settings}
    found: dict[str, str] = {}
    for wrong in errors:
        name = _field_of(wrong.field)
        code = "bad_label" if name == "labels" else wrong.code
        setting = settings.get(name.partition(".")[2])
        limits = {
            "longest": f"{setting.max_length:,}" if setting else "63",
            "minimum": setting.minimum if setting else "",
            "maximum": setting.maximum if setting and setting.maximum is not None else 2**63 - 1,
        }
        found[name] = str(words.MISTAKES.get(code, wrong.detail)) % limits
    return found


def _field_of(path: str) -> str:
    return "labels" if path.startswith("labels.") else path


def _of_setting(setting: Setting, values: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{'credential' if setting.is_secret else 'settings'}.{setting.name}"
    return {
        "name": name,
        "label": _(setting.label),
        "help": _(setting.help) if setting.help else "",
        "type": setting.type,
        "value": values.get(name, ""),
        "choices": [(choice, choice) for choice in setting.choices],
        "is_required": setting.is_required,
        "is_secret": setting.is_secret,
        "is_wide": setting.type in _LONG_TYPES,
        "example": setting.example,
        "minimum": setting.minimum,
        "maximum": setting.maximum,
        "longest": setting.max_length,
    }


def _common(
    name: str,
    label: str,
    help_: str,
    values: Mapping[str, Any],
    *,
    type_: str = "text",
    is_required: bool = False,
    longest: int = 1000,
    example: str = "",
) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "help": help_,
        "type": type_,
        "value": values.get(name, ""),
        "choices": [],
        "is_required": is_required,
        "is_secret": False,
        "is_wide": False,
        "example": example,
        "minimum": 5 if type_ == "integer" else None,
        "maximum": 86_400 if type_ == "integer" else None,
        "longest": longest,
    }


def _mode(manifest: Manifest, values: Mapping[str, Any]) -> dict[str, Any]:
    promises = {mode.name: words.label("grain", mode.grain) for mode in manifest.modes}
    choices = [
        (mode.name, f"{_(mode.label) if mode.label else mode.name} – {promises[mode.name]}") for mode in manifest.modes
    ]
    help_ = _("How capacity will be given out, and what is promised. It is fixed once the pool is active.")
    return {**_common("mode", _("Mode"), help_, values), "type": "choice", "choices": choices, "is_wide": True}


def _drift_policy(values: Mapping[str, Any]) -> dict[str, Any]:
    choices = [(policy, words.label("drift_policy", policy)) for policy in drift.POLICIES]
    help_ = _("What ocenter does by itself when somebody changes on the platform what it made.")
    return {**_common("drift_policy", _("Drift"), help_, values), "type": "choice", "choices": choices}


def _changes_per_minute(values: Mapping[str, Any]) -> dict[str, Any]:
    help_ = _("Spares a platform that is easily overwhelmed. Empty: no limit.")
    field = _common("changes_per_minute", _("Changes a minute, at most"), help_, values, type_="integer")
    return {**field, "minimum": 1, "maximum": pool_fields.CHANGES_PER_MINUTE_MOST}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
