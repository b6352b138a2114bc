"""The line that each request leaves in the log, without what a link or an answer of a provider lets somebody do."""

import logging
import re
from typing import Final
from uuid import uuid4

from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware
from structlog.contextvars import bind_contextvars

from pools.api import limits

_log = logging.getLogger(RequestMiddleware.__module__)
_SECRET_PATHS: Final = re.compile(r"^(/account/password/reset/key/|/invitations?/)[^/]+")


class RequestLog(RequestMiddleware):
    """Names the path only: in the query people paste tokens, and providers put their codes."""

    def prepare(self, request: HttpRequest) -> None:
        """As django-structlog's, in one step where nobody wants to know that a request begins."""
        if _log.isEnabledFor(logging.DEBUG):
            super().prepare(request)
        else:
            bind_contextvars(request_id=str(uuid4()), ip=limits.address(request))

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        """As the limits know the caller: what a header says counts behind a trusted proxy only."""
        bind_contextvars(ip=limits.address(request))

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        path = _SECRET_PATHS.sub(r"\1***", request.path)
        return f"{request.method} {path}"
