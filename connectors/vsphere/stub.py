"""pyVmomi's calls over our own HTTP client: its trust, limits, logs and errors, and no connection beside it.

pyVmomi's own connections would switch the check of certificates off for a server on this machine, wait for ever, and
go to any address.
"""

import io
import re
from collections.abc import Callable
from typing import Any
from xml.parsers.expat import ExpatError, errors

import httpx
from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapResponseDeserializer, SoapStubAdapterBase
from pyVmomi.VmomiSupport import GetServiceVersions, versionIdMap

from connectors import failures
from connectors.contract import ConnectorError, Permanent
from connectors.http import Answer, Http
from connectors.retries import repeated

DEADLINE_SECONDS = 180.0
WHO_IS_THERE = "RetrieveServiceContent"
"""Needs no session, and is asked before there is one."""
READS = frozenset(
    (
        WHO_IS_THERE,
        "RetrievePropertiesEx",
        "Fetch",
        "FindByUuid",
        "FindByInventoryPath",
        "FindChild",
        "QueryConfigTarget",
        "QueryAvailablePerfMetric",
        "QueryPerfCounter",
        "QueryPerf",
        "HasPrivilegeOnEntities",
        "CreateContainerView",
        "CreatePropertyCollector",
    )
)
"""Calls that may be repeated, also in a new session: they change nothing that outlives the session."""
_TORN = frozenset(
    errors.codes[words]
    for words in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)
_VERSION = re.compile(rb"<version>\s*([0-9a-zA-Z.]+)\s*</version>")


def version_of(http: Http, path: str) -> str:
    """Return the newest API version that the server and pyVmomi both speak. Raises Permanent ``not_this_kind``."""
    answer = http.fetch(f"{path}/vimServiceVersions.xml", accept=(404,))
    offered = {found.decode() for found in _VERSION.findall(answer.body)}
    for version in GetServiceVersions("vim25"):  # the newest first
        if versionIdMap[version] in offered:
            return str(version)
    raise failures.not_this_kind(http.host, "it offers no version of the vSphere API", http.censor(_start(answer)))


Reader = Callable[[bytes, Any], Any]
"""Returns what is in an answer, its references bound to a stub; None for what it does not know."""


class Stub(SoapStubAdapterBase):
    """Calls one server.

    Raises the server's faults as pyVmomi has them, and the errors of ``connectors.failures`` for all that is no answer.
    ``log_in`` is called when a read finds the session gone, with the number of sessions there were before it.
    """

    def __init__(self, http: Http, path: str, version: str) -> None:
        super().__init__(version)  # type: ignore[no-untyped-call]  # pyVmomi has no types
        self.requestContext = None
        self.log_in: Callable[[int], None] | None = None
        self.session_count = 0
        self.is_answering = True
        self._http = http
        self._path = path

    def InvokeMethod(self, mo: Any, info: Any, args: Any, read: Reader | None = None) -> Any:  # the name is pyVmomi's
        """Call. Reads are repeated after a passing trouble and in a new session, writes never.

        ``read`` goes before pyVmomi's own parser, which reads what it gives up.
        """
        if info.wsdlName not in READS:
            return self._called(mo, info, args, read)
        return repeated(lambda _: self._read(mo, info, args, read), deadline_seconds=DEADLINE_SECONDS)

    def _read(self, mo: Any, info: Any, args: Any, read: Reader | None) -> Any:
        before = self.session_count
        try:
            return self._called(mo, info, args, read)
        except vim.fault.NotAuthenticated:
            if self.log_in is None or info.wsdlName == WHO_IS_THERE:
                raise
            self.log_in(before)
            return self._called(mo, info, args, read)

    def _called(self, mo: Any, info: Any, args: Any, read: Reader | None) -> Any:
        body = self.SerializeRequest(mo, info, args)  # type: ignore[no-untyped-call]  # same reason
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": self.versionId}
        try:
            answer = self._http.send("POST", self._path, body=body, headers=headers, accept=(500,))
            self.is_answering = True
        except ConnectorError as error:
            self.is_answering = error.code not in ("unreachable", "dns_failed", "timeout")
            raise
        start = _start(answer)
        if not start:
            raise failures.truncated(self._http.host, "it is empty")
        if answer.status == httpx.codes.INTERNAL_SERVER_ERROR:
            raise self._fault(answer, start)
        if f"{info.wsdlName}Response" not in start:
            raise self._other_kind("it does not answer in SOAP what was asked", start)
        told = read(answer.body, self) if read is not None else None
        return told if told is not None else self._parsed(answer, info.result)

    def _fault(self, answer: Answer, start: str) -> Exception:
        told = self._parsed(answer, object) if "Envelope" in start else None
        if isinstance(told, Exception):
            return told
        return failures.from_status(answer.status, httpx.Headers(answer.headers), answer.body, self._http.host)

    def _parsed(self, answer: Answer, expected: Any) -> Any:
        try:
            return SoapResponseDeserializer(self).Deserialize(io.BytesIO(answer.body), expected)
        except ExpatError as error:
            if error.code in _TORN:
                raise failures.truncated(self._http.host, "its XML ends in the middle") from None
            raise self._other_kind("its answer is no XML", _start(answer)) from None
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise self._other_kind("its answer has another shape", _start(answer)) from None

    def _other_kind(self, why: str, words: str) -> Permanent:
        return failures.not_this_kind(self._http.host, why, self._http.censor(words))


def _start(answer: Answer) -> str:
    return " ".join(answer.body[:1500].decode(errors="replace").split())
