"""What ocenter refuses, and why. The family alone says how an edge answers; the code is stable and never reused."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

_MOST_TOLD: Final = 5  # in one sentence; ``fields`` names all


def gettext_noop(msgid: str) -> str:
    """Mark a text for translation. The edges translate ``msgid`` and then fill in ``params``."""
    return msgid


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its path (``settings.api_url``), a stable code, and what is wrong. Never quotes a secret."""

    field: str
    code: str
    detail: str


class DomainError(Exception):
    """Base of what ocenter refuses. ``message`` is English and complete; ``fields`` names every wrong field."""

    code: ClassVar[str] = "error"
    msgid: ClassVar[str] = gettext_noop("This is not possible.")

    def __init__(self, *, fields: tuple[FieldError, ...] = (), **params: Any) -> None:
        self.params = params
        self.fields = fields
        super().__init__(self.message)

    @property
    def message(self) -> str:
        return self.msgid % self.params


class Invalid(DomainError):
    """The request itself is wrong: 422."""

    code = "request.invalid"
    msgid = gettext_noop("Some fields are wrong.")

    @property
    def message(self) -> str:
        if not self.fields:
            return self.msgid % self.params
        told = [f"{wrong.field}: {wrong.detail}" if wrong.field else wrong.detail for wrong in self.fields[:_MOST_TOLD]]
        more = len(self.fields) - len(told)
        return "; ".join([*told, f"and {more} more."] if more else told)


class Conflict(DomainError):
    """The request is right and does not fit what is there: 409."""

    code = "conflict"


class Stale(DomainError):
    """The caller saw an older generation: 412."""

    code = "stale"


class Missing(DomainError):
    """There is no such thing, or the caller may not know of it: 404."""

    code = "not_found"
    msgid = gettext_noop("There is no such thing.")


class Denied(DomainError):
    """The caller is known and may not do this: 403."""

    code = "auth.denied"
    msgid = gettext_noop("You may not do this.")


# --- pools ------------------------------------------------------------------------------------------------------------


class PoolMissing(Missing):
    """No pool of this id or name."""

    code = "pool.not_found"
    msgid = gettext_noop("There is no such pool.")


class PoolChanged(Stale):
    """Somebody else changed the pool first."""

    code = "pool.changed"
    msgid = gettext_noop("The pool changed after you read it; read it again and retry.")


class PoolNameTaken(Conflict):
    """Another pool has this name."""

    code = "pool.name_taken"
    msgid = gettext_noop('Another pool is named "%(name)s". Choose another name.')


class PoolIdentityTaken(Conflict):
    """The same far end is registered already, and its capacity would be given out twice."""

    code = "pool.identity_taken"
    msgid = gettext_noop('The pool "%(other)s" already stands for the same far end; remove it or use that pool.')


class PoolState(Conflict):
    """The pool's state does not allow this."""

    code = "pool.state"
    msgid = gettext_noop("A pool in the state %(state)s cannot become %(wanted)s.")


class PoolNotSynced(Conflict):
    """The pool is not observed in its present state."""

    code = "pool.state"
    msgid = gettext_noop("A pool in the state %(state)s cannot be synchronised.")


class PoolNotChecked(Conflict):
    """Nobody knows yet which far end the pool stands for."""

    code = "pool.not_checked"
    msgid = gettext_noop("Check the pool first: which far end it stands for is not known yet.")


class PoolModeFixed(Conflict):
    """The grain of a pool that was activated does not change."""

    code = "pool.mode_fixed"
    msgid = gettext_noop("The mode can be changed until the pool is activated, and not after.")


class PoolInUse(Conflict):
    """Somebody holds capacity of the pool."""

    code = "pool.in_use"
    msgid = gettext_noop("Allocations hold capacity of this pool. Drain it and release them first.")


class PoolReachable(Conflict):
    """Force is for pools that do not answer."""

    code = "pool.reachable"
    msgid = gettext_noop("The pool answers, so release its allocations instead of removing it by force.")


class CredentialMissing(Missing):
    """The credential was replaced meanwhile, or there is none."""

    code = "credential.not_found"
    msgid = gettext_noop("There is no such credential waiting for a check.")


class CredentialUnreadable(Conflict):
    """None of the keys decrypts it."""

    code = "credential.unreadable"
    msgid = gettext_noop(
        "The stored credential cannot be decrypted. Put the key that encrypted it back into OCENTER_CREDENTIAL_KEYS, "
        "or enter the credential again."
    )


class CredentialKeysMissing(Conflict):
    """No key to encrypt with."""

    code = "credential.no_keys"
    msgid = gettext_noop("No key to encrypt credentials is set. Set OCENTER_CREDENTIAL_KEYS.")


# --- projects, people and their rights --------------------------------------------------------------------------------


class ProjectMissing(Missing):
    """No project of this path or id, or none that the caller may know of."""

    code = "project.not_found"
    msgid = gettext_noop("There is no such project.")


# --- the others -------------------------------------------------------------------------------------------------------


class NodeMissing(Missing):
    """No node of this id."""

    code = "node.not_found"
    msgid = gettext_noop("There is no such node.")


class DeviceMissing(Missing):
    """No device of this id."""

    code = "device.not_found"
    msgid = gettext_noop("There is no such device.")


class ModelMissing(Missing):
    """No chip model of this name or id."""

    code = "model.not_found"
    msgid = gettext_noop("There is no such model.")


class KindMissing(Missing):
    """No kind of this name."""

    code = "kind.not_found"
    msgid = gettext_noop("There is no such kind of pool.")


class RunMissing(Missing):
    """No sync run of this id."""

    code = "sync_run.not_found"
    msgid = gettext_noop("There is no such sync run.")


class RunNotHeld(Conflict):
    """Only a run that waits for a person can be approved or rejected."""

    code = "sync_run.not_held"
    msgid = gettext_noop("This run does not wait for a decision; it is %(state)s.")


class UserMissing(Missing):
    """No user of this name or id, or none that the caller may know of."""

    code = "user.not_found"
    msgid = gettext_noop("There is no such user.")


class TokenMissing(Missing):
    """The user has no token of this name that is not revoked."""

    code = "token.not_found"
    msgid = gettext_noop('"%(user)s" has no token named "%(name)s" that is not revoked.')
