"""Which kinds of pools exist, and whether settings fit one. Loads manifests only: no SDK, no network."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticCustomError

from connectors import addresses
from connectors.addresses import Outgoing
from connectors.baremetal.manifest import MANIFEST as BAREMETAL
from connectors.contract import Manifest, Permanent, Setting
from connectors.kubernetes.manifest import MANIFEST as KUBERNETES
from connectors.openstack.manifest import MANIFEST as OPENSTACK
from connectors.simulated.manifest import MANIFEST as SIMULATED
from connectors.vsphere.manifest import MANIFEST as VSPHERE

MANIFESTS: Mapping[str, Manifest] = {
    manifest.kind: manifest for manifest in (KUBERNETES, OPENSTACK, SIMULATED, BAREMETAL, VSPHERE)
}


class Problem(Struct, frozen=True):
    """One mistake. ``field`` is a path such as ``settings.api_url``; ``message`` never quotes the value."""

    field: str
    code: str
    message: str


class InvalidSettings(Permanent):
    """Settings or credential do not fit the kind. ``problems`` has all mistakes, in the order of the manifest."""

    code = "invalid_settings"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


class Valid(Struct, frozen=True):
    """Checked values of every declared name; None where an optional one is not given."""

    settings: Mapping[str, Any]
    credential: Mapping[str, Any]


def manifest(kind: str) -> Manifest:
    """Return the manifest of a kind. Raises Permanent ``unknown_kind``."""
    try:
        return MANIFESTS[kind]
    except KeyError:
        raise Permanent(
            f"There is no kind {kind[:64]!r}. Known kinds: {', '.join(MANIFESTS)}.", code="unknown_kind"
        ) from None


def validate(kind: str, settings: Mapping[str, Any], credential: Mapping[str, Any] | None) -> Valid:
    """Return checked settings and credential, defaults filled in. Empty texts count as not given.

    A credential of None stands for the one that is stored already: its fields are not asked for.
    Raises InvalidSettings with all mistakes at once.
    """
    checked: dict[str, dict[str, Any]] = {"settings": {}, "credential": {}}
    problems: list[Problem] = []
    for part, given in (("settings", settings), ("credential", credential)):
        if given is None:
            continue
        try:
            filled = {name: value for name, value in given.items() if value not in ("", None)}
            checked[part] = _models(kind)[part].model_validate(filled).model_dump()
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            problems += [_problem(kind, part, detail) for detail in details]
    if problems:
        raise InvalidSettings(tuple(problems))
    return Valid(**checked)


def objections(kind: str, settings: Mapping[str, Any], outgoing: Outgoing) -> tuple[Problem, ...]:
    """Return what can be said against the addresses in checked settings before anybody connects: an early hint.

    A name may still lead where nobody may connect; the door finds that out.
    """
    found = []
    for setting in manifest(kind).settings:
        host = urlsplit(settings.get(setting.name) or "").hostname if setting.type == "url" else None
        if host and (why := outgoing.objection_to_name(host)):
            message = str(addresses.refused(host, why, addresses.literal(host)))
            found.append(Problem(f"settings.{setting.name}", "address_denied", message))
    return tuple(found)


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of {"settings": ..., "credential": ...}; secrets are marked writeOnly."""
    parts = {part: model.model_json_schema() for part, model in _models(kind).items()}
    return {"type": "object", "title": manifest(kind).label, "properties": parts, "required": ["settings"]}


# --- from manifests to pydantic ---------------------------------------------------------------------------------------


@cache
def _models(kind: str) -> dict[str, type[BaseModel]]:
    label = manifest(kind).kind.capitalize()
    fields: dict[str, dict[str, Any]] = {"settings": {}, "credential": {}}
    for setting in manifest(kind).settings:
        fields["credential" if setting.is_secret else "settings"][setting.name] = _field(setting)
    closed = ConfigDict(extra="forbid", protected_namespaces=())
    return {part: create_model(f"{label}{part.capitalize()}", __config__=closed, **fields[part]) for part in fields}


def _field(setting: Setting) -> tuple[Any, Any]:
    about: dict[str, Any] = {"title": setting.label, "description": setting.help or None}
    if setting.example:
        about["examples"] = [setting.example]
    if setting.is_secret:
        about["json_schema_extra"] = {"writeOnly": True, "format": "password"}
    kind = _type(setting)
    if setting.is_required:
        return kind, Field(**about)
    return (kind if setting.default is not None else kind | None), Field(default=setting.default, **about)


def _type(setting: Setting) -> Any:
    if setting.type == "integer":
        return Annotated[int, Field(ge=setting.minimum, le=setting.maximum), BeforeValidator(_number)]
    if setting.type == "boolean":
        return bool
    if setting.type == "choice":
        return Literal[setting.choices]
    shape = Field(max_length=setting.max_length)
    if setting.type == "url":
        return Annotated[str, shape, BeforeValidator(_url)]
    return Annotated[str, shape, BeforeValidator(_secret if setting.is_secret else _text)]


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "A whole number is needed.")
    return value


def _secret(value: Any) -> Any:
    # Line ends come along when people paste; a blank may be part of a password.
    return _storable(value).strip("\r\n") if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return _storable(value).strip() if isinstance(value, str) else value


def _storable(value: str) -> str:
    if "\x00" in value:
        raise PydanticCustomError("bad_character", "The text contains a character with the code 0; remove it.")
    return value


def _url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = _text(value)
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in text):
        raise PydanticCustomError("not_a_url", "An address such as https://host:port is needed.")
    if parts.username or parts.password:
        raise PydanticCustomError("secret_in_url", "A user name or password does not belong into the address.")
    return text


# --- from pydantic's errors to ours -----------------------------------------------------------------------------------

_MESSAGES = {
    "missing": ("required", "This field is needed."),
    "string_too_long": ("too_long", "At most {max_length} characters are allowed."),
    "string_type": ("not_a_text", "A text is needed."),
    "greater_than_equal": ("too_small", "At least {ge} is needed."),
    "less_than_equal": ("too_large", "At most {le} is allowed."),
    "literal_error": ("not_a_choice", "Allowed are {expected}."),
    "int_parsing": ("not_a_number", "A whole number is needed."),
    "int_type": ("not_a_number", "A whole number is needed."),
    "int_from_float": ("not_a_number", "A whole number is needed."),
    "int_parsing_size": ("too_large", "The number is too large."),
    "bool_parsing": ("not_a_boolean", "Yes or no (true or false) is needed."),
    "bool_type": ("not_a_boolean", "Yes or no (true or false) is needed."),
}


def _problem(kind: str, part: str, detail: ErrorDetails) -> Problem:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        return Problem(f"{part}.{name[:64]}", *_unknown(kind, part, name))
    code, message = _MESSAGES.get(detail["type"], (detail["type"], detail["msg"]))
    return Problem(f"{part}.{name}", code, message.format(**detail.get("ctx", {})))


def _unknown(kind: str, part: str, name: str) -> tuple[str, str]:
    is_secret = {setting.name: setting.is_secret for setting in manifest(kind).settings}
    if name in is_secret:
        if is_secret[name]:
            return "secret_in_settings", f"{name} is a secret and belongs into the credential."
        return "setting_in_credential", f"{name} is no secret and belongs into the settings."
    known = [other for other, secret in is_secret.items() if secret == (part == "credential")]
    if nearest := get_close_matches(name[:64], known, n=1):
        return "unknown_field", f"There is no such field. Is {nearest[0]} meant?"
    return "unknown_field", f"There is no such field. Known fields: {', '.join(known) or 'none'}."
