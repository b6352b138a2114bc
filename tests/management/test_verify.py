"""`manage.py verify` says by words and exit code whether the logs are what was sealed."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pools.domain.quota_fields import QuotaWanted
from pools.models import AuditEvent, Capacity, Quota
from pools.services import quotas, seals
from tests import logs
from tests.factories import ALICE, NOW, Clock, Shows, node, pool, project, synced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_logs():
    logs.empty()


def verify(*words: str) -> str:
    told = StringIO()
    call_command("verify", *words, stdout=told, stderr=told)
    return told.getvalue()


def refused(*words: str) -> str:
    told = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("verify", *words, stdout=told, stderr=told)
    return f"{told.getvalue()}{error.value}"


class TestVerify:
    def test_tells_what_is_proved_and_what_is_not_sealed_yet(self):
        logs.sealed(3, 2)
        logs.write(4, xid=60)

        told = verify()

        assert "audit_event: 5 rows in 2 seals, up to seal 2 with the root" in told
        assert "Not sealed yet, so not proved: 4, the oldest of" in told and "unaltered" in told

    @pytest.mark.parametrize(
        ("tamper", "words"),
        [
            ("UPDATE audit_event SET actor = 'x' WHERE id = {row}", "{row} of audit_event, sealed in 2, was changed"),
            ("DELETE FROM audit_event WHERE id = {row}", "Row {row} of audit_event, sealed in 2, was deleted"),
            ("DELETE FROM seal WHERE number = 2", "Seal 2 of audit_event was deleted"),
            ("UPDATE seal SET signature = 'x' WHERE number = 2", "Seal 2 of audit_event has no valid signature"),
        ],
    )  # fmt: skip
    def test_names_the_row_and_the_seal_and_ends_with_a_failure(self, tamper, words):
        _, (row, *_), _ = logs.sealed(3, 3, 3)
        logs.run(tamper.format(row=row))

        assert words.format(row=row) in refused()

    def test_tells_how_many_more_there_are_of_a_kind(self):
        logs.sealed(3, 3)
        logs.run("UPDATE audit_event SET reason = 'none'")

        assert "(5 more of this kind)" in refused()

    def test_leaves_its_result_and_who_asked_for_it_in_the_audit(self):
        verify()

        row = AuditEvent.objects.get(action="audit.verified")
        assert row.actor.endswith("@manage.py") and row.after["is_ok"] is True

    def test_prints_the_public_keys_and_no_private_one(self, settings):
        (line,) = verify("--public-keys").splitlines()

        key_id, key = line.split()
        assert len(key_id) == 16 and len(key) == 44 and key not in settings.SEAL_KEYS


class TestQuotas:
    @pytest.fixture
    def acme(self):
        acme = project("acme")
        quotas.replace(project_id=acme.pk, rows=[QuotaWanted(nominal_milli=8000)], actor=ALICE, now=NOW)
        return acme

    def test_that_count_what_is_held_are_told_in_one_line(self, acme):
        assert "quota: 1 rows, 0 wrong counters." in verify()

    def test_that_count_something_else_are_named_and_end_with_a_failure(self, acme):
        Quota.objects.update(used_milli=3000)

        told = refused()

        assert "of acme (compute units): used_milli is 3000, and 0 is right." in told
        assert "Quotas do not count what is held." in told and "not what was sealed" not in told


class TestCardsThatTwoPoolsShow:
    @pytest.fixture
    def both(self):
        both, clock = (pool("lab"), pool("other")), Clock()
        for each in both:
            synced(each, Shows(node("a", devices=1)), clock)
        return both

    def test_and_one_of_them_counts_are_told_in_one_line(self, both):
        assert "device_twin: 1 cards that two pools show, 0 counted twice." in verify()

    def test_and_both_count_are_named_and_end_with_a_failure(self, both):
        Capacity.objects.filter(kind="cards").update(pos_total_milli=[1000], ceiling_milli=1000)

        told = refused()

        assert "card GPU-a-0 (" in told and 'is counted by the pools "lab" and "other".' in told
        assert "A card that two pools show is counted or given out by both." in told

    def test_and_both_have_given_out_are_named(self, both):
        Capacity.objects.filter(kind="cards").update(pos_claimed_milli=[1000], ceiling_milli=1000)

        assert 'is given out by the pools "lab" and "other".' in refused()


class TestACheckpoint:
    @pytest.fixture
    def kept(self, tmp_path):
        logs.sealed(3, 2)
        file = tmp_path / "checkpoint.json"
        file.write_text(verify("--checkpoint"))
        return file

    def test_holds_as_long_as_the_chain_goes_on_from_it(self, kept):
        logs.write(xid=70)
        seals.seal(now=NOW)

        assert "unaltered" in verify("--against", str(kept))

    def test_says_what_an_auditor_needs(self, kept):
        content = json.loads(kept.read_text())

        assert content["heads"]["audit_event"]["number"] == 2 and len(content["public_key"]) == 44
        assert content.keys() == {"ocenter_checkpoint", "at", "heads", "key_id", "public_key", "signature"}

    def test_proves_that_a_log_was_made_anew_even_with_the_key(self, kept):
        logs.empty()
        logs.sealed(3, 3)
        assert "unaltered" in verify()

        assert "Seal 2 of audit_event was there with another root or is gone" in refused("--against", str(kept))

    @pytest.mark.parametrize(
        "change", [('"number": 2', '"number": 1'), ('"signature": "', '"signature": "00'), ("{", "")]
    )
    def test_that_was_changed_is_none(self, kept, change):
        kept.write_text(kept.read_text().replace(*change, 1))

        assert "This is no checkpoint, it was changed" in refused("--against", str(kept))

    def test_of_a_stranger_is_none(self, kept, settings):
        settings.SEAL_KEYS = ("c" * 43 + "=",)

        assert "a key that is not known here" in refused("--against", str(kept))

    def test_that_is_not_there_is_said_so(self, tmp_path):
        assert "cannot be read: No such file" in refused("--against", str(tmp_path / "none"))

    def test_without_a_key_is_not_made(self, settings):
        settings.SEAL_KEYS = ()

        assert "OCENTER_SEAL_KEYS" in refused("--checkpoint")


def test_a_restored_backup_is_accepted_once_a_person_says_so():
    logs.sealed(2, 2)
    head = seals.SealHead(number=3, root="ab" * 32)
    seals.note("audit_event", head)
    assert "Seal 3 of audit_event was there with another root or is gone" in refused()

    verify("--after-restore")

    assert "unaltered" in verify()
    seals.note("audit_event", None)
