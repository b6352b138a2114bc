"""domain.freshness in SQL, for filters; a test compares the two."""

from datetime import datetime

from django.db.models import DurationField, F, Func, Q

from pools.domain.freshness import STALE_AFTER_AT_LEAST_SECONDS, STALE_AFTER_INTERVALS


def fresh(now: datetime) -> Q:
    """Return the condition that a pool was observed completely and lately."""
    patience = Func(
        F("sync_interval_seconds"),
        template=f"make_interval(secs => greatest({STALE_AFTER_INTERVALS} * %(expressions)s, "
        f"{STALE_AFTER_AT_LEAST_SECONDS}))",
        output_field=DurationField(),
    )
    return Q(sync__observed_at__gt=now - patience)
