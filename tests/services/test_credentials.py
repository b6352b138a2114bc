"""Secrets of pools: encrypted, rotated, replaced only when a worker says so."""

import pytest
from cryptography.fernet import Fernet

from pools.domain.actors import Actor
from pools.domain.errors import CredentialKeysMissing, CredentialMissing, CredentialUnreadable
from pools.models import AuditEvent, Credential
from pools.selectors import pools as seen
from pools.services import credentials, pools
from tests.factories import EVERYTHING, NOW, pool

pytestmark = pytest.mark.django_db

ALICE = Actor(name="alice")
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def stored(values, name="lab", state="active"):
    return credentials.store(pool(name), values, state=state, now=NOW)


class TestEncryption:
    def test_gives_back_what_went_in(self):
        credential = stored({"token": "geheim", "ca": "", "none": None})

        assert credentials.decrypt(Credential.objects.get(pk=credential.pk)) == {"token": "geheim", "ca": ""}

    def test_without_a_key_says_which_setting_is_missing(self, settings):
        settings.CREDENTIAL_KEYS = ()

        with pytest.raises(CredentialKeysMissing, match="OCENTER_CREDENTIAL_KEYS"):
            stored({"token": "geheim"})

    def test_with_another_key_says_so_and_not_what_was_stored(self, settings):
        settings.CREDENTIAL_KEYS = (OLD,)
        credential = stored({"token": "geheim"})

        settings.CREDENTIAL_KEYS = (NEW,)
        with pytest.raises(CredentialUnreadable, match="OCENTER_CREDENTIAL_KEYS"):
            credentials.decrypt(credential)


class TestRotation:
    def test_encrypts_everything_with_the_first_key_so_that_the_old_one_may_go(self, settings):
        settings.CREDENTIAL_KEYS = (OLD,)
        made = [stored({"token": f"geheim-{n}"}, f"lab-{n}").pk for n in range(3)]

        settings.CREDENTIAL_KEYS = (NEW, OLD)
        count = credentials.rotate(NOW, ALICE)

        settings.CREDENTIAL_KEYS = (NEW,)
        clear = [credentials.decrypt(Credential.objects.get(pk=pk))["token"] for pk in made]
        assert count == 3 and clear == ["geheim-0", "geheim-1", "geheim-2"]
        assert AuditEvent.objects.get().after == {"count": 3}

    def test_a_second_time_has_nothing_to_do(self):
        stored({"token": "geheim"})

        assert credentials.rotate(NOW, ALICE) == 0

    def test_in_more_than_one_batch_misses_none(self, settings, monkeypatch):
        monkeypatch.setattr(credentials, "_ROTATED_AT_ONCE", 2)
        settings.CREDENTIAL_KEYS = (OLD,)
        for n in range(5):
            stored({"token": "geheim"}, f"lab-{n}")

        settings.CREDENTIAL_KEYS = (NEW, OLD)

        assert credentials.rotate(NOW, ALICE) == 5


class TestANewCredential:
    @pytest.fixture
    def lab(self):
        made = pool()
        credentials.store(made, {"token": "first"}, state="active", now=NOW)
        return made

    def test_that_is_accepted_replaces_the_old_one_and_wipes_its_secret(self, lab):
        pending = pools.replace_credential(pool_id=lab.pk, values={"token": "second"}, actor=ALICE, now=NOW)

        credentials.accept(pending.pk, NOW)

        old, new = Credential.objects.order_by("state").exclude(pk=pending.pk).get(), credentials.of_pool(lab.pk)
        assert (old.state, bytes(old.ciphertext), new) == ("replaced", b"", {"token": "second"})

    def test_that_is_refused_leaves_the_old_one_and_says_why(self, lab):
        pending = pools.replace_credential(pool_id=lab.pk, values={"token": "second"}, actor=ALICE, now=NOW)

        credentials.refuse(pending.pk, "The server does not accept it.", NOW)

        row = seen.one(lab.pk, NOW, EVERYTHING)
        assert credentials.of_pool(lab.pk) == {"token": "first"}
        refused = row.pending_credential
        assert refused and (refused.state, refused.problem) == ("refused", "The server does not accept it.")

    def test_that_was_replaced_before_the_worker_came_is_neither(self, lab):
        first = pools.replace_credential(pool_id=lab.pk, values={"token": "second"}, actor=ALICE, now=NOW)
        pools.replace_credential(pool_id=lab.pk, values={"token": "third"}, actor=ALICE, now=NOW)

        with pytest.raises(CredentialMissing):
            credentials.accept(first.pk, NOW)
        with pytest.raises(CredentialMissing):
            credentials.refuse(first.pk, "no", NOW)
        assert credentials.of_pool(lab.pk) == {"token": "first"}
        assert credentials.of_pool(lab.pk, state="pending") == {"token": "third"}
