"""Why the helper did not do what it was asked."""


class Refused(Exception):
    """The host does not take this, whoever asks. ``code`` is for the control plane, the text for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Stale(Exception):
    """The host carries, or gave back, a newer document than this one."""


class Incomplete(Exception):
    """Not all could be done now. A repeat goes on from there."""

    code = "incomplete"


class Busy(Incomplete):
    """Somebody else changes the host."""

    code = "busy"
