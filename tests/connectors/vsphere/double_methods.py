"""What only reads the double's inventory: log-in, search, views, the property collector and rights."""

import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pyVmomi import vim, vmodl

from tests.connectors.vsphere.double_collector import Collector, Query, Session, View, contents, once, value_at
from tests.connectors.vsphere.double_gpus import LEAVES_THE_GRAPHICS, NVIDIA
from tests.connectors.vsphere.double_inventory import Host, Thing
from tests.connectors.vsphere.double_soap import Call, not_found
from tests.connectors.vsphere.double_tasks import Task
from tests.connectors.vsphere.double_vm import Vm

USER = "administrator@vsphere.local"
PASSWORD = "correct horse battery"
MANAGERS: Mapping[str, Any] = {
    "propertyCollector": Query,
    "viewManager": vim.view.ViewManager,
    "sessionManager": vim.SessionManager,
    "searchIndex": vim.SearchIndex,
    "authorizationManager": vim.AuthorizationManager,
}


class Reading:
    """The reading half of a vCenter. ``page_limit`` is the most objects in one answer, whatever the client asks.

    ``hurry`` is how many times faster than asked for it ends a wait for updates in which nothing happens.
    ``hidden`` are properties (``config``, ``config.graphicsInfo``) that its account may not read, by type.
    """

    things: dict[str, Thing]
    tasks: dict[str, Task]
    lacks: set[str]
    root: Thing

    def __init__(self) -> None:
        self.uuid = "6e0a5cbe-0000-4000-8000-000000000001"
        self.version = "8.0.3"
        self.api_version = "8.0.3.0"
        self.password = PASSWORD
        self.login_fault: Any = None
        self.page_limit = 1000
        self.clock_ahead = timedelta()
        self.hurry = 1.0
        self.hidden: set[tuple[Any, str]] = set()
        self.sessions: dict[str, Session] = {}
        self.changed = threading.Condition(threading.RLock())

    # --- sessions -----------------------------------------------------------------------------------------------------

    def RetrieveServiceContent(self, call: Call, this: Any) -> Any:
        return self.content()

    def about(self) -> Any:
        return vim.AboutInfo(
            name="VMware vCenter Server",
            fullName=f"VMware vCenter Server {self.version} build-1",
            vendor="VMware, Inc.",
            version=self.version,
            build="1",
            osType="linux-x64",
            productLineId="vpx",
            apiType="VirtualCenter",
            apiVersion=self.api_version,
            instanceUuid=self.uuid,
        )

    def content(self) -> Any:
        managers = {name: kind(name, None) for name, kind in MANAGERS.items()}
        return vim.ServiceInstanceContent(rootFolder=self.root.ref, about=self.about(), **managers)

    def now(self) -> datetime:
        """The time as vCenter has it."""
        return datetime.now(UTC) + self.clock_ahead

    def log_in(self, name: str, password: str) -> Session:
        if self.login_fault is not None:
            raise self.login_fault
        if (name, password) != (USER, self.password):
            raise vim.fault.InvalidLogin(msg="Cannot complete login due to an incorrect user name or password.")
        session = Session(uuid.uuid4().hex, name)
        self.sessions[session.key] = session
        return session

    def user_session(self, session: Session) -> Any:
        now = datetime.now(UTC)
        return vim.UserSession(
            key=session.key,
            userName=session.user,
            fullName=session.user,
            loginTime=now,
            lastActiveTime=now,
            locale="en",
            messageLocale="en",
            extensionSession=False,
            ipAddress="127.0.0.1",
            userAgent="",
            callCount=1,
        )

    def HasPrivilegeOnEntities(self, call: Call, this: Any, entity: Any, sessionId: str, privId: Any) -> Any:
        given = [
            vim.AuthorizationManager.PrivilegeAvailability(privId=priv, isGranted=priv not in self.lacks)
            for priv in privId
        ]
        return [vim.AuthorizationManager.EntityPrivilege(entity=ref, privAvailability=given) for ref in entity]

    # --- search -------------------------------------------------------------------------------------------------------

    def FindByUuid(self, call: Call, this: Any, datacenter: Any, uuid: str, vmSearch: bool, instanceUuid: Any) -> Any:
        for thing in self.things.values():
            if isinstance(thing, Vm if vmSearch else Host):
                known = thing.instance_uuid if isinstance(thing, Vm) and instanceUuid else thing.uuid
                if known == uuid:
                    return thing.ref
        return None

    def FindByInventoryPath(self, call: Call, this: Any, inventoryPath: str) -> Any:
        at: Thing | None = self.root
        for name in inventoryPath.strip("/").split("/"):
            at = next((child for child in at.children if child.name == name), None) if at else None
        return at and at.ref

    def FindChild(self, call: Call, this: Any, entity: Any, name: str) -> Any:
        return next((child.ref for child in self._thing(entity).children if child.name == name), None)

    def QueryConfigTarget(self, call: Call, browser: Thing, host: Any) -> Any:
        assert browser.parent is not None
        offering = [self._thing(host)] if host else browser.parent.children
        hosts = [each for each in offering if isinstance(each, Host)]
        target = vim.vm.ConfigTarget(
            numCpus=64, numCpuCores=64, numNumaNodes=2, smcPresent=False, maxMemMBOptimalPerf=1048576
        )
        for gpu, on in [(gpu, each) for each in hosts for gpu in each.gpus if not gpu.is_failed]:
            if gpu.mode == LEAVES_THE_GRAPHICS:
                target.pciPassthrough.append(
                    vim.vm.PciPassthroughInfo(name=gpu.address, pciDevice=gpu.pci_device(), systemId=on.uuid)
                )
            for profile in gpu.profiles():
                if profile.name in {known.vgpu for known in target.sharedGpuPassthroughTypes}:
                    continue
                target.sharedGpuPassthroughTypes.append(
                    vim.vm.PciSharedGpuPassthroughInfo(name=profile.name, vgpu=profile.name)
                )
                target.vgpuProfileInfo.append(
                    vim.vm.VgpuProfileInfo(
                        name=profile.name,
                        profileName=profile.name,
                        deviceVendorId=NVIDIA,
                        fbSizeInGib=profile.memory_gib,
                        profileSharing="mig" if profile.slices else "timeSliced",
                        profileClass="compute",
                    )
                )
        return target

    # --- views and the property collector -----------------------------------------------------------------------------

    def CreateContainerView(self, call: Call, session: Session, container: Any, type: Any, recursive: bool) -> Any:
        kinds, top = tuple(type) or (object,), self._thing(container)
        view = View(
            lambda: [
                child.ref for child in (top.below() if recursive else top.children) if isinstance(child.ref, kinds)
            ]
        )
        ref = vim.view.ContainerView(f"session[{session.key}]{uuid.uuid4().hex}", None)
        session.views[ref._moId] = view
        return ref

    def DestroyView(self, call: Call, session: Session) -> None:
        del session.views[call.this._moId]

    def CreatePropertyCollector(self, call: Call, session: Session) -> Any:
        ref = Query(f"session[{session.key}]{uuid.uuid4().hex}", None)
        session.collectors[ref._moId] = Collector()
        return ref

    def DestroyPropertyCollector(self, call: Call, session: Session) -> None:
        del session.collectors[call.this._moId]

    def CreateFilter(self, call: Call, session: Session, spec: Any, partialUpdates: bool) -> Any:
        ref = Query.Filter(f"session[{session.key}]{uuid.uuid4().hex}", None)
        self._collector(call, session).filters[ref._moId] = spec
        return ref

    def Fetch(self, call: Call, session: Session, prop: str) -> Any:
        return value_at(call.this, prop, once(self.shown(session, call.this)))

    def RetrievePropertiesEx(self, call: Call, session: Session, specSet: Any, options: Any) -> Any:
        found = [content for spec in specSet for content in self._contents(session, spec)]
        return session.page(found, self._limit(options and options.maxObjects)) if found else None

    def ContinueRetrievePropertiesEx(self, call: Call, session: Session, token: str) -> Any:
        if token not in session.pages:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="token", msg="A specified parameter was not correct: token"
            )
        return session.page(session.pages.pop(token), self._limit(None))

    def WaitForUpdatesEx(self, call: Call, session: Session, version: str, options: Any) -> Any:
        collector = self._collector(call, session)
        if not version:
            collector.forget()
        elif version != str(collector.version):
            raise vmodl.query.InvalidCollectorVersion(msg="A specified version was not correct.")
        wait_seconds = 600 if options is None or options.maxWaitSeconds is None else options.maxWaitSeconds
        until = time.monotonic() + wait_seconds / self.hurry
        while True:
            if not collector.waiting:
                collector.gather(*self._eyes(session))
            if collector.waiting or not version:
                return collector.update_set(self._limit(options and options.maxObjectUpdates))
            if time.monotonic() >= until:
                return None
            self.changed.wait(until - time.monotonic())
            if collector.is_cancelled:
                collector.is_cancelled = False
                raise vmodl.fault.RequestCanceled(msg="The request was canceled.")
            if session.key not in self.sessions:
                raise vim.fault.NotAuthenticated(object=call.this, privilegeId="System.View", msg="not logged in")

    def CancelWaitForUpdates(self, call: Call, session: Session) -> None:
        self._collector(call, session).is_cancelled = True

    # --- inside -------------------------------------------------------------------------------------------------------

    def shown(self, session: Session, ref: Any) -> dict[str, Any]:
        """The properties of any object. Raises ManagedObjectNotFound."""
        name = ref._moId
        if name in self.things:
            return self.things[name].shown()
        if name in self.tasks:
            return self.tasks[name].shown()
        if name in session.views:
            return {"view": session.views[name].members()}
        if name == "ServiceInstance":
            return {"content": self.content()}
        if name == "sessionManager":
            return {"currentSession": self.user_session(session)}
        raise not_found(ref)

    def _contents(self, session: Session, spec: Any) -> list[Any]:
        return contents(spec, *self._eyes(session))

    def _eyes(self, session: Session) -> tuple[Any, Any, Any]:
        def resolve(ref: Any) -> Any:
            self.shown(session, ref)
            return ref

        def hidden(ref: Any, path: str) -> bool:
            return any(
                isinstance(ref, kind) and (path == known or path.startswith(f"{known}.")) for kind, known in self.hidden
            )

        return lambda ref: self.shown(session, ref), hidden, resolve

    def _limit(self, asked: int | None) -> int:
        return min(asked or self.page_limit, self.page_limit)

    def _collector(self, call: Call, session: Session) -> Collector:
        name = call.this._moId
        if name == "propertyCollector":
            return session.collectors.setdefault(name, Collector())
        if name not in session.collectors:
            raise not_found(call.this)
        return session.collectors[name]

    def _thing(self, ref: Any) -> Thing:
        if ref._moId not in self.things:
            raise not_found(ref)
        return self.things[ref._moId]
