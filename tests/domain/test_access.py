"""Rights: the table, and how far a role or a token reaches."""

from uuid import UUID

import pytest

from pools.domain import roles, scopes
from pools.domain.access import NOBODY, SYSTEM, Access, Binding
from pools.domain.errors import Denied, Invalid
from pools.domain.scopes import Scope

ACME, VISION, OCR, OTHER = (UUID(int=number) for number in range(1, 5))


def bound(role: str, *lineage: UUID, scope: Scope = scopes.EVERYTHING) -> Access:
    return Access(UUID(int=99), "ann", frozenset(), (Binding(role, lineage),), scope)


class TestTheTable:
    def test_lets_the_auditor_read_everything_and_change_nothing(self):
        assert all(verbs == {"read"} for verbs in roles.RIGHTS["auditor"].values())
        assert set(roles.RIGHTS["auditor"]) == set(roles.NOUNS)

    def test_gives_nobody_more_than_the_administrator(self):
        for role in roles.ROLES:
            for noun, verbs in roles.RIGHTS[role].items():
                assert verbs <= roles.RIGHTS["admin"][noun], (role, noun)

    def test_gives_each_project_role_all_that_the_lower_ones_have(self):
        for higher, lower in zip(roles.PROJECT_ROLES, roles.PROJECT_ROLES[1:], strict=False):
            for noun, verbs in roles.RIGHTS[lower].items():
                assert verbs <= roles.RIGHTS[higher][noun], (higher, lower, noun)

    def test_shows_hosts_to_no_role_of_a_project(self):
        for role in roles.PROJECT_ROLES:
            for noun in ("node", "device", "sync_run", "kind", "user", "session", "system", "platform_role"):
                assert not roles.RIGHTS[role][noun], (role, noun)


class TestAccess:
    def test_is_none_for_nobody_and_all_for_ocenter_itself(self):
        for noun in roles.NOUNS:
            assert not NOBODY.somewhere(noun, "read") and SYSTEM.everywhere(noun, "read")
        assert not NOBODY.somewhere(roles.MINE, "read")

    def test_of_a_role_in_a_project_reaches_down_and_not_up_or_aside(self):
        access = bound("manager", ACME, VISION)

        assert access.within("member", "create", [ACME, VISION]) and access.within(
            "member", "create", [ACME, VISION, OCR]
        )
        assert not access.within("member", "create", [ACME]) and not access.within("member", "create", [OTHER])
        assert not access.within("project", "create", []) and not access.everywhere("project", "read")

    def test_to_what_is_ones_own_needs_no_role(self):
        assert Access(UUID(int=9), "new").somewhere(roles.MINE, "edit")

    def test_that_is_missing_is_denied(self):
        with pytest.raises(Denied):
            bound("viewer", ACME).require("member", "create", [ACME])

    def test_never_lets_one_give_a_role_above_the_own(self):
        manager = bound("manager", ACME)

        assert manager.may_give("member", [ACME, VISION]) and manager.may_give("manager", [ACME])
        assert not manager.may_give("owner", [ACME]) and not manager.may_give("member", [OTHER])
        assert not bound("member", ACME).may_give("viewer", [ACME]) and SYSTEM.may_give("owner", [ACME])


class TestATokensScope:
    def test_takes_away_and_never_adds(self):
        reads = bound("viewer", ACME, scope=Scope(verbs=frozenset({"read", "create"})))

        assert reads.within("project", "read", [ACME]) and not reads.within("project", "create", [ACME])

    def test_shuts_out_other_nouns_also_what_is_ones_own(self):
        access = bound("owner", ACME, scope=Scope(nouns=frozenset({"project"})))

        assert access.somewhere("project", "read")
        assert not access.somewhere("member", "read") and not access.somewhere(roles.MINE, "read")

    def test_of_projects_ends_the_reach_over_the_platform(self):
        access = Access(UUID(int=9), "root", frozenset({"admin"}), (), Scope(projects=frozenset({ACME})))

        assert not access.everywhere("pool", "read")

    def test_survives_being_stored(self):
        scope = Scope(verbs=frozenset({"read"}), projects=frozenset({ACME}))

        assert scopes.loaded(scope.stored()) == scope and scopes.loaded({}) == scopes.EVERYTHING

    def test_of_a_token_made_by_a_token_is_no_wider(self):
        outer = Scope(verbs=frozenset({"read"}), nouns=frozenset({"pool", "node"}))

        scopes.within(Scope(verbs=frozenset({"read"}), nouns=frozenset({"pool"})), outer)
        with pytest.raises(Invalid) as refused:
            scopes.within(Scope(nouns=frozenset({"pool", "user"})), outer)
        assert [wrong.field for wrong in refused.value.fields] == ["scope.verbs", "scope.nouns"]

    def test_is_made_of_known_words(self):
        wrong = scopes.checked(["raed"], ["pool", "pols"])

        assert [(each.field, "meant?" in each.detail) for each in wrong] == [
            ("scope.verbs", True),
            ("scope.nouns", True),
        ]
