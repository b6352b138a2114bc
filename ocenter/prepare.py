"""Bring database and static files to the state this version of ocenter needs; nothing to do costs next to nothing.

Runs in one process that connects as the owner of the tables, at every start and once a day.
"""

import hashlib
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from ocenter.env import CHECKOUT
from ocenter.errors import Trouble
from ocenter.home import write_private
from ocenter.terminal import say
from pools.services import bootstrap, partitions, retention, sessions

OLDEST_POSTGRESQL = 15
_MIGRATION_LOCK = 0x6F63656E  # "ocen"; two that start at once migrate one after the other


def prepare(*, has_demo: bool) -> None:
    """Raises: Trouble when the database cannot be used."""
    connection.settings_dict.update(settings.DATABASE_OWNER)
    _check_server()
    _migrate()
    partitions.ensure(now=timezone.now())
    retention.clean(keep_days=settings.KEEP_DAYS, now=timezone.now())
    sessions.forget_expired(timezone.now())
    collect_static()
    if (password := bootstrap.first_admin()) is not None:
        say(f"The first admin is `admin` with the password {password} (shown once).")
    if has_demo:
        from pools.reconcile import demo  # only here: nothing else that forks from this needs the connectors

        if names := demo.ensure(home=settings.OCENTER_HOME, clock=timezone.now):
            say(f"The demo fleet is there: {', '.join(names)} (simulated; `make clean-demo` removes it).")
    connection.close()


def _check_server() -> None:
    try:
        version = connection.cursor().connection.info.server_version // 10000
    except OperationalError as error:
        first_line = str(error).strip().splitlines()[0]
        raise Trouble(f"The database cannot be used ({first_line}); check OCENTER_DATABASE_URL.") from None
    if version < OLDEST_POSTGRESQL:
        raise Trouble(
            f"The database is PostgreSQL {version} and ocenter needs {OLDEST_POSTGRESQL} or newer; "
            "upgrade it or unset OCENTER_DATABASE_URL to use the embedded one."
        )


def _migrate() -> None:
    """Migrate, set rights and load the catalogue unless this very version did it; the database remembers."""
    done = _digest(
        *(CHECKOUT / "pools").glob("migrations/*.py"),
        *(CHECKOUT / "pools").glob("sql/*"),
        *(CHECKOUT / "pools").glob("catalogue/*"),
        CHECKOUT / "ocenter" / "roles.py",
        CHECKOUT / "requirements.txt",
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            cursor.execute("SELECT obj_description(to_regclass('django_migrations'), 'pg_class')")
            if cursor.fetchone() == (done,):
                return
            call_command("migrate", interactive=False, verbosity=0)
            bootstrap.load_catalogue()
            cursor.execute(f"COMMENT ON TABLE django_migrations IS '{done}'")
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])


def collect_static() -> None:
    """Gather and hash static files unless these very ones were."""
    own = [file for file in (CHECKOUT / "static").rglob("*") if file.is_file()]
    stamp = settings.STATIC_ROOT.with_name("static.stamp")
    done = _digest(*own, CHECKOUT / "requirements.txt")
    if stamp.exists() and stamp.read_text(encoding="ascii") == done:
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    write_private(stamp, done)


def _digest(*files: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        digest.update(str(file).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
