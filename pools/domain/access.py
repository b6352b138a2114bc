"""What the one who asks may do. Resolved once a request (selectors.access), then asked by edges and selectors."""

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID
from zlib import crc32

from pools.domain import roles
from pools.domain.errors import Denied
from pools.domain.scopes import EVERYTHING, Scope


@dataclass(frozen=True, slots=True)
class Binding:
    """A role in a project and all below. ``lineage`` are the ids from the root down to the project itself."""

    role: str
    lineage: tuple[UUID, ...]

    @property
    def project_id(self) -> UUID:
        return self.lineage[-1]


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of a user, or of one of its tokens. Nothing at all unless said otherwise."""

    user_id: UUID | None = None
    user_name: str = ""
    platform_roles: frozenset[str] = frozenset()
    bindings: tuple[Binding, ...] = ()
    scope: Scope = field(default=EVERYTHING)
    token_id: UUID | None = None
    token_prefix: str = ""

    @property
    def digest(self) -> str:
        """Hexadecimal digits that differ between those who may see different things."""
        seen = (sorted(self.platform_roles), sorted(map(repr, self.bindings)), self.scope.stored())
        return f"{crc32(repr(seen).encode()):08x}"

    def everywhere(self, noun: str, verb: str) -> bool:
        """True when a platform role allows it on every object, whichever project it belongs to."""
        if self.scope.projects is not None or not self.scope.allows(noun, verb):
            return False
        return any(roles.may(role, noun, verb) for role in self.platform_roles)

    def reaching(self, noun: str, verb: str) -> tuple[Binding, ...]:
        """Return the bindings that allow it in their projects and all below."""
        if not self.scope.allows(noun, verb):
            return ()
        return tuple(binding for binding in self.bindings if roles.may(binding.role, noun, verb))

    def somewhere(self, noun: str, verb: str) -> bool:
        """True when there can be an object on which this is allowed."""
        if noun == roles.MINE:
            return self.user_id is not None and self.scope.allows(noun, verb)
        return self.everywhere(noun, verb) or bool(self.reaching(noun, verb))

    def within(self, noun: str, verb: str, lineage: Collection[UUID]) -> bool:
        """True when it is allowed in the project with this lineage; an empty lineage is the platform itself."""
        if self.everywhere(noun, verb):
            return True
        return any(binding.project_id in lineage for binding in self.reaching(noun, verb))

    def require(self, noun: str, verb: str, lineage: Collection[UUID] | None = None) -> None:
        """Raise Denied unless it is allowed in that project (None: anywhere)."""
        if not (self.somewhere(noun, verb) if lineage is None else self.within(noun, verb, lineage)):
            raise Denied

    def may_give(self, role: str, lineage: Collection[UUID]) -> bool:
        """True when this one may make somebody ``role`` in the project: an administrator, or not above the own role."""
        if self.everywhere("member", "create"):
            return True
        own = self.reaching("member", "create")
        return any(b.project_id in lineage and roles.gives(b.role, role) for b in own)


NOBODY = Access()
SYSTEM = Access(user_name="system", platform_roles=frozenset({"admin"}))
"""ocenter itself and whoever runs its commands on the machine."""
