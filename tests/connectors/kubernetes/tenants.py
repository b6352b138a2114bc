"""What the double lets the account of a namespace do: look into its own namespace, and run pods there in its quota.

The account has what its RoleBinding says, of which the double knows the role ``edit``. Refusals are recorded.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from tests.connectors.kubernetes.applying import Place, place
from tests.connectors.server import Answer, Seen, json_answer

Object = dict[str, Any]
READABLE = ("resourcequotas", "pods", "localqueues")


class Tenants:
    """The half of a cluster that accounts of namespaces see."""

    objects: dict[str, dict[str, Object]]
    accounts: dict[str, tuple[str, str]]
    recorded: Callable[[str], Any]
    recorded_answer: Callable[..., Answer]
    at: Callable[[str], Object | None]
    _born: Callable[[Place, Object], Object]

    def as_account(self, seen: Seen) -> Answer:
        """Answer somebody who is not ocenter."""
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        path, uid = self.accounts.get(token, ("", ""))
        account = self.at(path) if path else None
        if account is None or account["metadata"]["uid"] != uid:
            return self.recorded_answer("error_401_unauthorized")
        home = place(path).namespace
        if not seen.path.startswith(f"/api/v1/namespaces/{home}/") and not seen.path.startswith("/apis/kueue"):
            return self._forbidden(place(seen.path), home)
        where = place(seen.path)
        if where.namespace != home or where.resource not in READABLE or not self._may_edit(home):
            return self._forbidden(where, home)
        if seen.method == "POST" and where.resource == "pods":
            return self._run(where, msgspec.json.decode(seen.body))
        if seen.method != "GET":
            return self._forbidden(where, home)
        if where.name:
            found = self.at(seen.path)
            return json_answer(found) if found else self.recorded_answer("error_404_not_found")
        return json_answer({"kind": "List", "items": list(self.objects.get(where.collection, {}).values())})

    def _may_edit(self, namespace: str) -> bool:
        bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        return any(item["roleRef"]["name"] == "edit" for item in self.objects.get(bindings, {}).values())

    def _forbidden(self, where: Place, home: str) -> Answer:
        told = self.recorded("error_403_forbidden")
        scope = f'in the namespace "{where.namespace}"' if where.namespace else "at the cluster scope"
        told["message"] = f'{where.resource} is forbidden: User "system:serviceaccount:{home}" cannot do that {scope}'
        return json_answer(told, status=403)

    def _run(self, where: Place, body: Object) -> Answer:
        """Let a pod in when the namespace's quota has room for it; a resource that it does not name has no limit."""
        asked = _requests(body)
        for quota in self.objects.get(f"/api/v1/namespaces/{where.namespace}/resourcequotas", {}).values():
            hard = quota["spec"]["hard"]
            pods = self.objects.get(where.collection, {}).values()
            used = sum((_requests(pod) for pod in pods), Counter[str]())
            over = {key: count for key, count in asked.items() if key in hard and used[key] + count > int(hard[key])}
            if over:
                told = self.recorded("error_403_quota_exceeded")
                limits = ", ".join(f"{key}={hard[key]}" for key in over)
                told["message"] = f'pods "{body["metadata"]["name"]}" is forbidden: exceeded quota, limited: {limits}'
                return json_answer(told, status=403)
        return json_answer(self._born(where, body), status=201)


def _requests(pod: Object) -> "Counter[str]":
    """What a pod asks for, by the keys of quotas."""
    found: Counter[str] = Counter()
    for container in pod["spec"]["containers"]:
        for name, count in container["resources"]["requests"].items():
            found[f"requests.{name}"] += int(count)
    return found
