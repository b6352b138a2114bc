"""The states that things go through, and what follows from them. Plain text values: they are stored and shown."""

from typing import Final

POOL_STATES: Final = ("registering", "active", "paused", "draining", "maintenance", "removed")
POOL_HEALTHS: Final = ("online", "degraded", "unknown")
# A pool in one of these is observed on schedule; in the others only on demand or not at all.
POOL_STATES_SYNCED: Final = ("active", "draining", "maintenance")

POOL_MOVES: Final = {
    "registering": {"active", "removed"},
    "active": {"paused", "draining", "maintenance", "removed"},
    "paused": {"active", "removed"},
    "draining": {"active", "paused", "maintenance", "removed"},
    "maintenance": {"active", "paused", "removed"},
    "removed": frozenset[str](),
}

RUN_STATES: Final = ("queued", "running", "succeeded", "failed", "held", "rejected")
RUN_KINDS: Final = ("full", "incremental")
RUN_TRIGGERS: Final = ("schedule", "manual", "follow_up", "activate")

DEVICE_HEALTHS: Final = ("ok", "faulty", "unknown")
CAPACITY_KINDS: Final = ("cards", "counter", "host")
GRAINS: Final = ("device", "node", "pool")
CHECK_STATES: Final = ("idle", "queued", "running", "done")
CREDENTIAL_STATES: Final = ("active", "pending", "refused", "replaced")
# Suspended: nothing new is given to it or below. Archived: gone but for its history, its name free again.
PROJECT_STATES: Final = ("active", "suspended", "archived")
