"""The environment, parsed once into one frozen object. Nothing else in ocenter reads `os.environ`.

Every mistake is reported at once, each with the variable, what is wrong with it and the way out.
A secret may come from a file instead: `OCENTER_X_FILE` names it (container secrets).
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from connectors import addresses
from ocenter.errors import Trouble
from pools.domain.queues import QUEUES

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "OCENTER_"


def _parts(raw: object) -> object:
    return tuple(part.strip() for part in raw.split(",") if part.strip()) if isinstance(raw, str) else raw


def _postgresql(url: SecretStr) -> SecretStr:
    """psycopg's own parser decides, so what passes here also connects. Its message quotes the URL and is dropped."""
    raw = url.get_secret_value()
    if not raw.startswith(("postgresql://", "postgres://")):
        raise ValueError("is not a PostgreSQL URL; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    try:
        parts = conninfo_to_dict(raw)
    except ProgrammingError:
        raise ValueError("cannot be parsed; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")):
        raise ValueError("has a port that is no number; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    if not parts.get("dbname") or not parts.get("user"):
        raise ValueError("lacks a user or a database; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def _redis(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if (parts.scheme in ("redis", "rediss") and parts.hostname) or (parts.scheme == "redis+socket" and parts.path):
        return url
    raise ValueError(
        "is not a Redis or Valkey URL; write redis://:PASSWORD@HOST:PORT/0, rediss://... or redis+socket:///PATH"
    )


def _fernet_key(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", key.get_secret_value()):
        raise ValueError("must be Fernet keys of 44 characters joined by commas, of which the first one encrypts")
    return key


def _seal_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for number, key in enumerate(keys):
        public = "(?:public:)?" if number else ""
        if not re.fullmatch(f"{public}[A-Za-z0-9_-]{{43}}=", key.get_secret_value()):
            raise ValueError(
                "must be Ed25519 keys of 44 characters joined by commas, of which the first one signs; behind it may "
                "stand public:KEY"
            )
    return keys


def _long(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < 32:
        raise ValueError("is too short to be safe; give at least 32 random characters")
    return key


def _queues(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in names if name not in QUEUES]:
        raise ValueError(f"names no queue by {', '.join(unknown)}; known are {', '.join(QUEUES)}")
    return tuple(dict.fromkeys(names))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError("must be the address people type, without a path, such as https://ocenter.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _places(texts: tuple[str, ...]) -> tuple[str, ...]:
    addresses.places(texts)
    return texts


def _issuer(url: str) -> str:
    """Over plain HTTP anybody on the way could say who somebody is."""
    parts = urlsplit(url)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.query or (parts.scheme != "https" and not (parts.scheme == "http" and is_here)):
        raise ValueError("must be the provider's https address that its tokens name as issuer")
    return url.rstrip("/")


def _smtp(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    try:
        is_whole = parts.scheme in ("smtp", "smtps", "smtp+tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        is_whole = False
    if not is_whole:
        raise ValueError(
            "is not a mail server; write smtp+tls://USER:PASSWORD@HOST:587 (STARTTLS), smtps://... or smtp://HOST:25"
        )
    return url


Places = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts), AfterValidator(_places)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgresql)]


class Env(BaseSettings):
    """Every setting an operator can make. Field `x` is the variable `OCENTER_X`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = CHECKOUT / "var"
    """State of the embedded mode: database, keys, logs, static files."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    url: Annotated[str, AfterValidator(_origin)] | None = None
    """The address people type. https here turns on secure cookies and HSTS."""
    behind_proxy: bool = False
    """A proxy in front sets X-Forwarded-Proto and nobody can reach this process around it."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)] = ()
    """Further host names to answer to, beside localhost and the one in `url`."""
    web_threads: Annotated[int, Field(ge=1, le=256)] = 32
    """Requests that wait for each other's commit are committed together, so threads that wait save work."""
    worker_processes: Annotated[int, Field(ge=1, le=256)] = 5
    """From three on, one is always free for pools that answer soon (pools/reconcile/lanes.py)."""
    worker_queues: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts), AfterValidator(_queues)] = ()
    """The queues that a worker serves, comma-separated; none: all. Some worker has to serve each, `default` too."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    token_days_most: Annotated[int, Field(ge=0, le=36500)] = 365
    """How long a token may last that somebody makes in the console or over REST; 0 sets no end."""
    api_requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 1200
    """Of each token, log-in or, without one, address; 0 sets no limit."""

    database_url: DatabaseUrl | None = None
    """The application's role; absent: the embedded PostgreSQL."""
    owner_database_url: DatabaseUrl | None = None
    """The role that owns the tables and migrates; absent: the application's."""
    database_role: Literal["app", "owner"] = "app"
    """Which of the two this process connects as; `manage.py` picks it by command."""
    broker_url: Annotated[SecretStr, AfterValidator(_redis)] | None = None
    """Redis or Valkey; absent: the embedded Valkey."""

    keep_audit_days: Annotated[int, Field(ge=0, le=36500)] = 1095
    """Audit events older than this are dropped month by month; 0 keeps them for ever. So do the other four."""
    keep_ledger_days: Annotated[int, Field(ge=0, le=36500)] = 1095
    keep_changes_days: Annotated[int, Field(ge=0, le=36500)] = 180
    """What sync runs changed in the inventory, with before and after."""
    keep_runs_days: Annotated[int, Field(ge=0, le=36500)] = 90
    """Sync runs that have ended; the last one of each pool always stays."""
    keep_usage_days: Annotated[int, Field(ge=0, le=36500)] = 90
    """How busy devices were, hour by hour."""

    watch: bool = False
    """`manage.py up` starts one `manage.py watch` too: a process of its own that hears of changes as they come."""
    telemetry_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """How often devices are asked how busy they are; 0 never asks."""

    outgoing_allow: Places = ()
    """Addresses, networks and host names that pools may have although connectors/addresses.py refuses them."""
    outgoing_deny: Places = ()
    """Those that they may not have, whatever else is said."""

    oidc_issuer: Annotated[str, AfterValidator(_issuer)] | None = None
    """The OpenID Connect provider for single sign-on; absent: local users only."""
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name: str = "single sign-on"
    """What the log-in page calls the provider."""
    oidc_scopes: str = "openid profile email"
    oidc_groups_claim: str = "groups"
    """Where the provider tells somebody's groups, in the ID token or userinfo."""
    email_url: Annotated[SecretStr, AfterValidator(_smtp)] | None = None
    """The mail server for links to reset a password; absent: an administrator makes the link."""
    email_from: str = "ocenter@localhost"

    secret_key: Annotated[SecretStr, AfterValidator(_long)] | None = None
    """Signs sessions; absent: the one kept in `home`."""
    credential_keys: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_fernet_key)], ...], NoDecode, BeforeValidator(_parts)
    ] = ()
    """Encrypt the pools' credentials, comma-separated, the first encrypts; absent: those kept in `home`."""
    seal_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_parts), AfterValidator(_seal_keys)] = ()
    """Sign the audit's and the ledger's seals, comma-separated, the first signs; absent: those kept in `home`."""


_FROM_FILE = (
    "database_url",
    "owner_database_url",
    "broker_url",
    "secret_key",
    "credential_keys",
    "seal_keys",
    "oidc_client_secret",
    "email_url",
)


class EnvMistakes(Trouble):
    """The environment is wrong; the text lists every mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("The environment is wrong:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))


@cache
def load() -> Env:
    """Parse the environment of this process once.

    Raises: EnvMistakes with every mistake; no value of a secret is in its text.
    """
    mistakes: list[str] = []
    secrets: dict[str, Any] = dict(_read_secret_files(mistakes))
    try:
        env = Env(**secrets)
        mistakes += _halves(env)
    except ValidationError as error:
        mistakes += [_sentence(detail, secrets) for detail in error.errors(include_input=False, include_url=False)]
        mistakes = list(dict.fromkeys(mistakes))
    if mistakes:
        raise EnvMistakes(mistakes)
    return env


def _halves(env: Env) -> Iterator[str]:
    """What means nothing without its other half."""
    if env.oidc_issuer and not env.oidc_client_id:
        yield f"{PREFIX}OIDC_CLIENT_ID: is needed with {PREFIX}OIDC_ISSUER; the provider gives it"
    if env.oidc_client_id and not env.oidc_issuer:
        yield f"{PREFIX}OIDC_ISSUER: is needed with {PREFIX}OIDC_CLIENT_ID; give the provider's address"


def _read_secret_files(mistakes: list[str]) -> Iterator[tuple[str, str]]:
    for field in _FROM_FILE:
        variable = PREFIX + field.upper()
        name = os.environ.get(f"{variable}_FILE")
        if not name:
            continue
        if os.environ.get(variable):
            mistakes.append(f"{variable}_FILE: {variable} is set as well; unset one of the two")
            continue
        try:
            yield field, Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            mistakes.append(f"{variable}_FILE: cannot read {name}: {reason}; give a readable file or unset it")


_WAY_OUT = {
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
}


def _sentence(detail: ErrorDetails, secrets: dict[str, Any]) -> str:
    field = str(detail["loc"][0]) if detail["loc"] else ""
    variable = PREFIX + field.upper() + ("_FILE" if field in secrets else "")
    words = _WAY_OUT.get(detail["type"], detail["msg"]).format(**detail.get("ctx", {}))
    # pydantic puts "Value error, " before the words of our own validators.
    return f"{variable}: {words.removeprefix('Value error, ')}"
