"""The privileges that looking and giving out need, by the names of VMware's documentation; asked at every check."""

from connectors.contract import Tier
from connectors.vsphere.faults import translated
from connectors.vsphere.tasks import Client, read

WATCH = ("System.Anonymous", "System.View", "System.Read")
MANAGE = (
    "VirtualMachine.Inventory.Create",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.AddRemoveDevice",
    "VirtualMachine.Config.HostUSBDevice",
    "VirtualMachine.Config.Resource",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.PowerOff",
    "Resource.AssignVMToPool",
    "Datastore.AllocateSpace",
    "Network.Assign",
)


def watch(client: Client) -> Tier:
    """Return which of ``WATCH`` the session's user lacks on the root folder: vCenter hides objects without a word."""
    return _tier(client, WATCH)


def manage(client: Client) -> Tier:
    """Return which of ``MANAGE`` the session's user lacks on the root folder."""
    return _tier(client, MANAGE)


def _tier(client: Client, wanted: tuple[str, ...]) -> Tier:
    content = client.content
    session = (read(client, content.sessionManager, ["currentSession"]) or {}).get("currentSession")
    if session is None:
        return Tier(ok=False, missing=wanted)
    with translated(client.host):
        answers = content.authorizationManager.HasPrivilegeOnEntities([content.rootFolder], session.key, list(wanted))
    granted = {item.privId for answer in answers for item in answer.privAvailability if item.isGranted}
    missing = tuple(privilege for privilege in wanted if privilege not in granted)
    return Tier(ok=not missing, missing=missing)
