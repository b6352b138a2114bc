"""What changes the double's inventory: tasks, their effects, and the troubles that a test lets meet them."""

import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from pyVmomi import vim, vmodl

from tests.connectors.vsphere import double_gpus
from tests.connectors.vsphere.double_gpus import Device
from tests.connectors.vsphere.double_inventory import Cluster, Folder, Host, Thing
from tests.connectors.vsphere.double_soap import Call, method_info, not_found
from tests.connectors.vsphere.double_vm import Vm

PRIVILEGES = {
    "CloneVM_Task": "VirtualMachine.Inventory.CreateFromExisting",
    "ReconfigVM_Task": "VirtualMachine.Config.AdvancedConfig",
    "Destroy_Task": "VirtualMachine.Inventory.Delete",
}


class Trouble(Struct):
    """Meets the next task of a method, of any method when that is empty. ``then`` happens after the effect."""

    method: str = ""
    has_effect: bool = True
    fault: Any = None
    then: Callable[[], Any] = lambda: None


class Task(Struct):
    """``requests_left`` is after how many further requests it takes effect."""

    ref: Any
    method: str
    entity: Thing
    effect: Callable[[], Any]
    requests_left: int = 0
    state: str = "running"
    result: Any = None
    error: Any = None

    def shown(self) -> dict[str, Any]:
        now = datetime(2026, 11, 26, tzinfo=UTC)
        info = vim.TaskInfo(
            key=self.ref._moId,
            task=self.ref,
            descriptionId=self.method,
            entity=self.entity.ref,
            entityName=self.entity.name,
            state=self.state,
            cancelled=False,
            cancelable=False,
            result=self.result,
            error=self.error,
            reason=vim.TaskReasonUser(userName="somebody"),
            queueTime=now,
            eventChainId=1,
        )
        return {"info": info}


class Changing:
    """The changing half of a vCenter. ``lacks`` are privileges that its account has not.

    ``delay_requests`` lets new tasks run until so many further requests came, ``troubles`` wait for their tasks, and
    ``drs_host`` is where DRS switches VMs on for which nobody names a host.
    """

    things: dict[str, Thing]

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.lacks: set[str] = set()
        self.delay_requests = 0
        self.drs_host: Host | None = None
        self.troubles: list[Trouble] = []
        self._number = 1000

    # --- what a test does ---------------------------------------------------------------------------------------------

    def meet(self, **trouble: Any) -> None:
        """Let trouble meet the next task."""
        self.troubles.append(Trouble(**trouble))

    def add_vm(self, name: str, host: Host, *devices: Any, is_on: bool = True, **spec: Any) -> Vm:
        """Let somebody else have a VM on a host."""
        added = [vim.vm.device.VirtualDeviceSpec(operation="add", device=device) for device in devices]
        wanted = vim.vm.ConfigSpec(name=name, memoryReservationLockedToMax=True, deviceChange=added, **spec)
        vm = self._new_vm(self._vm_folder(host), host, name, wanted)
        if is_on:
            self.switch(vm, True)
        return vm

    def vm(self, name: str) -> Vm | None:
        return next((thing for thing in self.things.values() if isinstance(thing, Vm) and thing.name == name), None)

    def remove_vm(self, vm: Vm) -> None:
        """Remove a VM as somebody else would, with its claims."""
        double_gpus.release(vm.host.gpus, vm.ref)
        vm.host.vms.remove(vm)
        assert vm.parent is not None
        vm.parent.children.remove(vm)
        del self.things[vm.ref._moId]

    def suspend(self, vm: Vm) -> None:
        """Suspend a VM, which gives its GPUs back as switching off does."""
        self.switch(vm, False)
        vm.is_suspended = True

    def switch(self, vm: Vm, is_on: bool) -> None:
        """Switch a VM on, where admission happens, or off, which gives its GPUs back."""
        if is_on:
            if vm.host.state != "connected":
                raise vmodl.fault.HostNotConnected(msg="The host is not connected.")
            double_gpus.claim(vm.host.gpus, vm.ref, vm.gpu_devices, vm.is_reserved)
        else:
            double_gpus.release(vm.host.gpus, vm.ref)
            for device in vm.gpu_devices:
                if isinstance(device.backing, Device.DynamicBackingInfo):
                    device.backing.assignedId = ""
        vm.is_on, vm.is_suspended = is_on, False

    # --- methods ------------------------------------------------------------------------------------------------------

    def CreateVM_Task(self, call: Call, folder: Folder, config: Any, pool: Any, host: Any) -> Any:
        cluster = self._at(pool).parent
        assert isinstance(cluster, Cluster)
        on = self._at(host) if host else cluster.hosts[0]

        def create() -> Any:
            path = config.files.vmPathName
            store = next((each for each in on.datastores if path == f"[{each.name}]"), None)
            if store is None:
                raise vim.fault.InvalidDatastorePath(datastore=path, datastorePath=path, msg=f"no datastore {path}")
            vm = self._new_vm(folder, on, config.name, config)
            vm.datastore = store
            return vm.ref

        return self._start(call, folder, create)

    def CloneVM_Task(self, call: Call, template: Vm, folder: Any, name: str, spec: Any) -> Any:
        into, on = self._at(folder), self._at(spec.location.host) if spec.location.host else template.host

        def clone() -> Any:
            inherited = [vim.option.OptionValue(key=key, value=value) for key, value in template.extra.items()]
            wanted = spec.config or vim.vm.ConfigSpec()
            wanted.extraConfig = [*inherited, *wanted.extraConfig]
            vm = self._new_vm(into, on, name, wanted, copy.deepcopy(template.devices))
            vm.datastore = self._at(spec.location.datastore) if spec.location.datastore else on.datastores[0]
            return vm.ref

        return self._start(call, template, clone)

    def ReconfigVM_Task(self, call: Call, vm: Vm, spec: Any) -> Any:
        def reconfigure() -> None:
            if spec.changeVersion and spec.changeVersion != vm.change_version:
                raise vim.fault.ConcurrentAccess(msg="The object was changed by somebody else.")
            if vm.is_on and any(isinstance(change.device, Device) for change in spec.deviceChange):
                raise _power_fault(vm, "poweredOff")
            vm.edit(spec)

        return self._start(call, vm, reconfigure)

    def PowerOnVM_Task(self, call: Call, vm: Vm, host: Any) -> Any:
        def switch_on() -> None:
            self._move(vm, self._at(host) if host else self.drs_host or vm.host)
            self._switched(vm, True)

        return self._start(call, vm, switch_on)

    def PowerOffVM_Task(self, call: Call, vm: Vm) -> Any:
        return self._start(call, vm, lambda: self._switched(vm, False))

    def Destroy_Task(self, call: Call, vm: Vm) -> Any:
        def destroy() -> None:
            if vm.is_on:
                raise _power_fault(vm, "poweredOff")
            self.remove_vm(vm)

        return self._start(call, vm, destroy)

    # --- inside -------------------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """Another request came: tasks that waited long enough take effect."""
        for task in [task for task in self.tasks.values() if task.state == "running"]:
            task.requests_left -= 1
            if task.requests_left <= 0:
                self._run(task)

    def privilege_for(self, method: str) -> str:
        """The privilege that a method needs, as its documentation says."""
        return PRIVILEGES.get(method) or method_info(method).privId or ""

    def _start(self, call: Call, entity: Thing, effect: Callable[[], Any]) -> Any:
        self._number += 1
        ref = vim.Task(f"task-{self._number}", None)
        task = Task(ref, call.method, entity, effect, self.delay_requests)
        self.tasks[ref._moId] = task
        if not self.delay_requests:
            self._run(task)
        return ref

    def _run(self, task: Task) -> None:
        trouble = next((each for each in self.troubles if each.method in ("", task.method)), None) or Trouble()
        if trouble in self.troubles:
            self.troubles.remove(trouble)
        try:
            if isinstance(task.entity, Vm) and task.entity.ref._moId not in self.things:
                raise not_found(task.entity.ref)
            task.result = task.effect() if trouble.has_effect else None
            trouble.then()
            if trouble.fault is not None:
                raise trouble.fault
            task.state = "success"
        except vmodl.MethodFault as fault:
            task.state, task.error, task.result = "error", fault, None

    def _switched(self, vm: Vm, is_on: bool) -> None:
        if vm.is_on == is_on and not vm.is_suspended:
            raise _power_fault(vm, "poweredOn" if is_on else "poweredOff")
        self.switch(vm, is_on)

    def _move(self, vm: Vm, host: Host) -> None:
        vm.host.vms.remove(vm)
        vm.host = host
        host.vms.append(vm)

    def _new_vm(self, folder: Thing, host: Host, name: str, spec: Any, devices: Sequence[Any] = ()) -> Vm:
        there = next((child for child in folder.children if child.name == name), None)
        if there is not None:
            raise vim.fault.DuplicateName(name=name, object=there.ref, msg=f"The name {name} already exists.")
        self._number += 1
        vm = Vm(vim.VirtualMachine(f"vm-{self._number}", None), name, folder, host, spec)
        vm.devices += [device for device in devices if isinstance(device, Device)]
        vm.edit(spec)
        self.things[vm.ref._moId] = vm
        return vm

    def _vm_folder(self, below: Thing) -> Thing:
        at: Thing | None = below
        while at is not None and not isinstance(at.ref, vim.Datacenter):
            at = at.parent
        assert at is not None
        return next(child for child in at.children if child.name == "vm")

    def _at(self, ref: Any) -> Any:
        if ref._moId not in self.things:
            raise not_found(ref)
        return self.things[ref._moId]


def _power_fault(vm: Vm, wanted: str) -> Exception:
    words = "The attempted operation cannot be performed in the current power state."
    fault: Exception = vim.fault.InvalidPowerState(requestedState=wanted, existingState=vm.power_state, msg=words)
    return fault
