"""Platforms and providers that tell everybody what they were told: each answer quotes the request, secrets and all."""

import base64
from urllib.parse import quote

from tests.connectors.server import Answer, Seen, json_answer


def platform(seen: Seen) -> Answer:
    """Refuse, and quote the request in every form."""
    status = 401 if "tokens" in seen.path else 403
    return json_answer({"kind": "Status", "message": f"Not you: {quoted(seen)}"}, status=status)


def provider(base: str, seen: Seen) -> Answer:
    """An OpenID Connect provider whose token endpoint always fails, in its own words."""
    if seen.path.endswith("/.well-known/openid-configuration"):
        return json_answer(
            {
                "issuer": base,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "userinfo_endpoint": f"{base}/userinfo",
                "jwks_uri": f"{base}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )
    return json_answer({"error": "invalid_client", "error_description": quoted(seen)}, status=400)


def quoted(seen: Seen) -> str:
    """Return all of the request, plain, escaped for an address and in base64."""
    plain = f"{seen.method} {seen.path} {seen.query} {seen.headers} {seen.body.decode(errors='replace')}"
    secret = seen.headers.get("authorization", "").removeprefix("Bearer ")
    return f"{plain} {quote(secret, safe='')} {base64.b64encode(secret.encode()).decode()}"
