"""Our parser of sweeps against pyVmomi's: the same answers say the same, or ours leaves them alone."""

import gc
import io

import pytest
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapResponseDeserializer, SoapStubAdapterBase

from connectors.vsphere import hosts, lean, machines
from tests.connectors.vsphere import double_soap
from tests.connectors.vsphere.double import busy, vgpu_device
from tests.connectors.vsphere.double_collector import Query
from tests.connectors.vsphere.double_soap import Call

STUB = SoapStubAdapterBase("vim.version.v8_0_2_0")
FIRST = "config.graphicsInfo"


def answered(kind, *paths, vcenter=None, page_size=1000):
    """What the double answers to a read of all objects of a type."""
    vcenter = vcenter or busy()
    refs = [thing.ref for thing in vcenter.things.values() if isinstance(thing.ref, kind)]
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=ref) for ref in refs],
        propSet=[Query.PropertySpec(type=kind, pathSet=list(paths))],
    )
    call = Call("RetrievePropertiesEx", vcenter.content().propertyCollector, {}, "vim.version.v8_0_2_0")
    session = vcenter.log_in("administrator@vsphere.local", vcenter.password)
    options = Query.RetrieveOptions(maxObjects=page_size)
    return double_soap.answer(call, vcenter.RetrievePropertiesEx(call, session, [spec], options)).body


def usual(body):
    return SoapResponseDeserializer(STUB).Deserialize(io.BytesIO(body), Query.RetrieveResult)


def told(page, read):
    """A page as plain values, by what is read of it."""
    return [
        (found.obj._GetMoId(), type(found.obj), {prop.name: read(prop.val) for prop in found.propSet})
        for found in page.objects
    ]


class TestOurParser:
    @pytest.mark.parametrize("page_size", [1000, 3])
    def test_reads_plain_values_and_references_as_pyvmomi_does(self, page_size):
        plain = [path for path in hosts.paths("8.0.3.0") if path != FIRST and not path.endswith("Binding")]
        body = answered(vim.HostSystem, *plain, page_size=page_size)

        def comparable(value):
            return value._GetMoId() if hasattr(value, "_GetMoId") else list(value) if isinstance(value, list) else value

        found = lean.read(body, STUB)

        assert found is not None and told(found, comparable) == told(usual(body), comparable)
        assert found.token == usual(body).token

    def test_gives_the_same_hosts(self):
        body = answered(vim.HostSystem, *hosts.paths("8.0.3.0"), hosts.PASSTHROUGH)

        found = [
            [hosts.host(each.obj, {prop.name: prop.val for prop in each.propSet}, frozenset()) for each in page.objects]
            for page in (lean.read(body, STUB), usual(body))
        ]

        assert found[0] == found[1] and any(host.bound for host in found[0]) and any(host.active for host in found[0])
        assert any(card.vms for host in found[0] for card in host.graphics)

    def test_gives_the_same_cards(self):
        body = answered(vim.HostSystem, hosts.PCI_DEVICES)

        found = [
            [hosts.layout(each.propSet[0].val, (), frozenset(), {}) for each in page.objects]
            for page in (lean.read(body, STUB), usual(body))
        ]

        assert found[0] == found[1] and sum(map(len, found[0])) > 0

    def test_gives_the_same_vms(self):
        vcenter = busy()
        marks = {"ocenter.installation": "I", "ocenter.orders": '{"oc-a": ["grid_a100-40c"]}'}
        options = [vim.option.OptionValue(key=key, value=value) for key, value in marks.items()]
        vcenter.add_vm("oc-vm", vcenter.hosts[4], vgpu_device("grid_a100-40c"), extraConfig=options)
        body = answered(vim.VirtualMachine, *machines.PATHS, vcenter=vcenter)

        found = [
            [machines.machine({prop.name: prop.val for prop in each.propSet}, "I") for each in page.objects]
            for page in (lean.read(body, STUB), usual(body))
        ]

        assert found[0] == found[1] and any(vm.orders for vm in found[0]) and any(vm.addresses for vm in found[0])

    @pytest.mark.parametrize("spoil", [lambda body: body[:-20], lambda body: b"", lambda body: b"<html></html>"])
    def test_leaves_what_is_no_whole_answer(self, spoil):
        assert lean.read(spoil(answered(vim.HostSystem, "name")), STUB) is None

    def test_leaves_types_that_it_does_not_know(self):
        assert lean.read(answered(vim.HostSystem, "summary"), STUB) is None
        assert lean.read(answered(vim.HostSystem, "datastore"), STUB) is None

    def test_leaves_what_was_not_told(self):
        vcenter = busy()
        vcenter.hidden.add((vim.HostSystem, "config"))

        assert lean.read(answered(vim.HostSystem, "name", FIRST, vcenter=vcenter), STUB) is None

    def test_leaves_faults(self):
        fault = vmodl.fault.ManagedObjectNotFound(obj=vim.HostSystem("host-1", None), msg="gone")

        assert lean.read(double_soap.fault(fault, "vim.version.v8_0_2_0").body, STUB) is None

    def test_leaves_garbage_collection_as_it_was(self):
        body = answered(vim.HostSystem, "name")

        for was_enabled in (True, False):
            (gc.enable if was_enabled else gc.disable)()
            lean.read(body, STUB)
            is_enabled = gc.isenabled()
            gc.enable()
            assert is_enabled == was_enabled
