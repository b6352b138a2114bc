"""Tables, constraints and querysets. No behaviour: reads live in selectors, writes in services."""

from pools.models.audit import AuditEvent
from pools.models.capacity import Capacity, CapacityRollup, LedgerEvent
from pools.models.device import Device, DeviceTwin
from pools.models.model import ChipModel, Profile
from pools.models.node import Node
from pools.models.pool import Credential, Pool, PoolSync
from pools.models.sync_run import InventoryChange, SyncRun
from pools.models.token import ApiToken

# Partitioned by month; the application role may only INSERT and SELECT. Partitions are named <table>_yYYYYmMM.
APPEND_ONLY_TABLES = ("audit_event", "inventory_change", "ledger_event")

__all__ = [
    "APPEND_ONLY_TABLES",
    "ApiToken",
    "AuditEvent",
    "Capacity",
    "CapacityRollup",
    "ChipModel",
    "Credential",
    "Device",
    "DeviceTwin",
    "InventoryChange",
    "LedgerEvent",
    "Node",
    "Pool",
    "PoolSync",
    "Profile",
    "SyncRun",
]
