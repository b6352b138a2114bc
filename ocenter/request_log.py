"""The line that each request leaves in the log, without what a link or an answer of a provider lets somebody do."""

import re
from typing import Final

from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware
from structlog.contextvars import bind_contextvars

from pools.api import limits

_SECRET_PATHS: Final = re.compile(r"^(/account/password/reset/key/|/invitations?/)[^/]+")


class RequestLog(RequestMiddleware):
    """Names the path only: in the query people paste tokens, and providers put their codes."""

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        """As the limits know the caller: what a header says counts behind a trusted proxy only."""
        bind_contextvars(ip=limits.address(request))

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        path = _SECRET_PATHS.sub(r"\1***", request.path)
        return f"{request.method} {path}"
