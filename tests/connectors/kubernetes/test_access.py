"""Where the API server is and who we are, from all that people paste."""

import base64

import pytest
import yaml

from connectors.contract import Permanent
from connectors.kubernetes import access
from tests.connectors.kubernetes.double import TOKEN, Cluster
from tests.connectors.server import Authority, Identity, connect_here, serving

SERVER = "https://10.0.0.10:6443"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def kubeconfig(cluster=None, user=None, **more):
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "contexts": [
                {"name": "one", "context": {"cluster": "c1", "user": "u1"}},
                {"name": "two", "context": {"cluster": "c2", "user": "u1"}},
            ],
            "clusters": [
                {"name": "c1", "cluster": {"server": SERVER, **(cluster or {})}},
                {"name": "c2", "cluster": {"server": "https://two.example"}},
            ],
            "users": [{"name": "u1", "user": {"token": "t" * 20} if user is None else user}],
            **more,
        }
    )


def read(text, **settings):
    return access.read(settings, {"kubeconfig": text})


def refused(text, **settings):
    with pytest.raises(Permanent) as raised:
        read(text, **settings)
    assert raised.value.code == "invalid_settings"
    return str(raised.value)


@pytest.fixture(scope="module")
def authority():
    return Authority()


class TestKubeconfig:
    def test_gives_server_ca_token_and_proxy_of_its_current_context(self):
        found = read(
            kubeconfig({"certificate-authority-data": encoded("PEM"), "proxy-url": "http://proxy.example:3128"})
        )

        assert (found.url, found.tls.ca_pem, found.token) == (SERVER, "PEM", "t" * 20)
        assert found.proxy == "http://proxy.example:3128"

    def test_gives_the_context_that_the_settings_name(self):
        assert read(kubeconfig(), context="two").url == "https://two.example"

    def test_gives_a_client_certificate(self):
        user = {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY" * 9)}

        found = read(kubeconfig(user=user))

        assert (found.tls.client_certificate_pem, found.tls.client_key_pem) == ("CERT", "KEY" * 9)
        assert found.secrets == ("KEY" * 9,) and found.headers(False) == {}

    def test_yields_to_the_settings(self):
        found = access.read(
            {"api_url": "https://other.example", "ca_pem": "OTHER"},
            {"kubeconfig": kubeconfig({"certificate-authority-data": encoded("PEM")}), "token": "own-token"},
        )

        assert (found.url, found.tls.ca_pem, found.token) == ("https://other.example", "OTHER", "own-token")

    @pytest.mark.parametrize(
        ("user", "word"),
        [
            ({"exec": {"command": "aws"}}, "exec"),
            ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
            ({"tokenFile": "/etc/passwd"}, "tokenFile"),
            ({"client-certificate": "/root/cert.pem"}, "client-certificate"),
            ({"username": "admin", "password": "secret"}, "password"),
        ],
    )
    def test_that_wants_a_program_a_file_or_a_password_is_refused_with_the_way_out(self, user, word):
        message = refused(kubeconfig(user=user))

        assert word in message and "give its token" in message and "/root" not in message

    def test_that_names_a_ca_file_is_refused(self):
        assert "certificate-authority" in refused(kubeconfig({"certificate-authority": "/etc/ca.crt"}))

    def test_that_turns_tls_checks_off_is_not_simply_obeyed(self):
        text = kubeconfig({"insecure-skip-tls-verify": True})

        assert "turns the check" in refused(text)
        assert read(text, tls_verify="off").tls.is_off

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "no valid YAML"),
            ("just text", "no kubeconfig"),
            (kubeconfig(**{"current-context": ""}), "no current context"),
            (kubeconfig(**{"current-context": "gone"}), "no context named 'gone'"),
            (kubeconfig(clusters=[]), "no cluster named 'c1'"),
            (kubeconfig(users="all"), "no user named 'u1'"),
            (kubeconfig({"certificate-authority-data": "%%%"}), "no valid base64"),
            (kubeconfig(user={"client-certificate-data": encoded("CERT")}), "without its key"),
            (kubeconfig(user={}), "Give a token"),
            (kubeconfig({"server": ""}), "Give the URL"),
        ],
    )
    def test_that_is_broken_says_what_is_missing(self, text, words):
        assert words in refused(text)

    def test_with_python_objects_is_not_run(self):
        assert "no valid YAML" in refused("!!python/object/apply:os.system ['true']")


class TestToken:
    def test_that_was_pasted_over_several_lines_is_refused(self):
        with pytest.raises(Permanent, match="one line"):
            access.read({"api_url": SERVER}, {"token": "abc\ndef"})

    def test_by_fingerprint_needs_the_fingerprint(self):
        with pytest.raises(Permanent, match="fingerprint"):
            access.read({"api_url": SERVER, "tls_verify": "fingerprint"}, {"token": "abc"})


class TestInCluster:
    def test_uses_the_mounted_account_and_reads_its_token_anew(self, tmp_path, monkeypatch):
        monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path)
        (tmp_path / "ca.crt").write_text("PEM")
        (tmp_path / "token").write_text("first\n")
        found = access.read({"in_cluster": True}, {})

        (tmp_path / "token").write_text("second\n")

        assert (found.url, found.tls.ca_pem) == ("https://kubernetes.default.svc", "PEM")
        assert found.headers(True) == {"Authorization": "Bearer second"}

    def test_outside_a_pod_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path)

        with pytest.raises(Permanent, match="does not run in a pod"):
            access.read({"in_cluster": True}, {})

    def test_goes_on_when_the_token_is_replaced_in_the_middle(self, tmp_path, monkeypatch, server):
        monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path)
        (tmp_path / "token").write_text("worn out")
        settings = {"api_url": server.url, "in_cluster": True}

        def replaced(seen, answer):
            (tmp_path / "token").write_text(TOKEN)
            return answer

        server.alter = replaced
        with connect_here("kubernetes", settings, {}) as connected:
            identity = connected.identity()

        assert identity.version == "v1.36.2"


class TestTls:
    def test_of_a_kubeconfigs_ca_is_trusted(self, authority):
        with serving(Cluster(), identity=authority.identity()) as server:
            config = kubeconfig(
                {"server": server.url, "certificate-authority-data": encoded(authority.pem)}, {"token": TOKEN}
            )
            with connect_here("kubernetes", {}, {"kubeconfig": config}) as connected:
                assert connected.identity().version == "v1.36.2"

    def test_of_an_unknown_ca_is_not(self, authority):
        with (
            serving(Cluster(), identity=authority.identity()) as server,
            connect_here("kubernetes", {"api_url": server.url}, {"token": TOKEN}) as connected,
            pytest.raises(Permanent) as raised,
        ):
            connected.identity()

        assert raised.value.code == "tls_untrusted"

    def test_of_a_pinned_certificate_needs_no_ca(self, authority):
        identity = authority.identity()
        with serving(Cluster(), identity=identity) as server:
            settings = {
                "api_url": server.url,
                "tls_verify": "fingerprint",
                "tls_fingerprint": identity.fingerprint(),
            }
            with connect_here("kubernetes", settings, {"token": TOKEN}) as connected:
                assert connected.identity().version == "v1.36.2"

    def test_with_a_client_certificate_proves_who_we_are(self, authority):
        ours: Identity = authority.identity("ocenter")
        cluster = Cluster()
        with serving(
            lambda seen: cluster(
                type(seen)(seen.method, seen.path, seen.query, {"authorization": f"Bearer {TOKEN}"}, seen.body)
            ),
            identity=authority.identity(client_ca_pem=authority.pem),
        ) as server:
            user = {
                "client-certificate-data": encoded(ours.certificate_pem),
                "client-key-data": encoded(ours.key_pem),
            }
            config = kubeconfig({"server": server.url, "certificate-authority-data": encoded(authority.pem)}, user)
            with connect_here("kubernetes", {}, {"kubeconfig": config}) as connected:
                assert connected.identity().key == cluster.uid
            assert "authorization" not in server.requests[0].headers
