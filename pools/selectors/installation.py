"""Who this installation is."""

from functools import cache

from django.db import connection


@cache
def installation_id() -> str:
    """Return the id that stands in every marker on a platform. Made once by a migration; it never changes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM installation")
        return str(cursor.fetchone()[0])
