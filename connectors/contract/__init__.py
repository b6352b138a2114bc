"""The vocabulary that ocenter and its connectors share, and the promises a connector makes.

A connector turns one remote pool into facts (``observe``) and makes targets carry orders (``apply``). It keeps no state
of its own: every call may be repeated after a crash at any line, and none waits for long work on the platform.
Quantities: ``*_milli`` counts thousandths of one device (or of one CPU), ``*_mib`` is 2**20 bytes, rounded down.
"""

from connectors.contract.calls import (
    CanGrantAccess,
    CanHold,
    CanPower,
    CanResize,
    CanTelemeter,
    CanWatch,
    Connector,
)
from connectors.contract.errors import ConnectorError, Denied, NoCapacity, Permanent, Transient
from connectors.contract.facts import (
    Check,
    CounterFact,
    Cursor,
    DeviceFact,
    Health,
    Identity,
    Last,
    NodeFact,
    Page,
    Reading,
    Tier,
    UseFact,
)
from connectors.contract.manifest import Manifest, Mode, Setting
from connectors.contract.orders import Absent, Call, Delivery, Done, Found, Order, Outcome, Pending, Place, Plan, Target

__all__ = [
    "Absent",
    "Call",
    "CanGrantAccess",
    "CanHold",
    "CanPower",
    "CanResize",
    "CanTelemeter",
    "CanWatch",
    "Check",
    "Connector",
    "ConnectorError",
    "CounterFact",
    "Cursor",
    "Delivery",
    "Denied",
    "DeviceFact",
    "Done",
    "Found",
    "Health",
    "Identity",
    "Last",
    "Manifest",
    "Mode",
    "NoCapacity",
    "NodeFact",
    "Order",
    "Outcome",
    "Page",
    "Pending",
    "Permanent",
    "Place",
    "Plan",
    "Reading",
    "Setting",
    "Target",
    "Tier",
    "Transient",
    "UseFact",
]
