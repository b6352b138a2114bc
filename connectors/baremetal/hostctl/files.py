"""The files that a lease has on a host, as text."""

import hashlib

from .document import Document, Lease

KEYS = "/etc/ocenter/keys"


def comment(document: Document, lease: Lease) -> str:
    """Return what an account says of itself. A colon would end the field."""
    return f"ocenter {document.installation} {lease.id}".replace(":", "_").replace(",", "_")


def keys(document: Document, lease: Lease) -> str:
    """Return the account's authorized keys. sshd itself refuses them after the end of the lease, whoever is down."""
    options = ["restrict", "pty"]
    if lease.expires_at is not None:
        options.append(f'expiry-time="{lease.expires_at:%Y%m%d%H%M%S}Z"')
    options += [f'environment="{name}={value}"' for name, value in sorted(lease.env.items())]
    head = f"# ocenter {document.installation} {lease.user} {lease.id}\n"
    return head + "".join(f"{','.join(options)} {' '.join(key.split(' ')[:2])} {lease.id}\n" for key in lease.keys)


def keys_in(text: str) -> frozenset[str]:
    """Return the keys themselves that a file lets in, whatever their options."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return frozenset(" ".join(line.split(" ")[-3:-1]) for line in lines)


def slice_path(uid: int) -> str:
    """Return where the drop-in of a user's slice is."""
    return f"/etc/systemd/system/user-{uid}.slice.d/50-ocenter.conf"


def slice_drop_in(document: Document, lease: Lease) -> str:
    """Return the kernel's device fence and the lease's share of the host, for all log-ins of a user."""
    lines = [f"# ocenter {document.installation} {lease.user} {lease.id}", "[Slice]", "DevicePolicy=closed"]
    lines += [f"DeviceAllow={device} rw" for device in ("char-pts", *lease.nodes)]
    if "memory_mib" in lease.limits:
        lines.append(f"MemoryMax={lease.limits['memory_mib']}M")
    if "cpu_milli" in lease.limits:
        lines.append(f"CPUQuota={max(1, lease.limits['cpu_milli'] // 10)}%")
    if "tasks" in lease.limits:
        lines.append(f"TasksMax={lease.limits['tasks']}")
    return "\n".join(lines) + "\n"


def digest(text: str) -> str:
    """Return what tells one content from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
