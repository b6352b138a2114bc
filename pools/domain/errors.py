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


class PoolHasLeft(Conflict):
    """A removed pool of the same far end may have left something there, and nobody decided about it."""

    code = "pool.has_left"
    msgid = gettext_noop(
        "A removed pool of this platform may have left %(count)s things there. Adopt or reap them first, see Orphans."
    )


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


# --- the audit --------------------------------------------------------------------------------------------------------


class SealKeysMissing(Conflict):
    """No key to sign with."""

    code = "audit.no_keys"
    msgid = gettext_noop("No key to sign with is set. Set OCENTER_SEAL_KEYS.")


class AuditMissing(Missing):
    """What is about the audit as a whole is for the platform only."""

    code = "audit.not_found"
    msgid = gettext_noop("There is no such thing.")


class CheckpointInvalid(Invalid):
    """It is none, or a stranger's."""

    code = "audit.checkpoint"
    msgid = gettext_noop("This is no checkpoint, it was changed, or it was signed by a key that is not known here.")


# --- projects, people and their rights --------------------------------------------------------------------------------


class ProjectMissing(Missing):
    """No project of this path or id, or none that the caller may know of."""

    code = "project.not_found"
    msgid = gettext_noop("There is no such project.")


class ProjectChanged(Stale):
    """Somebody else changed the project first."""

    code = "project.changed"
    msgid = gettext_noop("The project changed after you read it; read it again and retry.")


class ProjectNameTaken(Conflict):
    """Another project has this path."""

    code = "project.name_taken"
    msgid = gettext_noop('Another project is named "%(path)s". Choose another name.')


class ProjectState(Conflict):
    """The project's state does not allow this."""

    code = "project.state"
    msgid = gettext_noop("A project in the state %(state)s cannot become %(wanted)s.")


class ProjectSuspended(Conflict):
    """Nothing new is made in a suspended project or below one."""

    code = "project.suspended"
    msgid = gettext_noop('"%(path)s" is suspended, so nothing new is made there. Resume it first.')


class ProjectArchived(Conflict):
    """An archived project is history and does not change."""

    code = "project.archived"
    msgid = gettext_noop('"%(path)s" is archived. Restore it first.')


class ProjectHasChildren(Conflict):
    """Projects are archived from below."""

    code = "project.has_children"
    msgid = gettext_noop("Archive what is below it first: %(children)s.")


class MemberMissing(Missing):
    """The user has no role of its own in the project; one inherited from above is changed there."""

    code = "member.not_found"
    msgid = gettext_noop("This user has no role in this project itself.")


class MemberExists(Conflict):
    """The user has a role in the project."""

    code = "member.exists"
    msgid = gettext_noop("This user has a role in this project already; change it instead.")


class RoleTooHigh(Denied):
    """Nobody gives or takes a role above the own one."""

    code = "member.role_too_high"
    msgid = gettext_noop("You may not give or take the role %(role)s here: it is above your own.")


class MemberFromSso(Conflict):
    """The identity provider decides on this role."""

    code = "member.from_sso"
    msgid = gettext_noop("This role follows from a group at the identity provider; change the group instead.")


class MemberLastOwner(Conflict):
    """A tenant keeps somebody who is responsible for it."""

    code = "member.last_owner"
    msgid = gettext_noop("This is the last owner. Make somebody else owner first.")


class InvitationMissing(Missing):
    """No invitation of this id or link, or none that the caller may know of."""

    code = "invitation.not_found"
    msgid = gettext_noop("There is no such invitation.")


class InvitationEnded(Conflict):
    """The invitation was accepted or withdrawn, has expired, or its project is archived."""

    code = "invitation.ended"
    msgid = gettext_noop("This invitation was used or withdrawn, or has expired. Ask for a new one.")


class InvitationForOther(Denied):
    """An invitation is for the e-mail address that it was sent to."""

    code = "invitation.for_other"
    msgid = gettext_noop("This invitation is for another e-mail address. Log in with the account that has it.")


class InvitationNeedsLogin(Conflict):
    """Somebody with the invitation's e-mail address has an account."""

    code = "invitation.log_in"
    msgid = gettext_noop("There is an account with this e-mail address. Log in with it, then open the link again.")


class ServiceAccountMissing(Missing):
    """No service account of this name or id, or none that the caller may know of."""

    code = "service_account.not_found"
    msgid = gettext_noop("There is no such service account.")


class ServiceAccountNameTaken(Conflict):
    """The project has a service account of this name."""

    code = "service_account.name_taken"
    msgid = gettext_noop('Another service account here is named "%(name)s". Choose another name.')


class SsoGroupMissing(Missing):
    """No group of this id."""

    code = "sso_group.not_found"
    msgid = gettext_noop("There is no such group.")


class SsoGroupExists(Conflict):
    """The group gives this role there already."""

    code = "sso_group.exists"
    msgid = gettext_noop("This group gives this role there already.")


class UserChanged(Stale):
    """Somebody else changed the user first."""

    code = "user.changed"
    msgid = gettext_noop("The user changed after you read it; read it again and retry.")


class UserNameTaken(Conflict):
    """Another user has this name, in whatever case."""

    code = "user.name_taken"
    msgid = gettext_noop('Another user is named "%(name)s". Choose another name.')


class UserLastAdmin(Conflict):
    """Somebody must be left who may do everything."""

    code = "user.last_admin"
    msgid = gettext_noop("This is the last administrator who can log in. Make somebody else administrator first.")


# --- the others -------------------------------------------------------------------------------------------------------


class NodeMissing(Missing):
    """No node of this id."""

    code = "node.not_found"
    msgid = gettext_noop("There is no such node.")


class DeviceMissing(Missing):
    """No device of this id."""

    code = "device.not_found"
    msgid = gettext_noop("There is no such device.")


class DeviceNoTwin(Conflict):
    """Only one pool shows the card, so that one gives it out."""

    code = "device.no_twin"
    msgid = gettext_noop("No other pool shows this card.")


class DevicePromised(Conflict):
    """The pool that gives the card out has a claim, a hold, a booking or a marker on it."""

    code = "device.promised"
    msgid = gettext_noop('The pool "%(pool)s" has given this card out or promised it; release or move that first.')


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


class UserWithoutLogIn(Conflict):
    """Service accounts have tokens, and who is switched off has nothing."""

    code = "user.no_log_in"
    msgid = gettext_noop('"%(name)s" cannot log in: it is a service account or switched off.')


class SessionMissing(Missing):
    """The user has no such session, or it ended."""

    code = "session.not_found"
    msgid = gettext_noop("There is no such session.")


class TokenMissing(Missing):
    """No token of this id, or none that the caller may know of."""

    code = "token.not_found"
    msgid = gettext_noop("There is no such token.")


class TokenNameMissing(TokenMissing):
    """The user has no token of this name that is not revoked."""

    msgid = gettext_noop('"%(user)s" has no token named "%(name)s" that is not revoked.')


class TokenEnded(Conflict):
    """The token has no successor: it ended, or has one already."""

    code = "token.ended"
    msgid = gettext_noop("This token was revoked, has expired or was rotated already. Make a new one.")


# --- requests ---------------------------------------------------------------------------------------------------------


class KeyInProgress(Conflict):
    """The first request with this Idempotency-Key still runs."""

    code = "idempotency.in_progress"
    msgid = gettext_noop("A request with this Idempotency-Key still runs; ask again in a moment.")


class KeyUsed(Conflict):
    """The Idempotency-Key was answered before; the edge tells that answer and nobody sees this."""

    code = "idempotency.used"
    msgid = gettext_noop("This Idempotency-Key was answered before; ask again to be told the answer.")


class KeyReused(Invalid):
    """An Idempotency-Key stands for one request and nothing else."""

    code = "idempotency.key_reused"
    msgid = gettext_noop("This Idempotency-Key was used for another request. Use a new key for a new request.")


# --- flavors and prices -----------------------------------------------------------------------------------------------


class FlavorMissing(Missing):
    """No flavor of this name or id."""

    code = "flavor.not_found"
    msgid = gettext_noop("There is no such flavor.")


class FlavorNameTaken(Conflict):
    """Another flavor has this name."""

    code = "flavor.name_taken"
    msgid = gettext_noop('Another flavor is named "%(name)s". Choose another name.')


class FlavorChanged(Stale):
    """Somebody else changed the flavor first."""

    code = "flavor.changed"
    msgid = gettext_noop("The flavor changed after you read it; read it again and retry.")


class PriceExists(Conflict):
    """The same thing has another price from the same instant on."""

    code = "price.exists"
    msgid = gettext_noop("There is a price of the same from that instant on; give another instant.")


# --- allocations ------------------------------------------------------------------------------------------------------


class AllocationMissing(Missing):
    """No allocation of this id, or none that the caller may know of."""

    code = "allocation.not_found"
    msgid = gettext_noop("There is no such allocation.")


class AllocationChanged(Stale):
    """Somebody else changed the allocation first."""

    code = "allocation.changed"
    msgid = gettext_noop("The allocation changed after you read it; read it again and retry.")


class AllocationState(Conflict):
    """The allocation's state does not allow this."""

    code = "allocation.state"
    msgid = gettext_noop("This is not possible for an allocation in the state %(state)s.")


class NotDelivered(Conflict):
    """No platform handed anything over for it yet."""

    code = "allocation.not_delivered"
    msgid = gettext_noop("Nothing was handed over for this allocation yet.")


class HoldExpired(Conflict):
    """The time of the hold is over, and what it kept is anybody's."""

    code = "allocation.hold_expired"
    msgid = gettext_noop("The time of this hold is over. Ask again for what it kept.")


class LeaseBooked(Conflict):
    """What it has is promised to others from ``until_at`` on.

    ``fields`` say to whom, as far as the asking one may know; ``lease_seconds`` is the longest lease that is possible.
    """

    code = "allocation.booked"
    msgid = gettext_noop(
        "What this allocation has is booked from %(until_at)s on. A lease of at most %(lease_seconds)s seconds is "
        "possible."
    )


class LeaseOver(Conflict):
    """The lease has ended; what it kept is being given back."""

    code = "allocation.lease_over"
    msgid = gettext_noop("This lease is over. Ask again for what it kept.")


class LeasePreempted(Conflict):
    """It was told to make room for another; its lease cannot last longer."""

    code = "allocation.preempted"
    msgid = gettext_noop("This allocation has to make room for another, so its lease cannot be extended.")


class VictimsChanged(Conflict):
    """Others would have to give way now than those who were named."""

    code = "allocation.victims_changed"
    msgid = gettext_noop("Who would have to give way changed meanwhile. Ask what-if again, and name those it names.")


class NoTimeToSave(Conflict):
    """The allocation is not in its time to save."""

    code = "allocation.before_end"
    msgid = gettext_noop("It is not in the time to save before its end.")


class RoomBooked(Conflict):
    """Something is promised to the allocation already."""

    code = "allocation.room_booked"
    msgid = gettext_noop("Room is booked for this allocation already.")


class NoCapacity(Conflict):
    """Nothing that is free fits. ``reason`` is the code of what comes nearest to a fit (domain.refusals)."""

    code = "allocation.no_capacity"
    msgid = gettext_noop(
        "Nothing that is free fits this request (%(reason)s). Ask for less, or let it wait in the queue."
    )


class QuotaExceeded(Conflict):
    """A quota has no room. ``wanted`` and ``available`` are in milli-devices, or milli compute units."""

    code = "quota.exceeded"
    msgid = gettext_noop(
        "The quota has no room for this (%(reason)s): %(wanted)s thousandths were asked for, %(available)s are left."
    )


# --- trouble ----------------------------------------------------------------------------------------------------------


class OrphanMissing(Missing):
    """No orphan of this id."""

    code = "orphan.not_found"
    msgid = gettext_noop("There is no such orphan.")


class OrphanClosed(Conflict):
    """The orphan is over: a sync saw nothing of it any more, or somebody decided already."""

    code = "orphan.closed"
    msgid = gettext_noop("This orphan is over: nothing of it is seen any more, or somebody decided already.")


class OrphanFresh(Conflict):
    """The grace time is not over."""

    code = "orphan.too_fresh"
    msgid = gettext_noop("This orphan may be reaped from %(at)s on. Look until then whether somebody needs it.")


class OrphanNotOurs(Conflict):
    """The platform says that somebody else made it."""

    code = "orphan.not_ours"
    msgid = gettext_noop("The platform says that this installation did not make it, so it is left alone.")


class OrphanUnknown(Conflict):
    """No allocation ever had this marker."""

    code = "orphan.unknown"
    msgid = gettext_noop("No allocation that ocenter knows has this marker, so it can only be reaped.")


class OrphanOver(Conflict):
    """The allocation of this marker is over."""

    code = "orphan.over"
    msgid = gettext_noop("The allocation of this marker is over, so it can only be reaped.")


class OrphanWithoutPool(Conflict):
    """The pool was removed, and no other stands for its far end."""

    code = "orphan.without_pool"
    msgid = gettext_noop("The pool was removed. Register its platform anew and check it; then this can be handed over.")


class OrphanElsewhere(Conflict):
    """The allocation of this marker holds nothing in this pool."""

    code = "orphan.elsewhere"
    msgid = gettext_noop("The allocation of this marker holds nothing in this pool, so this can only be reaped.")


class DriftMissing(Missing):
    """No drift of this id."""

    code = "drift.not_found"
    msgid = gettext_noop("There is no such difference.")


class DriftClosed(Conflict):
    """The drift is over."""

    code = "drift.closed"
    msgid = gettext_noop("This difference is over: the platform agrees again, or somebody decided already.")


class DriftNotOurs(Conflict):
    """Somebody else made what is there."""

    code = "drift.not_ours"
    msgid = gettext_noop("Somebody else made what is there, so ocenter leaves it alone. Remove it there, or ignore it.")


class DriftNotAdoptable(Conflict):
    """Everything that was ordered is there at least in part."""

    code = "drift.not_adoptable"
    msgid = gettext_noop(
        "Something of each allocation is still there, and what ocenter ordered cannot be changed to that. Repair it."
    )
