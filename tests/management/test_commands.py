"""Pools, tokens and keys from the command line."""

import io
import json
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command, execute_from_command_line
from django.test import Client
from django.utils import timezone

from pools.models import ApiToken, AuditEvent, Credential, Pool
from pools.services import credentials, tokens
from tests import factories

pytestmark = pytest.mark.django_db

SECRET = "right-and-secret"


def run(*words):
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.fixture
def credential(tmp_path):
    file = tmp_path / "credential.json"
    file.write_text(json.dumps({"token": SECRET}))
    return str(file)


class TestPoolAdd:
    def test_takes_settings_from_files_and_pairs_and_the_secret_from_a_file(self, tmp_path, credential):
        settings = tmp_path / "settings.yaml"
        settings.write_text("nodes: 3\nseed: 5\n")

        said = run(
            *("pool", "add", "lab", "--kind", "simulated", "--credential", credential, "--label", "tier=prod"),
            *("--interval", "30", "--set", str(settings), "seed=7"),
        )

        made = Pool.objects.get()
        assert (made.settings["nodes"], made.settings["seed"], made.labels) == (3, 7, {"tier": "prod"})
        assert (made.state, made.sync_interval_seconds) == ("registering", 30)
        assert "pool check lab" in said and AuditEvent.objects.get().actor.endswith("@manage.py")

    @pytest.mark.django_db(transaction=True)  # at its end the command closes the connection, and a transaction with it
    def test_takes_its_options_from_a_real_command_line(self, credential, capsys):
        words = ["pool", "add", "lab", "--kind", "simulated", "--credential", credential, "--set", "nodes=3"]

        execute_from_command_line(["manage.py", *words])  # which takes some options for Django, --settings among them

        assert "pool check lab" in capsys.readouterr().out
        assert Pool.objects.get().settings["nodes"] == 3

    def test_reads_the_secret_from_standard_input(self, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"token: {SECRET}\n"))

        run("pool", "add", "lab", "--kind", "simulated", "--credential", "-")

        assert credentials.of_pool(Pool.objects.get().pk) == {"token": SECRET}

    def test_names_every_mistake_and_no_secret(self, credential):
        with pytest.raises(CommandError) as refused:
            run("pool", "add", "L", "--kind", "simulated", "--set", "nodes=-1", f"token={SECRET}")

        assert str(refused.value).splitlines()[0] == "Some fields are wrong."
        assert [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]] == [
            "name",
            "settings.nodes",
            "settings.token",
        ]
        assert SECRET not in str(refused.value)

    @pytest.mark.parametrize("text", ["token: [", "- a", "\x00", f"{SECRET}"])
    def test_refuses_a_file_that_makes_no_sense_without_quoting_it(self, tmp_path, text):
        file = tmp_path / "credential"
        file.write_text(text)

        with pytest.raises(CommandError) as refused:
            run("pool", "add", "lab", "--kind", "simulated", "--credential", str(file))

        assert "credential" in str(refused.value) and SECRET not in str(refused.value)


class TestPoolCheckAndActivate:
    def test_lead_a_draft_to_an_active_pool(self, credential):
        run("pool", "add", "lab", "--kind", "simulated", "--credential", credential)

        said = run("pool", "check", "lab")
        run("pool", "activate", "lab")

        assert "watch: all there" in said and Pool.objects.get().state == "active"

    def test_say_what_is_wrong_with_the_credential(self, tmp_path):
        file = tmp_path / "credential.json"
        file.write_text('{"token": "wrong-one"}')
        run("pool", "add", "lab", "--kind", "simulated", "--credential", str(file))

        with pytest.raises(CommandError) as refused:
            run("pool", "check", "lab")

        assert "wrong-one" not in str(refused.value)
        with pytest.raises(CommandError, match="Check the pool first"):
            run("pool", "activate", "lab")

    def test_of_a_pool_that_is_not_there_say_so(self):
        with pytest.raises(CommandError, match="no such pool"):
            run("pool", "check", "lab")


class TestPoolList:
    def test_shows_a_line_a_pool_or_json(self, credential):
        run("pool", "add", "lab", "--kind", "simulated", "--credential", credential)

        table, objects = run("pool", "list").splitlines(), run("pool", "list", "--json").splitlines()

        assert len(table) == 2 and table[1].split()[:4] == ["lab", "simulated", "registering", "unknown"]
        assert json.loads(objects[0])["name"] == "lab" and SECRET not in objects[0]


class TestToken:
    def test_is_printed_once_and_opens_the_api(self):
        factories.person("admin", "admin")

        token = run("token", "--name", "script").strip()

        assert Client().get("/api/v1/pools", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert token not in str(list(AuditEvent.objects.values()))

    def test_is_for_users_that_there_are(self):
        with pytest.raises(CommandError, match="There is no such user"):
            run("token")

    def test_lasts_as_many_days_as_were_said(self):
        factories.person("admin", "admin")

        token = run("token", "--days", "7").strip()

        end = ApiToken.objects.get().expires_at
        assert timedelta(days=6.9) < end - timezone.now() <= timedelta(days=7)
        assert tokens.access_of(token, end - timedelta(seconds=1)) and tokens.access_of(token, end) is None

    @pytest.mark.parametrize("days", ["0", "-1", "x", "1" * 30])
    def test_never_lasts_a_senseless_time(self, days):
        with pytest.raises(CommandError, match="number of days"):
            run("token", f"--days={days}")

    def test_may_be_narrowed_to_verbs_nouns_and_pools(self):
        factories.person("admin", "admin")
        lab = factories.pool("lab")

        token = run("token", "--verb", "read", "--verb", "edit", "--noun", "pool", "--pool", "lab").strip()

        scope = tokens.access_of(token, timezone.now()).scope
        assert (scope.verbs, scope.nouns, scope.pools) == ({"read", "edit"}, {"pool"}, {lab.pk})
        with pytest.raises(CommandError, match="Is read meant"):
            run("token", "--verb", "raed")
        with pytest.raises(CommandError, match=r"scope\.projects"):
            run("token", "--project", "nowhere")

    def test_is_worthless_once_its_name_is_revoked_while_others_hold(self):
        factories.person("admin", "admin")
        leaked, other = run("token", "--name", "leaked").strip(), run("token", "--name", "other").strip()

        said = run("token", "--revoke", "leaked")

        now = timezone.now()
        assert said.startswith("1 tokens") and tokens.access_of(leaked, now) is None and tokens.access_of(other, now)
        told = AuditEvent.objects.get(action="token.revoked", object_name="leaked")
        assert told.actor.endswith("@manage.py")
        with pytest.raises(CommandError, match='no token named "leaked"'):
            run("token", "--revoke", "leaked")


class TestRotateKey:
    def test_makes_the_old_key_superfluous(self, credential, settings):
        run("pool", "add", "lab", "--kind", "simulated", "--credential", credential)
        new = Fernet.generate_key().decode()

        settings.CREDENTIAL_KEYS = (new, *settings.CREDENTIAL_KEYS)
        said = run("rotate-key")

        settings.CREDENTIAL_KEYS = (new,)
        assert said.startswith("1 credentials") and credentials.decrypt(Credential.objects.get()) == {"token": SECRET}

    def test_without_any_key_says_which_setting_is_missing(self, settings):
        settings.CREDENTIAL_KEYS = ()

        with pytest.raises(CommandError, match="OCENTER_CREDENTIAL_KEYS"):
            run("rotate-key")
