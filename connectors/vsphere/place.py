"""Where a VM is made: the host, its cluster's resource pool, a datastore, a folder, and the template to clone."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pyVmomi import vim

from connectors.contract import Order, Permanent, Target, Transient
from connectors.vsphere import profiles
from connectors.vsphere.client import Seen
from connectors.vsphere.faults import translated
from connectors.vsphere.tasks import Client, read, read_all
from connectors.vsphere.vm import Pci


class Place(Struct, frozen=True, kw_only=True):
    """The place on one host. ``passthrough`` maps PCI addresses to what the host offers for DirectPath.

    ``inherited`` are the GPUs of the template, which a clone would have beside those that were ordered.
    """

    host: Any
    resource_pool: Any
    folder: Any
    datastore: Any
    datastore_name: str
    passthrough: dict[str, Any]
    template: Any = None
    inherited: tuple[Any, ...] = ()

    def clone(self, spec: Any) -> Any:
        """Return how to clone the template here, with the device and the marker in the same call."""
        location = vim.vm.RelocateSpec(host=self.host, pool=self.resource_pool, datastore=self.datastore)
        return vim.vm.CloneSpec(location=location, powerOn=False, template=False, config=spec)


def place_of(client: Client, target: Target, host: Any = None) -> Place:
    """Return the place on a host, by default the target's node. Raises Permanent ``not_found`` for an unknown one."""
    with translated(client.host):
        host = host or client.content.searchIndex.FindByUuid(None, target.node_ref or "", False)
    if not isinstance(host, vim.HostSystem):
        raise Permanent(f"vCenter has no host {target.node_ref}. Observe the pool again.", code="not_found")
    told = read(client, host, ["parent", "datastore"]) or {}
    cluster = told["parent"]
    datastore = _datastore(client, told.get("datastore") or [])
    template = _template(client)
    compute = read(client, cluster, ["resourcePool", "environmentBrowser"]) or {}
    with translated(client.host):
        offered = compute["environmentBrowser"].QueryConfigTarget(host)
    return Place(
        host=host,
        resource_pool=compute["resourcePool"],
        folder=_folder(client, cluster),
        datastore=datastore.ref,
        datastore_name=str(datastore.values["name"]),
        passthrough={device.pciDevice.id: device for device in (offered.pciPassthrough if offered else None) or []},
        template=template,
        inherited=_gpus(client, template),
    )


def named(client: Client, target: Target, orders: Sequence[Order], host: Any = None) -> list[Order]:
    """Return the orders with their profiles as the host spells them (``grid_a100-20c`` where ``a100-20c`` is ordered).

    A profile that the host does not list stays as it is: vCenter says what is wrong with it.
    """
    if not any(order.profile for order in orders):
        return list(orders)
    offered = _profiles(client, target, host)
    spelled = {profiles.key(name): name for name in offered} | {name: name for name in offered}
    return [
        replace(order, profile=spelled.get(order.profile) or spelled.get(profiles.key(order.profile)) or order.profile)
        if order.profile
        else order
        for order in orders
    ]


def offers_all(client: Client, target: Target, orders: Sequence[Order], host: Any = None) -> bool:
    """Whether the host lists every profile of the orders, as ``named`` spells them."""
    wanted = {order.profile for order in orders if order.profile}
    return not wanted or wanted <= set(_profiles(client, target, host))


def _profiles(client: Client, target: Target, host: Any) -> Sequence[str]:
    with translated(client.host):
        host = host or client.content.searchIndex.FindByUuid(None, target.node_ref or "", False)
    told = read(client, host, ["config.sharedPassthruGpuTypes"]) if isinstance(host, vim.HostSystem) else None
    return (told or {}).get("config.sharedPassthruGpuTypes") or []


def _datastore(client: Client, of_host: Sequence[Any]) -> Seen:
    """Return the datastore that the settings name, else the one with the most room."""
    wanted = client.settings.get("datastore") or ""
    paths = ["name", "summary.accessible", "summary.freeSpace", "summary.maintenanceMode"]
    found = [seen for seen in read_all(client, of_host, paths) if not wanted or seen.values.get("name") == wanted]
    if not found:
        raise Permanent(f"The host has no datastore {wanted}. Name another in the pool's settings.", code="rejected")
    usable = [seen for seen in found if _is_usable(seen.values)]
    if not usable:
        names = ", ".join(sorted(str(seen.values.get("name")) for seen in found))
        raise Transient(f"The host's datastores cannot be used now: {names}. See its storage.")
    return max(usable, key=lambda seen: seen.values.get("summary.freeSpace") or 0)


def _is_usable(told: Mapping[str, Any]) -> bool:
    return bool(told.get("summary.accessible")) and told.get("summary.maintenanceMode") in (None, "normal")


def _folder(client: Client, below: Any) -> Any:
    while below is not None and not isinstance(below, vim.Datacenter):
        below = (read(client, below, ["parent"]) or {}).get("parent")
    return (read(client, below, ["vmFolder"]) or {})["vmFolder"]


def _template(client: Client) -> Any:
    path = client.settings.get("template") or ""
    if not path:
        return None
    with translated(client.host):
        found = client.content.searchIndex.FindByInventoryPath(path)
    if not isinstance(found, vim.VirtualMachine):
        raise Permanent(f"vCenter has no template {path}. Correct the pool's settings.", code="rejected")
    return found


def _gpus(client: Client, template: Any) -> tuple[Any, ...]:
    if template is None:
        return ()
    told = read(client, template, ["config.hardware.device"]) or {}
    return tuple(device for device in told.get("config.hardware.device") or [] if isinstance(device, Pci))
