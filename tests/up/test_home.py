"""The home folder is private, and what it holds is never half written."""

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ocenter import home
from ocenter.errors import Trouble


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestHome:
    def test_is_closed_to_everybody_else(self, tmp_path):
        made = home.create(tmp_path / "var")
        home.ensure_secrets(made)

        assert {mode(folder) for folder in (made, made / "run", made / "logs")} == {0o700}
        assert mode(made / "secrets.json") == 0o600

    def test_is_closed_again_when_somebody_opened_it(self, tmp_path):
        (tmp_path / "var").mkdir(mode=0o755)

        assert mode(home.create(tmp_path / "var")) == 0o700

    def test_that_cannot_be_made_is_one_sentence_with_the_way_out(self, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(Trouble, match=r"cannot be written \(Not a directory\); .* set OCENTER_HOME"):
            home.create(tmp_path / "file" / "var")


class TestSecrets:
    def test_stay_the_same_after_the_first_start(self, tmp_path):
        first = home.ensure_secrets(tmp_path)

        assert home.ensure_secrets(tmp_path) == first == home.read_secrets(tmp_path)

    def test_are_all_different(self, tmp_path):
        made = home.ensure_secrets(tmp_path)

        assert len({made.secret_key, *made.credential_keys, made.owner_password, made.app_password}) == 4

    def test_of_an_older_version_gain_what_it_did_not_have(self, tmp_path):
        made = home.ensure_secrets(tmp_path)
        older = {name: value for name, value in asdict(made).items() if name != "seal_keys"}
        (tmp_path / "secrets.json").write_text(json.dumps(older))

        now = home.ensure_secrets(tmp_path)

        assert now.seal_keys and replace(now, seal_keys=()) == replace(made, seal_keys=())
        assert home.ensure_secrets(tmp_path) == now

    def test_are_not_shown_when_printed(self, tmp_path):
        made = home.ensure_secrets(tmp_path)

        assert made.app_password not in repr(made)

    @pytest.mark.parametrize("broken", ["", "{", json.dumps({"secret_key": "x"})])
    def test_that_are_damaged_are_never_replaced(self, tmp_path, broken):
        (tmp_path / "secrets.json").write_text(broken)

        with pytest.raises(Trouble, match="damaged; restore it from a backup"):
            home.ensure_secrets(tmp_path)

        assert (tmp_path / "secrets.json").read_text() == broken
