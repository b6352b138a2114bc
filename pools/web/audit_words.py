"""The words for what the audit holds: logs, kinds of objects, and fields beside those of the inventory."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Word = tuple["str | Promise", str]

OBJECT_KINDS: Final[dict[str, Word]] = {
    "project": (_("Project"), ""),
    "member": (_("Member"), ""),
    "invitation": (_("Invitation"), ""),
    "service_account": (_("Service account"), ""),
    "sso_group": (_("Group"), ""),
    "user": (_("User"), ""),
    "session": (_("Session"), ""),
    "token": (_("Token"), ""),
    "credential": (_("Credential"), ""),
    "sync_run": (_("Sync run"), ""),
    "audit": (_("Audit"), ""),
    "ledger": (_("Ledger"), ""),
    "allocation": (_("Allocation"), ""),
    "quota": (_("Quota"), ""),
    "flavor": (_("Flavor"), ""),
    "price": (_("Price"), ""),
    "orphan": (_("Orphan"), ""),
    "drift": (_("Drift"), ""),
}

STREAMS: Final[dict[str, Word]] = {
    "audit_event": (_("the audit"), ""),
    "ledger_event": (_("the ledger"), ""),
}

FIELDS: Final[dict[str, Word]] = {
    "address": (_("Address"), ""),
    "asked_by": (_("Asked for by"), ""),
    "because": (_("Reason"), ""),
    "changes_per_minute": (_("Changes a minute, at most"), ""),
    "credential_fields": (_("Secrets"), ""),
    "drift_policy": (_("Drift"), ""),
    "display_name": (_("Name shown"), ""),
    "email": (_("E-mail address"), ""),
    "expires_at": (_("Ends"), ""),
    "group": (_("Group"), ""),
    "identity": (_("Identity"), ""),
    "identity_label": (_("What answered"), ""),
    "is_active": (_("Switched on"), ""),
    "is_ok": (_("Unaltered"), ""),
    "kind": (_("Platform"), ""),
    "language": (_("Language"), ""),
    "method": (_("Log in with"), ""),
    "mode": (_("Mode"), ""),
    "path": (_("Path"), ""),
    "prefix": (_("Prefix"), ""),
    "project": (_("Project"), ""),
    "quotas": (_("Quotas"), ""),
    "region": (_("Region"), ""),
    "role": (_("Role"), ""),
    "roles": (_("Roles"), ""),
    "scope": (_("Limits"), ""),
    "settings": (_("Settings"), ""),
    "state": (_("State"), ""),
    "sync_interval_seconds": (_("Seconds between observations"), ""),
    "time_zone": (_("Time zone"), ""),
    "user": (_("User"), ""),
    "username": (_("User name"), ""),
    "version": (_("Version"), ""),
}
