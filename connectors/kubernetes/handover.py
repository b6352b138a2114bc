"""What a tenant is handed to work in its namespace: a kubeconfig whose token ends with the lease.

Source: Kubernetes API reference v1.36, TokenRequest; kubeconfig v1.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from connectors.contract import Delivery, Order, Permanent, Target
from connectors.http import Http
from connectors.kubernetes import intent
from connectors.kubernetes.access import Access
from connectors.kubernetes.payloads import IssuedToken

LEAST_SECONDS = 600
MOST_SECONDS = 24 * 3600


def kubeconfig(http: Http, access: Access, target: Target, orders: Sequence[Order]) -> Delivery:
    """Ask for a token and wrap it. Raises Permanent ``invalid`` after the end of the lease, and what ``Http`` raises.

    The platform may give less time than was asked for, so its answer says when the token ends.
    """
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _seconds(target, orders, datetime.now(UTC))},
    }
    answer = http.send("POST", f"{intent.account_path(target)}/token", body=asked)
    issued = http.decode(answer, IssuedToken).status
    return Delivery(
        kind="kubeconfig",
        facts={"namespace": target.ref, "server": access.url},
        secrets={"kubeconfig": _text(access, target, issued.token)},
        expires_at=issued.expiration_timestamp,
    )


def _seconds(target: Target, orders: Sequence[Order], now: datetime) -> int:
    """Until the last lease ends, at most a day (it is renewed), and not less than the platform's ten minutes.

    As a span it holds by any clock. What is left beyond the lease ends with the account when the target is given back.
    """
    ends = [datetime.fromisoformat(order.lease_end_at) for order in orders if order.lease_end_at]
    if len(ends) < len(orders) or not ends:
        return MOST_SECONDS
    left_seconds = int((max(ends) - now).total_seconds())
    if left_seconds <= 0:
        raise Permanent(f"The lease of {target.ref} is over. Extend it, and ask for access again.", code="invalid")
    return max(LEAST_SECONDS, min(MOST_SECONDS, left_seconds))


def _text(access: Access, target: Target, token: str) -> str:
    cluster: dict[str, Any] = {"server": access.url}
    if access.tls.ca_pem:
        cluster["certificate-authority-data"] = access.ca_data
    name = target.ref
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": target.ref}}],
            "current-context": name,
        },
        sort_keys=False,
    )
