"""SOAP as vCenter speaks it, by pyVmomi's own types: a request comes apart into a call, an answer or fault goes out."""

import re
from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ParserCreate

from msgspec import Struct
from pyVmomi import SoapAdapter, vmodl
from pyVmomi.VmomiSupport import BASE_VERSION, F_OPTIONAL, GetWsdlMethod, ManagedObject, Object, versionMap

from tests.connectors.server import Answer, Seen

NAMESPACE = "urn:vim25"
XML = {"Content-Type": "text/xml; charset=utf-8"}
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n' + SoapAdapter.SOAP_START
_FETCH: Any = Object(
    name="Fetch",
    wsdlName="Fetch",
    version=BASE_VERSION,
    params=(Object(name="prop", type=str, version=BASE_VERSION, flags=0),),
    result=object,
    privId="System.Anonymous",
)
"""How pyVmomi reads an attribute; it stands in no list of methods."""
_METHOD = re.compile(rb"<(?:\w+:)?Body>\s*<(?:\w+:)?(\w+)")


class Call(Struct):
    """A method on an object, with its arguments by pyVmomi's names; those that were not given are None or empty."""

    method: str
    this: Any
    arguments: dict[str, Any]
    version: str


def method_of(seen: Seen) -> str:
    """The method that a request calls, empty for none."""
    found = _METHOD.search(seen.body) if seen.path == "/sdk" else None
    return found[1].decode() if found else ""


def is_write(seen: Seen) -> bool:
    """Whether a request changes something on the platform: here all such are tasks."""
    return method_of(seen).endswith("_Task")


def method_info(name: str) -> Any:
    """What pyVmomi knows of a method. Raises KeyError for one that vSphere does not have."""
    return _FETCH if name == _FETCH.name else GetWsdlMethod(NAMESPACE, name).info


def call_of(seen: Seen) -> Call:
    """Take a request apart. Raises KeyError for a method that vSphere does not have."""
    namespace = seen.headers.get("soapaction", "").strip('"').removeprefix("urn:")
    info = method_info(method_of(seen))
    given = _Reader(info).read(seen.body)
    this = given.pop("_this")
    missing: dict[str, Any] = {param.name: [] if issubclass(param.type, list) else None for param in info.params}
    return Call(info.wsdlName, this, {**missing, **given}, versionMap.get(namespace, info.version))


def answer(call: Call, value: Any) -> Answer:
    """Return what a method returned."""
    info = method_info(call.method)
    told = ""
    if value is not None:
        field = Object(name="returnval", type=info.result, version=info.version, flags=F_OPTIONAL)
        told = _as_vcenter(SoapAdapter.SerializeToStr(value, field, call.version, _prefixes()))
    body = f'<{call.method}Response xmlns="{NAMESPACE}">{told}</{call.method}Response>'
    return Answer(body=f"{_HEAD}{body}{SoapAdapter.SOAP_END}".encode(), headers=XML)


def fault(raised: Any, version: str) -> Answer:
    """Return a fault as vCenter tells it: status 500, its type in the detail."""
    name = type(raised).__name__.rpartition(".")[2]
    field = Object(name=f"{name}Fault", type=object, version=version, flags=0)
    writer = _Writer()
    serializer = SoapAdapter.SoapSerializer(writer, version, _prefixes())
    serializer.SerializeFaultDetail(raised, field)
    detail = "".join(writer.parts).replace(f"<{name}Fault", f'<{name}Fault xmlns="{NAMESPACE}"', 1)
    words = SoapAdapter.XmlEscape(raised.msg or name)
    body = (
        f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{words}</faultstring>"
        f"<detail>{detail}</detail></soapenv:Fault>"
    )
    return Answer(status=500, body=f"{_HEAD}{body}{SoapAdapter.SOAP_END}".encode(), headers=XML)


def xml_of(value: Any) -> str:
    """A property's value as text, to be compared."""
    return "" if value is None else str(SoapAdapter.SerializeToStr(value, nsMap=_prefixes()))


def versions(api: str) -> Answer:
    """The file that a client reads first, to find the newest version that both know."""
    body = (
        f'<namespaces version="1.0"><namespace><name>{NAMESPACE}</name><version>{api}</version>'
        "<priorVersions><version>6.7</version></priorVersions></namespace></namespaces>"
    )
    return Answer(body=body.encode(), headers=XML)


def _as_vcenter(text: str) -> str:
    """What pyVmomi writes as a client, as a server writes it."""
    text = text.replace('xsi:type="ManagedObject"', 'xsi:type="ManagedObjectReference"')
    return re.sub(r' versionId="[0-9.]+"', "", text, count=1)


def _prefixes() -> dict[str, str]:
    return {**SoapAdapter.SOAP_NSMAP, NAMESPACE: ""}


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str) -> None:
        self.parts.append(text)


class _Reader(SoapAdapter.ExpatDeserializerNSHandlers):
    """Reads the arguments of a request one by one with pyVmomi's own deserializer."""

    def __init__(self, info: Any) -> None:
        super().__init__()
        self._types: Mapping[str, type] = {"_this": ManagedObject, **{param.name: param.type for param in info.params}}
        self._found: list[tuple[str, SoapAdapter.SoapDeserializer]] = []
        self._depth = 0

    def read(self, body: bytes) -> dict[str, Any]:
        self._parser = ParserCreate(namespace_separator=SoapAdapter.NS_SEP)
        self._parser.buffer_text = True
        SoapAdapter.SetHandlers(self._parser, SoapAdapter.GetHandlers(self))
        self._parser.Parse(body)
        given: dict[str, Any] = {}
        for name, reader in self._found:
            value = reader.GetResult()
            if issubclass(self._types[name], list):
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
        return given

    def StartElementHandler(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        name = tag.rpartition(SoapAdapter.NS_SEP)[2]
        if self._depth < 4 or name not in self._types:  # Envelope, Body, the method
            return
        kind: Any = self._types[name]
        self._depth -= 1  # the reader takes the end of the element for itself
        reader = SoapAdapter.SoapDeserializer()
        self._found.append((name, reader))
        reader.Deserialize(self._parser, kind.Item if issubclass(kind, list) else kind, nsMap=self.nsMap)
        reader.StartElementHandler(tag, attributes)

    def EndElementHandler(self, tag: str) -> None:
        self._depth -= 1

    def CharacterDataHandler(self, text: str) -> None:
        pass


def not_found(ref: Any) -> Any:
    """The fault for an object that is gone."""
    words = f"The object {ref} has already been deleted or has not been completely created"
    return vmodl.fault.ManagedObjectNotFound(obj=ref, msg=words)
