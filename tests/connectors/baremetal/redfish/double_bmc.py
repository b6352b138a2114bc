"""A management controller in this process: a recorded tree over real TLS, with log-ins, power and the boot override."""

import base64
import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.connectors.server import Answer, Authority, FaultServer, Seen, json_answer, serving

RECORDED = Path(__file__).parent / "recorded"
USER, PASSWORD = "admin", "controller-secret-1"
MAKERS = ("dell-r750-h100", "gh200", "hpe-dl380a-h100nvl", "lenovo-sr670", "supermicro-gb300")
RESETS = ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]
CA = Authority("Controllers' CA")


def tree(maker: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"{maker}.json").read_text())
    return found


class Bmc:
    """Answers from a tree. A reset takes ``looks`` reads of the system; ``says`` are the states in between."""

    def __init__(self, maker: str = "hpe-dl380a-h100nvl") -> None:
        self.tree = copy.deepcopy(tree(maker))
        systems = [path for path in self.tree if path.count("/") == 4 and "/Systems/" in path]
        self.path = next(path for path in systems if "Bios" in self.tree[path])
        self.system["Actions"] = {
            "#ComputerSystem.Reset": {
                "target": f"{self.path}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": list(RESETS),
            }
        }
        self.has_sessions, self.has_transitions, self.looks = True, True, 1
        self.sessions: dict[str, str] = {}
        self.resets: list[str] = []
        self.boots: list[Any] = []
        self._coming: tuple[int, str] | None = None

    @property
    def system(self) -> dict[str, Any]:
        found: dict[str, Any] = self.tree[self.path]
        return found

    def __call__(self, seen: Seen) -> Answer:
        path = seen.path.rstrip("/")
        if path == "/redfish/v1/SessionService/Sessions" and seen.method == "POST":
            return self._log_in(json.loads(seen.body))
        if path != "/redfish/v1" and not self._is_known(seen):
            return _refusal(401, "There is no valid session.")
        if seen.method == "DELETE":
            self.sessions = {token: place for token, place in self.sessions.items() if place != path}
            return Answer(status=204)
        if seen.method == "POST":
            return self._reset(json.loads(seen.body)["ResetType"])
        if seen.method == "PATCH":
            self.boots.append(json.loads(seen.body)["Boot"])
            return Answer(status=204)
        if path == self.path:
            self._look()
        return json_answer(self.tree[path]) if path in self.tree else _refusal(404, f"{path} was not found.")

    def _log_in(self, body: dict[str, str]) -> Answer:
        if not self.has_sessions:
            return _refusal(405, "Sessions are not offered.")
        if (body["UserName"], body["Password"]) != (USER, PASSWORD):
            return _refusal(401, f"Authentication failed for {body['Password']}.")
        token, place = f"token-{len(self.sessions)}", f"/redfish/v1/SessionService/Sessions/{len(self.sessions)}"
        self.sessions[token] = place
        return json_answer({"Id": "0"}, status=201, headers={"X-Auth-Token": token, "Location": place})

    def _is_known(self, seen: Seen) -> bool:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return seen.headers.get("x-auth-token") in self.sessions or seen.headers.get("authorization") == basic

    def _reset(self, kind: str) -> Answer:
        self.resets.append(kind)
        wanted = "Off" if kind in ("ForceOff", "GracefulShutdown") else "On"
        if self.has_transitions:
            self.system["PowerState"] = f"Powering{wanted}"
        self._coming = (self.looks, wanted)
        return Answer(status=204)

    def _look(self) -> None:
        if self._coming is None:
            return
        left, wanted = self._coming
        self._coming = (left - 1, wanted) if left > 1 else None
        if left <= 1:
            self.system["PowerState"] = wanted


def _refusal(status: int, words: str) -> Answer:
    return json_answer({"error": {"code": "Base.1.0.GeneralError", "message": words}}, status=status)


@contextmanager
def controlled(bmc: Bmc) -> Iterator[FaultServer]:
    """Serve a controller with a certificate of ``CA``."""
    with serving(bmc, identity=CA.identity()) as server:
        yield server
