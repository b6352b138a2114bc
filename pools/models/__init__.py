"""Tables, constraints and querysets. No behaviour: reads live in selectors, writes in services."""

from pools.models.audit import AuditEvent
from pools.models.capacity import Capacity, CapacityRollup, LedgerEvent
from pools.models.device import Device, DeviceTwin
from pools.models.model import ChipModel, Profile
from pools.models.node import Node
from pools.models.pool import Credential, Pool, PoolSync
from pools.models.project import Invitation, PoolGrant, Project, RoleBinding
from pools.models.sync_run import InventoryChange, SyncRun
from pools.models.token import ApiToken, IdempotencyKey
from pools.models.user import SsoGroup, User

# They have a partition a month, <table>_yYYYYmMM.
PARTITIONED_TABLES = ("audit_event", "inventory_change", "ledger_event")
# The application role may only INSERT and SELECT.
APPEND_ONLY_TABLES = (*PARTITIONED_TABLES, "seal")

__all__ = [
    "APPEND_ONLY_TABLES",
    "PARTITIONED_TABLES",
    "ApiToken",
    "AuditEvent",
    "Capacity",
    "CapacityRollup",
    "ChipModel",
    "Credential",
    "Device",
    "DeviceTwin",
    "IdempotencyKey",
    "InventoryChange",
    "Invitation",
    "LedgerEvent",
    "Node",
    "Pool",
    "PoolGrant",
    "PoolSync",
    "Profile",
    "Project",
    "RoleBinding",
    "SsoGroup",
    "SyncRun",
    "User",
]
