"""Makes the secrets that docker-compose.yml reads: `python3 -m ocenter.compose` (needs nothing installed)."""

import base64
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "secrets"


def contents() -> dict[str, str]:
    """Return a fresh secret for each file. A password and the URL that holds it are two files that agree."""
    owner, app, broker = (secrets.token_hex(24) for _ in range(3))
    return {
        "owner_password": owner,
        "broker_password": broker,
        "owner_database_url": f"postgresql://ocenter_owner:{owner}@postgres:5432/ocenter",
        "database_url": f"postgresql://ocenter_app:{app}@postgres:5432/ocenter",
        "broker_url": f"redis://:{broker}@redis:6379/0",
        "secret_key": secrets.token_urlsafe(50),
        "credential_keys": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "seal_keys": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def main(folder: Path) -> str | None:
    """Write the files, or say why not."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return f"{folder} is there already; a new database password would lock ocenter out, so nothing was changed."
    for name, text in contents().items():
        # The folder keeps others out. Containers see the files alone and run as a user that does not own them.
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o644)
    return None


if __name__ == "__main__":
    sys.exit(main(FOLDER))
