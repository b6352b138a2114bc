"""The home folder: where one installation keeps its state, and the secrets generated for it."""

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography.fernet import Fernet

from ocenter.errors import Trouble

SECRETS = "secrets.json"


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Generated once, kept in `secrets.json` (0600).

    `credential_keys`: Fernet, the first encrypts. `seal_keys`: Ed25519, the first signs.
    """

    secret_key: str
    credential_keys: tuple[str, ...]
    superuser_password: str
    owner_password: str
    app_password: str
    seal_keys: tuple[str, ...] = ()


def create(home: Path) -> Path:
    """Make the folder and everything in it private, and prove that it can be written.

    Raises: Trouble when it cannot.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.chmod(0o700)
        for folder in ("run", "logs"):
            (home / folder).mkdir(exist_ok=True, mode=0o700)
        write_private(home / "run" / "probe", "")
        (home / "run" / "probe").unlink()
    except OSError as error:
        raise Trouble(
            f"The home folder {home} cannot be written ({error.strerror}); "
            "give it to this user or set OCENTER_HOME to another folder."
        ) from error
    return home


def read_secrets(home: Path) -> Secrets | None:
    """Return the secrets of this home, or None when none were generated yet.

    Raises: Trouble when the file is there and cannot be used.
    """
    try:
        kept = json.loads((home / SECRETS).read_text(encoding="utf-8"))
        kept["credential_keys"] = tuple(kept["credential_keys"])
        return Secrets(**{**kept, "seal_keys": tuple(kept.get("seal_keys", ()))})
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise Trouble(f"{home / SECRETS} cannot be read by this user; run as the user who started ocenter.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Trouble(
            f"{home / SECRETS} is damaged; restore it from a backup: without it stored credentials cannot be read."
        ) from error


def ensure_secrets(home: Path) -> Secrets:
    """Return the secrets of this home, generating on a start those that are not there yet."""
    kept = read_secrets(home)
    if kept is not None and kept.seal_keys:
        return kept
    fresh = replace(kept or _generated(), seal_keys=(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),))
    write_private(home / SECRETS, json.dumps(asdict(fresh), indent=2))
    return fresh


def _generated() -> Secrets:
    return Secrets(
        secret_key=secrets.token_urlsafe(50),
        credential_keys=(Fernet.generate_key().decode(),),
        superuser_password=secrets.token_hex(24),
        owner_password=secrets.token_hex(24),
        app_password=secrets.token_hex(24),
    )


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only, so that a crash leaves the old or the new one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
