"""A way to one management controller: sushy's resources, over our own HTTP client and its door, trust and limits."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import msgspec
import requests
import sushy
from msgspec import Struct
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from sushy import auth, exceptions
from sushy.connector import Connector

from connectors import failures
from connectors.addresses import Outgoing
from connectors.contract import ConnectorError, Permanent
from connectors.http import Http
from connectors.tls import Tls

# sushy quotes whole answers, and a controller's answer may quote a password. Our client logs each exchange without.
logging.getLogger("sushy").setLevel(logging.CRITICAL + 1)

READ_SECONDS = 30.0
DEADLINE_SECONDS = 60.0
_SUSHY_S_OWN = tuple(status for status in range(400, 500) if status not in (408, 425, 429))
"""Statuses that sushy acts on itself: it logs in again, falls back to basic login, looks for another way."""


class Controller(Struct, frozen=True, kw_only=True):
    """Where a controller answers and how it is trusted: by the CA or certificate, else by its fingerprint.

    ``system`` is the Redfish id of the server, where one controller tells several.
    """

    url: str
    user: str
    password: str
    tls: Tls
    system: str = ""


@contextmanager
def opened(controller: Controller, outgoing: Outgoing) -> Iterator[sushy.Sushy]:
    """Yield the service root, logged in by a session or else by basic login; the session is ended afterwards.

    Raises a ConnectorError, also for what sushy raises inside the block.
    """
    http = Http(
        controller.url,
        tls=controller.tls,
        outgoing=outgoing,
        secrets=(controller.password,),
        read_seconds=READ_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
    )
    login = auth.SessionOrBasicAuth(controller.user, controller.password)
    way = Connector(controller.url)
    for scheme in ("https://", "http://"):
        way._session.mount(scheme, _ThroughHttp(http))
    way._session.trust_env = False
    try:
        with _told(http):
            yield sushy.Sushy(controller.url, auth=login, connector=way)
    finally:
        with suppress(ConnectorError, exceptions.SushyError):
            login.close()
        if login.can_refresh_session():  # it could not be ended, and sushy would try once more when it is collected
            login.reset_session_attrs()
        way.close()
        http.close()


class _ThroughHttp(BaseAdapter):
    """Carries the requests of sushy's session; what requests itself would trust or retry is not asked."""

    def __init__(self, http: Http) -> None:
        super().__init__()
        self._http = http

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Return the answer of our client. Raises a ConnectorError, which sushy lets through."""
        url, method = request.url or "", request.method or "GET"
        headers = {name: str(value) for name, value in request.headers.items() if name.lower() != "content-length"}
        if method == "GET":
            answer = self._http.fetch(url, headers=headers, accept=_SUSHY_S_OWN)
        else:
            body = request.body.encode() if isinstance(request.body, str) else request.body
            answer = self._http.send(method, url, body=body, headers=headers, accept=_SUSHY_S_OWN)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(answer.body)
        response.url, response.request = url, request
        return response

    def close(self) -> None:
        """Nothing to do: the client is closed by whoever opened it."""


@contextmanager
def _told(http: Http) -> Iterator[None]:
    try:
        yield
    except exceptions.HTTPError as error:
        body = msgspec.json.encode({"message": error.detail or ""})
        told = failures.from_status(error.status_code or 0, httpx.Headers(), body, http.host)
        told.platform_words = http.censor(told.platform_words)
        raise told from None
    except (exceptions.MissingActionError, exceptions.InvalidParameterValueError) as error:
        raise Permanent(
            f"The management controller {http.host} does not offer what is needed: {http.censor(str(error))}",
            code="not_supported",
        ) from None
    except (exceptions.SushyError, requests.JSONDecodeError) as error:
        why = "what it answers is no Redfish"
        raise failures.not_this_kind(http.host, why, http.censor(str(error))) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # sushy takes the shape of every answer for granted.
        why = "what it answers has another shape than Redfish"
        raise failures.not_this_kind(http.host, why, http.censor(f"{type(error).__name__}: {error}")) from None
