"""From a pool's settings and credential to a way to log in to Keystone."""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from keystoneauth1.identity import v3
from msgspec import Struct

from connectors.contract import Permanent
from connectors.tls import Tls

_ID = re.compile(r"default|[0-9a-f]{32}")
_AUTH_TYPES = {
    "password": "password",
    "v3password": "password",
    "v3applicationcredential": "application_credential",
}


class Login(Struct, frozen=True, kw_only=True):
    """How to reach one cloud: ``plugin`` logs in, ``secrets`` must never be shown."""

    auth_url: str
    plugin: v3.Auth
    tls: Tls
    region: str | None
    interface: str
    seconds: float
    secrets: tuple[str, ...]


def read(settings: Mapping[str, Any], credential: Mapping[str, Any]) -> Login:
    """Return the login that settings and credential of the manifest describe.

    A field of the settings wins over the same value of clouds.yaml.
    Raises Permanent ``invalid_settings`` when something needed is missing or clouds.yaml cannot be used.
    """
    values = {name: value for name, value in {**settings, **credential}.items() if value not in (None, "")}
    auth_type = values.get("auth_type", "password")
    if auth_type == "clouds_yaml":
        from_file = _from_clouds_yaml(_needed(values, "clouds_yaml"), values.get("cloud"))
        values = {**from_file, **values, "auth_type": from_file["auth_type"]}
        # The manifest fills these in; beside a file they would hide what the file says.
        values |= {name: from_file[name] for name in ("user_domain", "project_domain") if name in from_file}
        auth_type = values["auth_type"]
    auth_url = _needed(values, "auth_url")
    plugin = _by_password(auth_url, values) if auth_type == "password" else _by_application(auth_url, values)
    return Login(
        auth_url=auth_url,
        plugin=plugin,
        tls=Tls(
            ca_pem=values.get("ca_pem", ""),
            fingerprint=values.get("tls_fingerprint", ""),
            is_off=values.get("tls_verify") == "insecure",
        ),
        region=values.get("region"),
        interface=values.get("interface", "public"),
        seconds=float(values.get("request_timeout_seconds", 90)),
        secrets=tuple(str(values[name]) for name in ("password", "application_credential_secret") if values.get(name)),
    )


def _by_password(auth_url: str, values: Mapping[str, Any]) -> v3.Auth:
    user_domain_id, user_domain_name = _domain(values.get("user_domain", "Default"))
    domain_id, domain_name = _domain(values.get("project_domain", "Default"))
    project_id = values.get("project_id")  # only clouds.yaml has it
    return v3.Password(
        auth_url,
        username=_needed(values, "username"),
        password=_needed(values, "password"),
        user_domain_id=user_domain_id,
        user_domain_name=user_domain_name,
        project_id=project_id,
        project_name=None if project_id else _needed(values, "project_name"),
        project_domain_id=None if project_id else domain_id,
        project_domain_name=None if project_id else domain_name,
    )


def _by_application(auth_url: str, values: Mapping[str, Any]) -> v3.Auth:
    return v3.ApplicationCredential(
        auth_url,
        application_credential_id=_needed(values, "application_credential_id"),
        application_credential_secret=_needed(values, "application_credential_secret"),
    )


def _domain(name_or_id: str) -> tuple[str | None, str | None]:
    """Return (id, None) or (None, name)."""
    return (name_or_id, None) if _ID.fullmatch(name_or_id) else (None, name_or_id)


def _needed(values: Mapping[str, Any], name: str) -> str:
    if not values.get(name):
        raise _invalid(f"{name} is not given, and without it nobody can log in.")
    return str(values[name])


def _from_clouds_yaml(text: str, cloud: str | None) -> dict[str, Any]:
    """Return the values of one cloud under the names of our settings. Never quotes the file: it holds passwords."""
    try:
        clouds = yaml.safe_load(text)["clouds"]
        names = list(clouds)
    except (yaml.YAMLError, KeyError, TypeError):
        raise _invalid("clouds.yaml is no YAML text with a 'clouds' entry; paste the whole file.") from None
    if cloud is None and len(names) != 1:
        raise _invalid(f"clouds.yaml has {len(names)} clouds; say which one in the field 'cloud'.")
    entry = clouds.get(cloud or names[0])
    if not isinstance(entry, dict) or not isinstance(entry.get("auth"), dict):
        raise _invalid("clouds.yaml has no such cloud, or the cloud has no 'auth' entry.")
    auth_type = _AUTH_TYPES.get(entry.get("auth_type", "password"))
    if auth_type is None:
        raise _invalid("The auth_type in clouds.yaml is not supported: use password or v3applicationcredential.")
    if entry.get("cacert"):
        raise _invalid("clouds.yaml names a file of CA certificates; paste its text into 'ca_pem' and remove the line.")
    auth = entry["auth"]
    found = {
        **auth,
        "auth_type": auth_type,
        "user_domain": auth.get("user_domain_id") or auth.get("user_domain_name"),
        "project_domain": auth.get("project_domain_id") or auth.get("project_domain_name"),
        "region": entry.get("region_name"),
        "interface": entry.get("interface"),
    }
    return {name: value for name, value in found.items() if value}


def _invalid(message: str) -> Permanent:
    return Permanent(message, code="invalid_settings")
