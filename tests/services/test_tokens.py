"""Tokens: who may make which, how far they reach, and how they end."""

import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from pools.domain import scopes
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import Denied, Invalid, TokenEnded, TokenMissing, TokenNameMissing, UserMissing
from pools.domain.scopes import Scope
from pools.models import ApiToken, AuditEvent, Project, RoleBinding, User
from pools.selectors import access as known
from pools.selectors import tokens as seen
from pools.selectors.tokens import TokenScope
from pools.services import tokens
from tests import factories
from tests.factories import NOW, person, project

pytestmark = pytest.mark.django_db
CHECKOUT = Path(__file__).resolve().parents[2]
READS = Scope(verbs=frozenset({"read"}))


@pytest.fixture
def ann():
    return person("ann")


def acting(user, **limits):
    """The user, logged in, or with a token of these limits."""
    found = known.of_user(user.pk)
    return Actor(name=user.username, access=replace(found, **limits))


def with_token(token, now=NOW):
    """Whoever comes with this token."""
    found = tokens.access_of(token, now)
    return Actor(name=found.user_name, access=found)


def make(actor, username="ann", **options):
    return tokens.make(**({"username": username, "name": "ci", "actor": actor, "now": NOW} | options))


def row(token):
    return ApiToken.objects.get(hash=tokens._hash(token))


def account(path, **roles):
    """A service account of the project, with this role there."""
    of = project(path)
    made = person(f"bot-{path.replace('/', '-')}", kind="service", project=of)
    for role in roles:
        project(path, **{role: made})
    return made


class TestMaking:
    def test_a_token_of_oneself_gives_what_one_may_and_leaves_an_audit_row(self, ann):
        project("acme", member=ann)

        token = make(acting(ann), scope=READS)

        access = tokens.access_of(token, NOW)
        assert access.user_name == "ann" and access.somewhere("pool", "read") and not access.somewhere("me", "create")
        event = AuditEvent.objects.get(object_kind="token", object_id=str(row(token).pk))
        assert (event.action, event.actor, event.after["scope"]) == ("token.made", "ann", {"verbs": ["read"]})
        assert token not in str(event.after)

    def test_a_token_of_another_person_is_for_ocenters_own_commands_only(self, ann):
        root = person("root", "admin")

        with pytest.raises(Denied):
            make(acting(root))

        assert tokens.access_of(make(SYSTEM), NOW).user_name == "ann"

    def test_a_token_of_nobody_is_refused(self, ann):
        person("off", is_active=False)

        for name in ("nobody", "off"):
            with pytest.raises(UserMissing):
                make(SYSTEM, username=name)

    def test_a_token_of_a_service_account_is_for_who_may_edit_it(self, ann):
        bot = account("acme/vision", member=True)
        project("acme", manager=ann)

        token = make(acting(ann), username=bot.username)

        assert tokens.access_of(token, NOW).user_name == bot.username
        event = AuditEvent.objects.get(object_kind="token", object_id=str(row(token).pk))
        assert event.project_id == bot.project_id

    @pytest.mark.parametrize(("path", "role"), [("acme/vision", "member"), ("acme/audio", "owner"), ("other", "owner")])
    def test_a_token_of_a_service_account_is_refused_to_others(self, ann, path, role):
        bot = account("acme/vision", member=True)
        project(path, **{role: ann})

        with pytest.raises(Denied):
            make(acting(ann), username=bot.username)

    def test_a_token_of_a_service_account_gives_nobody_a_role_he_could_not_give(self, ann):
        bot = account("acme/vision", owner=True)
        project("acme/vision", manager=ann)

        with pytest.raises(Denied):
            make(acting(ann), username=bot.username)

    @pytest.mark.parametrize("name", ["", "  ", "x" * 101])
    def test_a_token_needs_a_name_of_some_length(self, ann, name):
        with pytest.raises(Invalid) as refusal:
            make(acting(ann), name=name)

        assert refusal.value.fields[0].field == "name"


class TestATokenMadeByAToken:
    def test_may_do_no_more(self, ann):
        maker = with_token(make(acting(ann), scope=Scope(verbs=frozenset({"read", "create"}))))

        with pytest.raises(Invalid) as refusal:
            make(maker)

        assert [wrong.field for wrong in refusal.value.fields] == ["scope.verbs"]
        assert tokens.access_of(make(maker, scope=READS), NOW) is not None

    def test_may_be_of_a_project_below(self, ann):
        acme, vision, other = project("acme", owner=ann), project("acme/vision"), project("other", owner=ann)
        maker = with_token(make(acting(ann), scope=Scope(projects=frozenset({acme.pk}))))

        below = make(maker, scope=Scope(projects=frozenset({vision.pk})))

        assert [binding.project_id for binding in tokens.access_of(below, NOW).bindings] == [vision.pk]
        with pytest.raises(Invalid):
            make(maker, scope=Scope(projects=frozenset({vision.pk, other.pk})))

    def test_lasts_no_longer(self, ann):
        ends_at = NOW + timedelta(days=3)
        maker = with_token(make(acting(ann), expires_at=ends_at))

        assert row(make(maker)).expires_at == ends_at
        with pytest.raises(Invalid):
            make(maker, expires_at=ends_at + timedelta(seconds=1))


class TestTheEndOfAToken:
    def test_is_set_by_policy_but_for_commands(self, ann, settings):
        settings.TOKEN_DAYS_MOST = 30

        assert row(make(acting(ann))).expires_at == NOW + timedelta(days=30)
        assert row(make(SYSTEM)).expires_at is None
        with pytest.raises(Invalid) as refusal:
            make(acting(ann), expires_at=NOW + timedelta(days=31))
        assert refusal.value.fields[0].code == "too_late"

    def test_is_open_where_policy_says_so(self, ann, settings):
        settings.TOKEN_DAYS_MOST = 0

        assert row(make(acting(ann))).expires_at is None

    def test_is_not_in_the_past(self, ann):
        with pytest.raises(Invalid):
            make(acting(ann), expires_at=NOW)

    def test_comes_at_its_instant_though_the_rights_are_kept(self, ann):
        token = make(acting(ann), expires_at=NOW + timedelta(minutes=1))

        assert tokens.access_of(token, NOW + timedelta(seconds=59)) is not None
        assert tokens.access_of(token, NOW + timedelta(seconds=60)) is None


class TestRotating:
    def test_gives_a_successor_and_lets_the_old_one_go_on_for_the_overlap(self, ann):
        old = make(acting(ann), scope=READS, expires_at=NOW + timedelta(days=90))
        later = NOW + timedelta(days=60)

        new = tokens.rotate(token_id=row(old).pk, overlap_seconds=600, actor=acting(ann), now=later)

        assert row(old).rotated_to == row(new) and row(old).expires_at == later + timedelta(minutes=10)
        assert (row(new).name, row(new).scope) == ("ci", READS.stored())
        assert row(new).expires_at == later + timedelta(days=90)
        assert tokens.access_of(old, later + timedelta(seconds=599)) and tokens.access_of(new, later)
        assert tokens.access_of(old, later + timedelta(seconds=600)) is None

    def test_without_overlap_ends_the_old_one_at_once(self, ann):
        old = make(acting(ann))
        assert tokens.access_of(old, NOW)

        tokens.rotate(token_id=row(old).pk, overlap_seconds=0, actor=acting(ann), now=NOW)

        assert tokens.access_of(old, NOW) is None

    def test_never_lets_the_old_one_last_longer_than_it_would(self, ann):
        old = make(acting(ann), expires_at=NOW + timedelta(minutes=5))

        tokens.rotate(token_id=row(old).pk, overlap_seconds=3600, actor=acting(ann), now=NOW)

        assert row(old).expires_at == NOW + timedelta(minutes=5)

    def test_by_a_narrower_token_is_refused(self, ann):
        wide = make(acting(ann))
        narrow = with_token(make(acting(ann), scope=Scope(verbs=frozenset({"read", "create"}))))

        with pytest.raises(Invalid):
            tokens.rotate(token_id=row(wide).pk, actor=narrow, now=NOW)

        assert row(wide).rotated_to is None

    def test_is_refused_for_what_has_ended_or_a_successor(self, ann):
        rotated, revoked, expired = (make(acting(ann), expires_at=NOW + timedelta(hours=1)) for _ in range(3))
        tokens.rotate(token_id=row(rotated).pk, actor=acting(ann), now=NOW)
        tokens.revoke(token_id=row(revoked).pk, actor=acting(ann), now=NOW)

        for token, now in ((rotated, NOW), (revoked, NOW), (expired, NOW + timedelta(hours=1))):
            with pytest.raises(TokenEnded):
                tokens.rotate(token_id=row(token).pk, actor=acting(ann), now=now)

    @pytest.mark.parametrize("seconds", [-1, 7 * 86400 + 1])
    def test_takes_at_most_a_week_of_overlap(self, ann, seconds):
        old = make(acting(ann))

        with pytest.raises(Invalid):
            tokens.rotate(token_id=row(old).pk, overlap_seconds=seconds, actor=acting(ann), now=NOW)


class TestRevoking:
    def test_makes_a_token_worthless_at_once_and_twice_is_once(self, ann):
        token = make(acting(ann))
        assert tokens.access_of(token, NOW)

        for _ in range(2):
            tokens.revoke(token_id=row(token).pk, actor=acting(ann), now=NOW)

        assert tokens.access_of(token, NOW) is None
        assert AuditEvent.objects.filter(object_id=str(row(token).pk), action="token.revoked").count() == 1

    def test_is_for_the_owner_and_administrators(self, ann):
        token = make(acting(ann))

        with pytest.raises(Denied):
            tokens.revoke(token_id=row(token).pk, actor=acting(person("bob")), now=NOW)

        tokens.revoke(token_id=row(token).pk, actor=acting(person("root", "admin")), now=NOW)
        assert row(token).revoked_at == NOW

    def test_of_none_such_is_refused(self, ann):
        with pytest.raises(TokenMissing):
            tokens.revoke(token_id=ann.pk, actor=SYSTEM, now=NOW)
        with pytest.raises(TokenNameMissing):
            tokens.revoke_named(username="ann", name="ci", actor=SYSTEM, now=NOW)

    def test_by_name_ends_all_of_that_name(self, ann):
        both, other = [make(SYSTEM), make(SYSTEM)], make(SYSTEM, name="other")

        assert tokens.revoke_named(username="ann", name="ci", actor=SYSTEM, now=NOW) == 2
        assert [tokens.access_of(token, NOW) for token in both] == [None, None] and tokens.access_of(other, NOW)


class TestAWantedScope:
    def test_names_projects_and_pools_as_people_do(self, ann):
        vision = project("acme/vision", member=ann)
        lab = factories.granted(factories.pool("lab"), vision)

        found = seen.scope(
            TokenScope(verbs=["read"], projects=["acme/vision"], pools=[str(lab.pk)]), known.of_user(ann.pk)
        )

        assert found == Scope(verbs=frozenset({"read"}), projects=frozenset({vision.pk}), pools=frozenset({lab.pk}))
        assert seen.scope(TokenScope(), known.of_user(ann.pk)) == scopes.EVERYTHING

    def test_tells_what_the_maker_may_not_know_of_like_what_is_not_there(self, ann):
        project("acme/vision", member=ann)
        project("umbrella/secret")
        factories.pool("theirs")
        wanted = TokenScope(projects=["umbrella/secret", "umbrella/none"], pools=["theirs"])

        with pytest.raises(Invalid) as refusal:
            seen.scope(wanted, known.of_user(ann.pk))
        with pytest.raises(Invalid) as of_pools:
            seen.scope(TokenScope(pools=["theirs", "absent"]), known.of_user(ann.pk))

        details = {wrong.detail.split('"')[2] for wrong in (*refusal.value.fields[:2],)}
        assert len(details) == 1 and {wrong.field for wrong in refusal.value.fields} == {"scope.projects"}
        assert [wrong.field for wrong in of_pools.value.fields] == ["scope.pools", "scope.pools"]

    def test_names_the_nearest_word(self, ann):
        with pytest.raises(Invalid) as refusal:
            seen.scope(TokenScope(verbs=["raed"], nouns=["pols"], projects=[]), known.of_user(ann.pk))

        told = {wrong.field: wrong.detail for wrong in refusal.value.fields}
        assert "Is read meant?" in told["scope.verbs"] and "Is pool meant?" in told["scope.nouns"]
        assert "scope.projects" in told


@pytest.mark.django_db(transaction=True)
class TestAnotherProcess:
    def test_sees_within_seconds_whoever_changed_what_a_token_may(self):
        acme = project("acme")
        people = [person(f"user-{number}") for number in range(5)]
        for user in people:
            project("acme" if user is not people[3] else "gone", member=user)
        theirs = [make(SYSTEM, username=user.username) for user in people]
        changes = (
            lambda: tokens.revoke(token_id=row(theirs[0]).pk, actor=SYSTEM, now=NOW),
            lambda: RoleBinding.objects.filter(user=people[1], project=acme).delete(),
            lambda: User.objects.filter(pk=people[2].pk).update(is_active=False),
            lambda: Project.objects.filter(path="gone").update(state="archived", archived_at=NOW),
            lambda: tokens.rotate(token_id=row(theirs[4]).pk, overlap_seconds=0, actor=SYSTEM, now=NOW),
        )
        waited = []

        with watching(theirs) as said:
            assert [said() for _ in theirs] == [f"{number} member" for number in range(5)]
            for change in changes:
                change()
                changed_at = time.monotonic()
                waited.append((said(), time.monotonic() - changed_at))

        assert [line for line, _ in waited] == ["0 none", "1", "2 none", "3", "4 none"]
        assert max(seconds for _, seconds in waited) < 5


@contextmanager
def watching(theirs):
    """Start another process that watches these tokens; yields what returns its next line."""
    words = [sys.executable, "-m", "tests.services.watching", connection.settings_dict["NAME"]]
    process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("\n".join(theirs))
    process.stdin.close()
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line.strip()) for line in process.stdout], daemon=True).start()
    try:
        yield lambda: lines.get(timeout=30)
    finally:
        process.kill()
        process.wait()
