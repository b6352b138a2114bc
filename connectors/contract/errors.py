"""Errors of connectors: the class alone says whether a retry can help."""


class ConnectorError(Exception):
    """Base of what a connector may raise.

    ``code`` is stable, ``str(error)`` tells a person what is wrong and what to do, ``platform_words`` is the platform's
    own text, cut and free of secrets.
    """

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None, platform_words: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.platform_words = platform_words[:2000]


class Transient(ConnectorError):
    """It may work later: unreachable, timeout, throttled, 5xx, a torn answer. The effect of a write is unknown."""

    code = "unreachable"

    def __init__(
        self, message: str, *, code: str | None = None, platform_words: str = "", after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, platform_words=platform_words)
        self.after_seconds = after_seconds


class Permanent(ConnectorError):
    """It will not work until somebody changes the request, the settings or the platform."""

    code = "invalid"


class Denied(Permanent):
    """The platform knows us and says no, or does not accept the credential."""

    code = "denied"


class NoCapacity(ConnectorError):
    """The platform has no room for the orders. Another candidate may have."""

    code = "no_capacity"
