"""Settings and credentials against the manifests of all kinds."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from connectors import catalog
from connectors.catalog import MANIFESTS, InvalidSettings
from connectors.contract import Permanent

SECRET = "s3cret-value"


def problems(kind, settings, credential=None):
    """Return code and message of each mistake, by field."""
    with pytest.raises(InvalidSettings) as raised:
        catalog.validate(kind, settings, credential)
    assert SECRET not in str(raised.value) + repr(raised.value.problems)
    return {problem.field: (problem.code, problem.message) for problem in raised.value.problems}


class TestManifest:
    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_has_all_that_a_form_and_a_worker_need(self, kind):
        manifest = catalog.manifest(kind)

        names = [setting.name for setting in manifest.settings]
        assert manifest.kind == kind and manifest.label and manifest.summary and manifest.modes
        assert len(names) == len(set(names)) and any(setting.is_secret for setting in manifest.settings)
        assert all(setting.label for setting in manifest.settings) and "observe" in manifest.capabilities

    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_gives_a_choice_choices_and_a_default_among_them(self, kind):
        for setting in catalog.manifest(kind).settings:
            assert bool(setting.choices) == (setting.type == "choice")
            assert setting.type != "choice" or setting.default is None or setting.default in setting.choices

    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_keeps_secrets_without_a_default(self, kind):
        assert all(setting.default is None for setting in catalog.manifest(kind).settings if setting.is_secret)

    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_gives_a_reason_for_each_capability_that_is_missing(self, kind):
        manifest = catalog.manifest(kind)

        assert not set(manifest.missing) & set(manifest.capabilities) and all(manifest.missing.values())

    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_points_to_a_connector_that_exists(self, kind):
        module, _, name = catalog.manifest(kind).connector.partition(":")

        assert find_spec(module) is not None and name.isidentifier()

    def test_of_an_unknown_kind_is_refused_with_the_known_ones(self):
        with pytest.raises(Permanent) as raised:
            catalog.manifest("slurm")

        assert raised.value.code == "unknown_kind" and "kubernetes" in str(raised.value)

    def test_needs_no_connector_code_no_sdk_and_no_network_library(self):
        script = "import sys, connectors.catalog; print(*sys.modules)"

        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()

        heavy = {"httpx", "requests", "keystoneauth1", "stamina", "django", "celery"}
        assert not heavy & set(loaded) and not [name for name in loaded if name.endswith(".connector")]


class TestValidation:
    def test_fills_in_defaults_and_leaves_the_rest_empty(self):
        valid = catalog.validate("simulated", {"nodes": "12"}, {"token": SECRET})

        assert valid.settings["nodes"] == 12 and valid.settings["page_size"] == 250
        assert valid.settings["models"] is None and valid.credential == {"token": SECRET}

    def test_takes_its_own_result_again(self):
        once = catalog.validate("kubernetes", {"api_url": "https://api.example:6443"}, {"token": SECRET})

        assert catalog.validate("kubernetes", once.settings, once.credential) == once

    def test_takes_an_empty_text_for_not_given(self):
        assert catalog.validate("simulated", {"state_folder": "", "fleet": ""}, {}).settings["fleet"] == "fleet"

    def test_without_a_credential_does_not_ask_for_one(self):
        assert catalog.validate("simulated", {}, None).credential == {}

    def test_trims_what_people_paste(self):
        valid = catalog.validate("kubernetes", {"api_url": " https://api.example \n"}, {"token": f"{SECRET}\n"})

        assert valid.settings["api_url"] == "https://api.example" and valid.credential["token"] == SECRET

    def test_names_all_mistakes_at_once(self):
        found = problems(
            "kubernetes",
            {
                "api_url": "ftp://x",
                "tls_verify": "no",
                "page_size": 3,
                "in_cluster": "perhaps",
                "ca_pem": "x" * 300_000,
            },
            {"token": 7},
        )

        assert {field: code for field, (code, _) in found.items()} == {
            "settings.api_url": "not_a_url",
            "settings.tls_verify": "not_a_choice",
            "settings.page_size": "too_small",
            "settings.in_cluster": "not_a_boolean",
            "settings.ca_pem": "too_long",
            "credential.token": "not_a_text",
        }

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("nodes", True, "not_a_number"),
            ("nodes", "many", "not_a_number"),
            ("nodes", 1.5, "not_a_number"),
            ("nodes", -1, "too_small"),
            ("nodes", 10**30, "too_large"),
            ("nodes", [1], "not_a_number"),
            ("fleet", 5, "not_a_text"),
            ("fleet", {"a": 1}, "not_a_text"),
            ("fleet", "x" * 10_240, "too_long"),
            ("fleet", "a\x00b", "bad_character"),
            ("has_trouble", "perhaps", "not_a_boolean"),
            ("character", "slurm", "not_a_choice"),
        ],
    )
    def test_refuses_a_value_of_another_shape(self, name, value, code):
        found = problems("simulated", {name: value})

        assert found[f"settings.{name}"][0] == code

    @pytest.mark.parametrize(
        "value",
        [
            "api.example",
            "https://",
            "https://a b",
            "https://x:99999",
            "file:///etc/passwd",
            "https://[::1",
            "javascript:1",
        ],
    )
    def test_refuses_what_is_no_address(self, value):
        assert problems("kubernetes", {"api_url": value})["settings.api_url"][0] == "not_a_url"

    def test_refuses_a_password_within_an_address(self):
        found = problems("kubernetes", {"api_url": f"https://me:{SECRET}@api.example"})

        assert found["settings.api_url"][0] == "secret_in_url"

    def test_refuses_an_unknown_field_and_names_the_nearest(self):
        found = problems("kubernetes", {"api_ulr": "https://api.example"})

        assert found["settings.api_ulr"] == ("unknown_field", "There is no such field. Is api_url meant?")

    def test_refuses_secrets_in_settings_and_settings_among_secrets(self):
        found = problems("kubernetes", {"token": SECRET}, {"api_url": "https://api.example"})

        assert found["settings.token"][0] == "secret_in_settings"
        assert found["credential.api_url"][0] == "setting_in_credential"

    def test_does_not_repeat_a_name_of_10_kb(self):
        (field,) = problems("simulated", {"n" * 10_240: 1})

        assert len(field) < 100


class TestSchema:
    @pytest.mark.parametrize("kind", MANIFESTS)
    def test_has_every_setting_and_marks_the_secrets(self, kind):
        schema = json.loads(json.dumps(catalog.json_schema(kind)))

        parts = schema["properties"]
        for setting in catalog.manifest(kind).settings:
            part = parts["credential" if setting.is_secret else "settings"]["properties"][setting.name]
            assert part["title"] == setting.label and part.get("writeOnly", False) == setting.is_secret
        assert all(part["additionalProperties"] is False for part in parts.values())
