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
# Of "watch" are the changes that the platform told by itself: a row for the watch of up to an hour.
RUN_TRIGGERS: Final = ("schedule", "manual", "follow_up", "activate", "watch")

DEVICE_HEALTHS: Final = ("ok", "faulty", "unknown")
CAPACITY_KINDS: Final = ("cards", "counter", "host")
GRAINS: Final = ("device", "node", "pool")
CHECK_STATES: Final = ("idle", "queued", "running", "done")
CREDENTIAL_STATES: Final = ("active", "pending", "refused", "replaced")
# Suspended: nothing new is given to it or below. Archived: gone but for its history, its name free again.
PROJECT_STATES: Final = ("active", "suspended", "archived")

ALLOCATION_MODES: Final = ("claim", "hold")
ALLOCATION_FINAL: Final = ("released", "refused", "expired")
# From each state to those that may follow. A trigger refuses all others (sql/0005_allocation.sql).
ALLOCATION_MOVES: Final = {
    "pending_approval": {"scheduled", "queued", "held", "claimed", "refused", "releasing"},
    "scheduled": {"queued", "claimed", "refused", "expired", "releasing"},
    "queued": {"held", "claimed", "refused", "expired", "releasing"},
    "held": {"claimed", "expired", "releasing"},
    "claimed": {"binding", "releasing"},
    "binding": {"active", "claimed", "needs_attention", "releasing"},
    "active": {"needs_attention", "releasing"},
    "needs_attention": {"binding", "active", "releasing"},
    "releasing": {"released", "needs_attention"},
    "released": frozenset[str](),
    "refused": frozenset[str](),
    "expired": frozenset[str](),
}
ALLOCATION_STATES: Final = tuple(ALLOCATION_MOVES)
# Why one that is active is not well, the gravest first: what a sync saw of its hardware.
ALLOCATION_FAULTS: Final = ("node_missing", "device_missing", "device_faulty", "node_unavailable")
# Those in which it takes capacity and counts in quotas.
ALLOCATION_HOLDING: Final = ("held", "claimed", "binding", "active", "needs_attention", "releasing")
# Why one is over for its tenant, though its platform may not have confirmed yet that nothing of it is left.
ALLOCATION_GIVEN_BACK: Final = ("user", "lease_end", "preempted", "lost")
# Those in which a tenant may use what it has.
ALLOCATION_USABLE: Final = ("active", "needs_attention")

# How the time to save before the end stands: "" where nobody asked for one.
BEFORE_END_STATES: Final = ("", "pending", "running", "done", "failed", "timed_out", "skipped")

OPERATION_ACTIONS: Final = ("apply", "release")
OPERATION_STATES: Final = ("planned", "sent", "confirmed", "failed", "unknown")
OPERATION_OPEN: Final = ("planned", "sent", "unknown")

# How an order stands with its target: it shall be carried, is, shall be taken off, is gone.
ORDER_STATES: Final = ("wanted", "carried", "leaving", "gone")
ORDER_CARRIED: Final = ("wanted", "carried")
# Those of which something may be on the platform.
ORDER_PRESENT: Final = ("wanted", "carried", "leaving")

LEDGER_KINDS: Final = ("shadow", "faulty", "hold", "reserve", "use")
