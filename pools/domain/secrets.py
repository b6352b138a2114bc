"""Keep secrets out of what is stored for people to read."""

from collections.abc import Collection, Mapping
from typing import Any, Final

CENSORED: Final = "***"
# Names that hold secrets wherever they stand, beside those that manifests declare.
ALWAYS_SECRET: Final = frozenset(
    {"ciphertext", "credential", "kubeconfig", "passphrase", "password", "private_key", "secret", "token"}
)


def censored(value: Any, secret_names: Collection[str] = ALWAYS_SECRET) -> Any:
    """Return a copy of a JSON value in which whatever stands under a secret name is ``***``, at any depth."""
    if isinstance(value, Mapping):
        return {
            name: CENSORED if str(name).lower() in secret_names and inner is not None else censored(inner, secret_names)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [censored(inner, secret_names) for inner in value]
    return value
