"""What a session adds to every call of a connector, with connectors that forget everything."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from connectors import catalog, session
from connectors.catalog import InvalidSettings
from connectors.contract import (
    CanGrantAccess,
    CanHold,
    CanPower,
    CanResize,
    CanTelemeter,
    Check,
    Connector,
    Identity,
    Last,
    NodeFact,
    Page,
    Target,
    Tier,
    Transient,
)
from tests.connectors.contract import Sessions, pages, refused
from tests.connectors.server import connect_here

SECRET = "pa55-of-the-pool"


class Careless(Connector):
    """Raises what it likes, and observes what the test gives it."""

    raises: Exception | None = None
    observed: list[Page] = []
    is_closed = False

    def __init__(self, settings, credential):
        type(self).is_closed = False

    def identity(self):
        if self.raises:
            raise self.raises
        return SimpleNamespace(key="far-end", label="")

    def check(self):
        return self.identity()

    def plan(self, target, orders):
        raise AssertionError("a kind that only watches is not asked to deliver")

    def apply(self, target, orders):
        raise AssertionError("a kind that only watches is not asked to deliver")

    def probe(self, target):
        raise AssertionError("a kind that only watches is not asked to deliver")

    def observe(self, cursor):
        yield from self.observed

    def close(self):
        type(self).is_closed = True


class TestSession(Sessions):
    @pytest.fixture
    def careless(self, monkeypatch):
        monkeypatch.setattr(
            session, "_load", lambda kind, valid, outgoing, installation: Careless(valid.settings, valid.credential)
        )
        monkeypatch.setattr(Careless, "raises", None)
        return Careless

    @pytest.fixture
    def connector(self, open_session, careless):
        return open_session("kubernetes", {}, {"token": SECRET})

    def test_refuses_settings_that_do_not_fit_before_any_code_is_loaded(self, open_session, careless):
        with pytest.raises(InvalidSettings):
            open_session("kubernetes", {"page_size": 0}, {})

    def test_censors_the_errors_of_the_contract_and_cuts_what_they_came_from(self, connector, careless, monkeypatch):
        error = Transient(f"GET /?token={SECRET} failed", platform_words=f"Bearer {SECRET}")
        error.__cause__ = ValueError(SECRET)
        monkeypatch.setattr(careless, "raises", error)

        with pytest.raises(Transient) as raised:
            connector.identity()

        assert (str(raised.value), raised.value.platform_words) == ("GET /?token=*** failed", "Bearer ***")
        assert raised.value.__cause__ is None and raised.value.__suppress_context__

    def test_tells_nothing_that_no_database_takes(self, connector, careless, monkeypatch):
        known = Identity(key="cluster\x00", label="\ud800", version="1.33\x00")
        monkeypatch.setattr(Careless, "identity", lambda self: known)
        monkeypatch.setattr(
            Careless,
            "check",
            lambda self: Check(identity=known, watch=Tier(ok=False, missing=("\x00",)), manage=Tier(ok=True)),
        )

        identity, check = connector.identity(), connector.check()

        assert (identity.key, identity.label, identity.version) == ("cluster\ufffd", "\ufffd", "1.33\ufffd")
        assert check.identity == identity and check.watch.missing == ("\ufffd",)

    def test_turns_any_other_exception_into_a_bug_without_its_text(self, connector, careless, monkeypatch, logged):
        monkeypatch.setattr(careless, "raises", KeyError(SECRET))

        error = refused(connector.check)

        assert error.code == "connector_bug" and "KeyError" in str(error) and SECRET not in str(error) + str(logged)
        (bug,) = [entry for entry in logged if entry["event"] == "connector.bug"]
        assert "test_session.py:" in bug["where"]

    def test_refuses_another_far_end(self, open_session, careless):
        error = refused(lambda: open_session("kubernetes", {}, {}, identity_key="the-one-before"))

        assert error.code == "identity_changed" and careless.is_closed

    def test_closes_the_connector_whatever_happens(self, careless):
        with pytest.raises(ZeroDivisionError), connect_here("kubernetes", {}, {}):
            _ = 1 / 0

        assert careless.is_closed

    @pytest.mark.parametrize(
        "observed",
        [
            [],
            [Page(nodes=[])],
            [Page(last=Last(complete=True)), Page(last=Last(complete=True))],
        ],
        ids=["nothing at all", "no last page", "a page after the last"],
    )
    def test_refuses_an_observation_that_breaks_the_contract(self, connector, careless, monkeypatch, observed):
        monkeypatch.setattr(careless, "observed", observed)

        assert refused(pages, connector).code == "connector_bug"

    def test_checks_the_facts_of_every_page(self, connector, careless, monkeypatch):
        negative = Page(nodes=[NodeFact(ref="1", name="worker-1", memory_mib=-1)], last=Last(complete=True))
        monkeypatch.setattr(careless, "observed", [negative])

        assert refused(pages, connector).code == "invalid_answer"

    def test_says_what_a_kind_that_only_watches_cannot_do(self, open_session, careless, monkeypatch):
        watching = replace(catalog.MANIFESTS["kubernetes"], capabilities=("observe",))
        monkeypatch.setitem(catalog.MANIFESTS, "kubernetes", watching)
        connector = open_session("kubernetes", {}, {"token": SECRET})
        target = Target(kind="namespace", ref="oc-1", generation=1)

        for call in (connector.plan, connector.apply):
            error = refused(call, target, [])
            assert error.code == "not_supported" and len(str(error)) > 20
        assert refused(connector.probe, target).code == "not_supported"


class TestAbility(Sessions):
    @pytest.mark.parametrize("ability", [CanHold, CanPower, CanTelemeter, CanResize, CanGrantAccess])
    def test_of_a_session_is_that_of_its_connector(self, open_session, ability, monkeypatch):
        able = open_session("simulated", {}, {})
        monkeypatch.setattr(session, "_load", lambda kind, valid, *_more: Careless(valid.settings, valid.credential))
        watching = open_session("kubernetes", {}, {"token": SECRET})

        assert isinstance(able, ability) and not isinstance(watching, ability)


class TestShell:
    """`python -m connectors`, as a person runs it."""

    @pytest.fixture
    def shell(self, tmp_path):
        def run(verb, content, *more, kind="simulated"):
            path = tmp_path / "pool.yaml"
            path.write_text(content)
            command = [sys.executable, "-m", "connectors", verb, "--kind", kind, "--settings", str(path), *more]
            return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})

        return run

    def test_carries_out_and_tells_in_json(self, shell, tmp_path):
        content = f"""
            settings: {{nodes: 3, state_folder: {tmp_path}}}
            credential: {{token: {SECRET}}}
            target: {{kind: host, ref: oc-1, generation: 1}}
            orders: [{{marker: oc-a, allocation: A, member: 0, milli: 1000}}]
        """

        applied, probed = shell("apply", content), shell("probe", content)

        assert applied.returncode == probed.returncode == 0
        assert '"verb":"place"' in applied.stdout and '"markers":["oc-a"]' in probed.stdout
        assert "connector.call" in applied.stderr and SECRET not in applied.stdout + applied.stderr

    @pytest.mark.parametrize(
        ("content", "code", "words"),
        [
            ("settings: {noodes: 3}", 1, "Is nodes meant?"),
            ("settings: {}\ncredential: {token: wrong}", 1, "unauthorized"),
            ("settings: [", 2, "pool.yaml"),
            ("setings: {}", 2, "setings"),
        ],
    )
    def test_says_what_is_wrong(self, shell, content, code, words):
        done = shell("check", content)

        assert done.returncode == code and words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr

    def test_says_when_it_may_work_later(self, shell):
        pool = "settings: {api_url: 'https://127.0.0.1:9'}\ncredential: {token: abcd}"

        done = shell("check", pool, "--allow", "127.0.0.1", kind="kubernetes")

        assert done.returncode == 75 and '"error":"unreachable"' in done.stdout
