"""Where a cluster's API server is and how we prove who we are: from settings, a kubeconfig, or the pod we run in."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from connectors.contract import Permanent
from connectors.tls import Tls

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER_URL = "https://kubernetes.default.svc"
_ADVICE = "Create a service account for ocenter and give its token instead."
_FILE_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class Access(Struct, frozen=True, kw_only=True):
    """``token_path`` is read again when the server refuses the token: a mounted one is replaced before it ends."""

    url: str
    tls: Tls
    token: str = ""
    token_path: Path | None = None
    proxy: str = ""
    page_size: int = 500
    is_compressed: bool = False

    def headers(self, is_refused: bool) -> dict[str, str]:
        """The proof of who we are, as the HTTP client asks for it."""
        token = _read(self.token_path) if self.token_path else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def ca_data(self) -> str:
        """The certificate authority as a kubeconfig holds it."""
        return base64.b64encode(self.tls.ca_pem.encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen."""
        token = _read(self.token_path) if self.token_path else self.token
        return tuple(secret for secret in (token, self.tls.client_key_pem) if secret)


def read(settings: Mapping[str, Any], credential: Mapping[str, Any]) -> Access:
    """Return how to reach the cluster. Raises Permanent ``invalid_settings`` that says what to change.

    Settings win over the kubeconfig where both tell the same thing.
    """
    if settings.get("in_cluster"):
        return _in_cluster(settings)
    told = _kubeconfig(credential.get("kubeconfig") or "", settings.get("context") or "")
    url = settings.get("api_url") or told["url"]
    token = (credential.get("token") or told["token"]).strip()
    if not url:
        raise _invalid("Give the URL of the API server, or a kubeconfig that has it.")
    if not token and not told["certificate"]:
        raise _invalid("Give a token, or a kubeconfig that has a token or a client certificate.")
    if any(character.isspace() or not character.isascii() for character in token):
        raise _invalid("The token is broken over several lines or has foreign characters; paste it as one line.")
    tls = _tls(settings, settings.get("ca_pem") or told["ca"], told)
    return Access(
        url=url,
        tls=tls,
        token=token,
        proxy=settings.get("proxy_url") or told["proxy"],
        page_size=settings.get("page_size") or 500,
        is_compressed=bool(settings.get("compress")),
    )


def _in_cluster(settings: Mapping[str, Any]) -> Access:
    token_path = SERVICE_ACCOUNT / "token"
    if not token_path.is_file():
        raise _invalid(
            "The ocenter worker does not run in a pod with a service account, so it has no access of its own. Turn "
            "the setting off and give a token, or mount the service account's token."
        )
    ca_path = SERVICE_ACCOUNT / "ca.crt"
    ca_pem = settings.get("ca_pem") or (_read(ca_path) if ca_path.is_file() else "")
    return Access(
        url=settings.get("api_url") or IN_CLUSTER_URL,
        tls=_tls(settings, ca_pem, _nothing()),
        token_path=token_path,
        proxy=settings.get("proxy_url") or "",
        page_size=settings.get("page_size") or 500,
        is_compressed=bool(settings.get("compress")),
    )


def _tls(settings: Mapping[str, Any], ca_pem: str, told: Mapping[str, str]) -> Tls:
    way = settings.get("tls_verify") or "verify"
    fingerprint = settings.get("tls_fingerprint") or ""
    if way == "fingerprint" and not fingerprint:
        raise _invalid("Give the fingerprint of the server's certificate, or choose another way to check it.")
    if told["insecure"] and way == "verify" and not ca_pem:
        raise _invalid(
            "The kubeconfig turns the check of the server's certificate off. Give the CA certificate or the "
            "fingerprint in the settings, or choose there to check nothing."
        )
    return Tls(
        ca_pem=ca_pem if way == "verify" else "",
        fingerprint=fingerprint if way == "fingerprint" else "",
        is_off=way == "off",
        client_certificate_pem=told["certificate"],
        client_key_pem=told["key"],
    )


# --- kubeconfig -------------------------------------------------------------------------------------------------------


def _nothing() -> dict[str, str]:
    return dict.fromkeys(("url", "ca", "insecure", "proxy", "token", "certificate", "key"), "")


def _kubeconfig(text: str, context_name: str) -> dict[str, str]:
    told = _nothing()
    if not text.strip():
        return told
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid("The kubeconfig is no valid YAML; paste the whole file.") from error
    if not isinstance(config, dict):
        raise _invalid("The kubeconfig is no kubeconfig; paste the whole file.")
    name = context_name or config.get("current-context") or ""
    if not name:
        raise _invalid("The kubeconfig has no current context; name one in the settings.")
    context = _named(config, "contexts", name)
    cluster = _named(config, "clusters", context.get("cluster"))
    user = _named(config, "users", context.get("user"))
    _refuse_foreign(cluster, user)
    told["url"] = str(cluster.get("server") or "")
    told["ca"] = _decoded(cluster, "certificate-authority-data")
    told["insecure"] = "yes" if cluster.get("insecure-skip-tls-verify") else ""
    told["proxy"] = str(cluster.get("proxy-url") or "")
    told["token"] = str(user.get("token") or "")
    told["certificate"] = _decoded(user, "client-certificate-data")
    told["key"] = _decoded(user, "client-key-data")
    if bool(told["certificate"]) != bool(told["key"]):
        raise _invalid("The kubeconfig has a client certificate without its key, or a key without its certificate.")
    return told


def _named(config: Mapping[str, Any], part: str, name: Any) -> Mapping[str, Any]:
    """The entry of a list of {name, <singular of the list>}."""
    entries = config.get(part)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name:
            body = entry.get(part.removesuffix("s"))
            return body if isinstance(body, dict) else {}
    raise _invalid(f"The kubeconfig has no {part.removesuffix('s')} named {str(name)[:100]!r}.")


def _refuse_foreign(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    """Running a program or reading a file that an uploaded text names would hand the worker to whoever wrote it."""
    for key in ("exec", "auth-provider"):
        if user.get(key):
            raise _invalid(f"The kubeconfig logs in with a program ({key}), which ocenter does not run. {_ADVICE}")
    for key in _FILE_KEYS:
        if cluster.get(key) or user.get(key):
            raise _invalid(
                f"The kubeconfig refers to a file ({key}), which ocenter does not read. Use a kubeconfig made by "
                f"`kubectl config view --flatten`, or: {_ADVICE}"
            )
    if user.get("username") or user.get("password"):
        raise _invalid(f"The kubeconfig logs in with a password, which clusters no longer accept. {_ADVICE}")


def _decoded(part: Mapping[str, Any], key: str) -> str:
    try:
        return base64.b64decode(str(part.get(key) or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _invalid(f"{key} in the kubeconfig is no valid base64 text.") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}.") from error


def _invalid(message: str) -> Permanent:
    return Permanent(message, code="invalid_settings")
