"""One test for what everybody may do everywhere: every address x every role x every place, and nobody at all.

A subclass names its addresses and says how somebody asks. What must come out is worked out from the table of rights
(`pools.domain.roles`) and the words below, by none of the code that decides.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from pools.domain import roles
from pools.selectors import access
from tests import factories

Reach = Literal["anywhere", "platform", "pool", "project", "within", "above", "mine", "anybody", "theirs"]
Verdict = Literal["let in", "unknown", "forbidden", "log in"]

# Where a project role is held, seen from the project acme/vision that is asked for.
HELD_AT = {
    "own": "acme/vision",
    "parent": "acme",
    "child": "acme/vision/ocr",
    "sibling": "acme/audio",
    "foreign": "umbrella",
}


class Address(msgspec.Struct, frozen=True):
    """One method of one address, and the right it needs.

    ``reach`` is of what: ``anywhere`` a list or the making of something, for which a right somewhere is enough;
    ``platform`` an object of the platform, of which others may not even know; ``pool`` a pool, of which those know
    whose project may use it; ``project`` something in a project; ``within`` something of a project that has an
    address of its own, of which those know who may read such things there; ``above`` what is for the project above;
    ``mine`` what belongs to whoever is logged in; ``theirs`` the same, asked for what is somebody else's; ``anybody``
    what needs no log-in.
    """

    method: str
    path: str
    noun: str = ""
    verb: str = ""
    reach: Reach = "anywhere"


class Case(msgspec.Struct, frozen=True):
    """Somebody at an address: ``role`` None is nobody, ``place`` where the role is held (empty: on the platform)."""

    address: Address
    role: str | None
    place: str = ""

    @property
    def name(self) -> str:
        return f"{self.address.method} {self.address.path} by {self.role or 'nobody'} {self.place}".rstrip()


def people() -> Iterator[tuple[str | None, str]]:
    """Yield (role, place) of everybody there is."""
    yield None, ""
    for role in roles.PLATFORM_ROLES:
        yield role, ""
    for role in roles.PROJECT_ROLES:
        for place in HELD_AT:
            yield role, place


def verdict(case: Case) -> Verdict:
    """Return what must come out."""
    address, role = case.address, case.role
    if address.reach == "anybody":
        return "let in"
    if role is None:
        return "log in"
    if address.reach == "mine":
        return "let in"
    if address.reach == "theirs":
        return "unknown"
    may = address.verb in roles.RIGHTS[role].get(address.noun, ())
    if address.reach == "anywhere":
        return "let in" if may else "forbidden"
    is_of_platform = role in roles.PLATFORM_ROLES
    if address.reach == "platform":
        return _told(may and is_of_platform, knows=is_of_platform and "read" in roles.RIGHTS[role][address.noun])
    if address.reach == "pool":
        knows = is_of_platform or case.place in ("own", "parent", "child")
        return _told(may and knows and (is_of_platform or address.verb == "read"), knows=knows)
    knows = is_of_platform or case.place in ("own", "parent")
    if address.reach == "within":
        knows = knows and "read" in roles.RIGHTS[role].get(address.noun, ())
    decides = is_of_platform or case.place == "parent" if address.reach == "above" else knows
    return _told(may and decides, knows=knows)


def _told(may: bool, *, knows: bool) -> Verdict:
    if may:
        return "let in"
    return "forbidden" if knows else "unknown"


class PermissionTest(TestCase):
    """Inherit it, name ``ADDRESSES``, and say how somebody asks and what the answer means."""

    __test__ = False
    ADDRESSES: ClassVar[tuple[Address, ...]]
    CASES_AT_LEAST: ClassVar[int]
    users: ClassVar[dict[tuple[str | None, str], Any]]
    names: ClassVar[dict[str, str]]
    """What stands for {pool}, {project} and so on in an address."""

    @classmethod
    def setUpTestData(cls) -> None:
        access.forget()
        for path in HELD_AT.values():
            factories.project(path)
        cls.users = {}
        for role, place in people():
            if role in roles.PLATFORM_ROLES:
                cls.users[role, place] = factories.person(f"{role}-somewhere", role)
            elif role is not None:
                user = cls.users[role, place] = factories.person(f"{role}-{place}")
                factories.project(HELD_AT[place], **{role: user})
        cls.names = cls.things()

    @classmethod
    def things(cls) -> dict[str, str]:
        """Make what the addresses are about and return what stands for each {word} of them."""
        raise NotImplementedError

    def ask(self, address: Address, user: Any) -> Any:
        """Send the request as this user, None for nobody, and return the response."""
        raise NotImplementedError

    def told(self, response: Any) -> Verdict:
        """Return what a response means."""
        raise NotImplementedError

    def known_addresses(self) -> set[Any]:
        """Return every address there really is, in the form of ``named_addresses``."""
        raise NotImplementedError

    def named_addresses(self) -> set[Any]:
        """Return the addresses of the table as (method, path)."""
        return {(address.method, address.path) for address in self.ADDRESSES}

    def test_nobody_gets_more_or_less_than_the_table_says(self) -> None:
        wrong = []
        cases = [Case(address, *who) for address in self.ADDRESSES for who in people()]
        for case in cases:
            mark = transaction.savepoint()
            found = self.told(self.ask(case.address, self.users.get((case.role, case.place))))
            transaction.savepoint_rollback(mark)
            if found != verdict(case):
                wrong.append(f"{case.name}: {found}, and {verdict(case)} is right")
        assert not wrong, f"{len(wrong)} of {len(cases)} cases:\n" + "\n".join(wrong)
        assert len(cases) >= self.CASES_AT_LEAST

    def test_no_address_is_missing_from_the_table(self) -> None:
        assert self.named_addresses() == self.known_addresses()

    def test_what_one_may_not_know_of_looks_like_what_is_not_there(self) -> None:
        """Not only the status: the same body but for the request's id, and the same number of queries."""
        foreigner = self.users["owner", "foreign"]
        for address in self.ADDRESSES:
            if verdict(Case(address, "owner", "foreign")) != "unknown":
                continue
            absent = msgspec.structs.replace(address, path=self.absent(address.path))
            one, other = self._seen(address, foreigner), self._seen(absent, foreigner)
            assert one == other, f"{address.method} {address.path}: {one} and {other}"

    def absent(self, path: str) -> str:
        """Return the address with nothing that there is in it."""
        nothing = dict.fromkeys(self.names, "01900000-0000-7000-8000-000000000000")
        return path.format(**nothing)

    def _seen(self, address: Address, user: Any) -> tuple[int, Any, int]:
        self.ask(address, user)  # what is kept by the process is kept now
        mark = transaction.savepoint()
        with CaptureQueriesContext(connection) as queries:
            response = self.ask(address, user)
        transaction.savepoint_rollback(mark)
        return response.status_code, self.comparable(response), len(queries)

    def comparable(self, response: Any) -> Any:
        """Return what of a response must not differ."""
        raise NotImplementedError
