"""The line that each request leaves in the log, without what a link or an answer of a provider lets somebody do."""

import re
from typing import Final

from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware

_SECRET_PATHS: Final = re.compile(r"^(/account/password/reset/key/|/invitations?/)[^/]+")


class RequestLog(RequestMiddleware):
    """Names the path only: in the query people paste tokens, and providers put their codes."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        path = _SECRET_PATHS.sub(r"\1***", request.path)
        return f"{request.method} {path}"
