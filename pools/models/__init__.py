"""Tables, constraints and querysets. No behaviour: reads live in selectors, writes in services."""

from pools.models.allocation import Allocation, Booking, Claim, Member, Operation
from pools.models.audit import AuditEvent
from pools.models.capacity import Capacity, CapacityRollup, LedgerEvent
from pools.models.device import Device, DeviceTwin
from pools.models.drift import Drift
from pools.models.fragmentation import FragmentationDay
from pools.models.model import ChipModel, Profile
from pools.models.node import Node
from pools.models.orphan import Orphan
from pools.models.pool import Credential, Pool, PoolSync
from pools.models.price import Flavor, PackingPrices, Price, RequestKind
from pools.models.project import Invitation, PoolGrant, Project, RoleBinding
from pools.models.quota import Quota
from pools.models.sync_run import InventoryChange, SyncRun
from pools.models.target import Delivery, Target
from pools.models.telemetry import DeviceUsageHour
from pools.models.token import ApiToken, IdempotencyKey
from pools.models.user import SsoGroup, User

# They have a partition a month, <table>_yYYYYmMM.
PARTITIONED_TABLES = ("audit_event", "inventory_change", "ledger_event")
# The application role may only INSERT and SELECT.
APPEND_ONLY_TABLES = (*PARTITIONED_TABLES, "seal")

__all__ = [
    "APPEND_ONLY_TABLES",
    "PARTITIONED_TABLES",
    "Allocation",
    "ApiToken",
    "AuditEvent",
    "Booking",
    "Capacity",
    "CapacityRollup",
    "ChipModel",
    "Claim",
    "Credential",
    "Delivery",
    "Device",
    "DeviceTwin",
    "DeviceUsageHour",
    "Drift",
    "Flavor",
    "FragmentationDay",
    "IdempotencyKey",
    "InventoryChange",
    "Invitation",
    "LedgerEvent",
    "Member",
    "Node",
    "Operation",
    "Orphan",
    "PackingPrices",
    "Pool",
    "PoolGrant",
    "PoolSync",
    "Price",
    "Profile",
    "Project",
    "Quota",
    "RequestKind",
    "RoleBinding",
    "SsoGroup",
    "SyncRun",
    "Target",
    "User",
]
