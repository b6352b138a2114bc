"""The way to hosts: what it trusts, what bounds it has, and what it says when there is none."""

import asyncio
import socket
from importlib.util import find_spec

import asyncssh
import pytest

from connectors.addresses import BY_DEFAULT, Outgoing, places
from connectors.baremetal import enrol, hosts, ssh
from connectors.baremetal.hosts import Host as Listed
from connectors.baremetal.refusals import Seen, from_ssh
from connectors.baremetal.ssh import Answer, Session, Ssh
from connectors.contract import ConnectorError, Denied, Permanent, Transient
from tests.connectors.baremetal.double_ssh import CLIENT_KEY, OTHER_KEY, Count, Host, Site, private, served
from tests.connectors.server import LOOPBACK

ECHO = "echo back"


def way(key: asyncssh.SSHKey = CLIENT_KEY, outgoing: Outgoing = LOOPBACK) -> Ssh:
    return Ssh("ocenter", private(key), None, outgoing)


def listed(host: Host, **changes: object) -> Listed:
    return Listed(**{**host.setting(), **changes})


def error_of(host: Listed, command: str = ECHO, outgoing: Outgoing = LOOPBACK) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        way(outgoing=outgoing).ask(host, command)
    return raised.value


@pytest.fixture
def host():
    one = Host("gpu01", "127.77.9.1", {})
    one.replies[ECHO] = lambda stdin: (3, stdin)
    with served([one]):
        yield one


class TestACommand:
    def test_gets_its_input_and_gives_exit_code_and_output(self, host):
        assert way().ask(listed(host), ECHO, "ä\n" * 100_000) == Answer(3, "ä\n" * 100_000)

    def test_that_is_not_there_says_so_by_its_code(self, host):
        assert way().ask(listed(host), "no-such-tool").code == ssh.NOT_FOUND

    def test_with_too_much_output_is_given_up(self, host, monkeypatch):
        monkeypatch.setattr(ssh, "MOST_BYTES", 1000)
        host.replies[ECHO] = (0, "x" * 500_000)

        assert error_of(listed(host)).code == "too_large"

    def test_whose_connection_breaks_is_no_answer(self, host):
        host.replies[ECHO] = (0, "half of it")
        host.cut_once[ECHO] = 4

        assert error_of(listed(host)).code == "truncated"

    def test_that_never_ends_is_given_up_within_the_budget_of_the_host(self, host, monkeypatch):
        monkeypatch.setattr(ssh, "HOST_SECONDS", 0.3)
        host.stuck.add(ECHO)

        error = error_of(listed(host))

        assert isinstance(error, Transient) and error.code == "timeout"

    def test_is_ended_by_the_host_itself(self):
        """A client that gives up leaves it running."""
        assert ssh.bounded("tool -x") == "timeout -k 2 20 tool -x"

    def test_runs_in_the_session_of_the_one_before(self, host):
        async def twenty(session: Session) -> int:
            return sum([(await session.run(ECHO)).code or 0 for _ in range(20)])

        assert way().with_one(listed(host), twenty) == 60 and host.sessions.all == 1

    def test_beyond_the_sessions_that_sshd_allows_says_what_to_raise(self, host):
        error = from_ssh(asyncssh.ChannelOpenError(1, "open failed"), listed(host))

        assert isinstance(error, Transient) and "MaxSessions" in str(error)


class TestTrust:
    def test_is_in_the_pinned_key_alone(self, host):
        host.key = OTHER_KEY

        error = error_of(listed(host))

        assert isinstance(error, Permanent) and error.code == "tls_untrusted" and host.users == []

    def test_does_not_reach_a_host_that_has_keys_of_other_types_only(self, host):
        """Whoever finds first that the two have no key in common ends it: the host by hanging up."""
        host.key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")

        assert error_of(listed(host)).code in ("tls_untrusted", "truncated") and host.users == []

    def test_is_not_lent_by_the_worker_s_own_files_and_agent(self, host, tmp_path, monkeypatch):
        """asyncssh reads ~/.ssh and asks the agent unless it is told not to."""
        folder = tmp_path / ".ssh"
        folder.mkdir()
        (folder / "config").write_text("Host *\n User somebody\n Port 9\n StrictHostKeyChecking no\n")
        (folder / "id_ed25519").write_text(private(CLIENT_KEY))
        (folder / "known_hosts").write_text(f"[{host.address}]:{host.port} {host.setting()['host_key']}\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))

        assert way().ask(listed(host), ECHO).code == 3 and set(host.users) == {"ocenter"}
        with pytest.raises(Denied):
            way(OTHER_KEY).ask(listed(host), ECHO)
        host.key = OTHER_KEY
        assert error_of(listed(host)).code == "tls_untrusted"

    def test_of_a_host_with_a_user_of_its_own_is_asked_as_that_one(self, host):
        way().ask(listed(host, user="watcher"), ECHO)

        assert set(host.users) == {"watcher"}


class TestTheKeyOfThePool:
    @pytest.mark.parametrize(
        "kind",
        [
            "pkcs8-pem",
            pytest.param(
                "openssh",
                marks=pytest.mark.skipif(
                    find_spec("bcrypt") is None,
                    reason="bcrypt of requirements.txt is not installed (make brings it): such a key was NOT tried",
                ),
            ),
        ],
    )
    def test_may_have_a_passphrase(self, host, kind):
        text = CLIENT_KEY.export_private_key(kind, passphrase="open sesame").decode()

        assert Ssh("ocenter", text, "open sesame", LOOPBACK).ask(listed(host), ECHO).code == 3

    @pytest.mark.parametrize(("passphrase", "field"), [(None, "private_key"), ("wrong", "passphrase")])
    def test_that_cannot_be_read_is_refused_without_being_quoted(self, passphrase, field):
        text = CLIENT_KEY.export_private_key("pkcs8-pem", passphrase="open sesame").decode()

        error = _refused(text, passphrase)

        assert f"({field})" in str(error) and "passphrase" in str(error)
        assert text.splitlines()[1] not in str(error) and "wrong" not in str(error)

    def test_that_is_none_is_refused_by_the_name_of_its_field(self):
        assert "(private_key)" in str(_refused("no key at all", None))


def _refused(private_key, passphrase):
    with pytest.raises(Permanent) as raised:
        Ssh("ocenter", private_key, passphrase, LOOPBACK)
    assert raised.value.code == "invalid_settings"
    return raised.value


class TestNumbers:
    def test_are_bounded_over_all_hosts(self, monkeypatch):
        monkeypatch.setattr(ssh, "AT_ONCE", 4)
        many, sessions = [Host(f"h{number}", f"127.77.8.{number + 1}", {}) for number in range(12)], Count()
        for one in many:
            one.sessions = sessions
        with served(many):
            way().with_each([listed(one) for one in many], lambda session: session.run("true"))

        assert sessions.all == 12 and 1 < sessions.most <= 4

    def test_of_log_ins_are_bounded_for_one_address(self):
        """sshd drops what is above MaxStartups: of 200 at once at one address, 117 were lost."""
        many, logins = [Host(f"h{number}", "127.77.8.99", {}) for number in range(24)], Count()
        for one in many:
            one.logins = logins
        with served(many):
            outcomes = way().with_each([listed(one) for one in many], lambda session: session.run("true"))

        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert logins.all == 24 and logins.most <= ssh.LOGINS_PER_ADDRESS

    def test_stay_within_what_was_found_to_work(self):
        assert ssh.AT_ONCE == 32 and ssh.LOGINS_PER_ADDRESS <= 8
        assert (ssh.CONNECT_SECONDS, ssh.LOGIN_SECONDS, ssh.COMMAND_SECONDS, ssh.HOST_SECONDS) == (5, 10, 20, 30)


class TestTheWay:
    def test_to_a_closed_port_is_unreachable_at_once(self, host):
        assert error_of(listed(host, port=9)).code == "unreachable"

    def test_to_a_port_that_accepts_and_is_silent_ends_in_time(self, host, monkeypatch):
        monkeypatch.setattr(ssh, "LOGIN_SECONDS", 0.3)
        with socket.create_server(("127.77.9.98", 0)) as silent:
            error = error_of(listed(host, address="127.77.9.98", port=silent.getsockname()[1]))

        assert isinstance(error, Transient) and error.code == "timeout"

    def test_that_swallows_packets_ends_in_time(self, host, monkeypatch):
        async def swallowed(*_: object) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(ssh, "CONNECT_SECONDS", 0.1)
        monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", swallowed)

        assert error_of(listed(host)).code == "timeout"

    @pytest.mark.parametrize("address", ["127.77.9.1", "localhost", "0x7f000001"])
    def test_to_the_worker_s_own_machine_is_refused(self, host, address):
        error = error_of(listed(host, address=address), outgoing=BY_DEFAULT)

        assert error.code == "address_denied" and host.sessions.all == 0

    def test_that_the_operator_denies_is_refused(self, host):
        denied = Outgoing(allowed=LOOPBACK.allowed, denied=places(["127.77.0.0/16"]))

        assert error_of(listed(host), outgoing=denied).code == "address_denied"

    def test_past_a_full_sshd_says_what_to_raise(self, host):
        error = from_ssh(asyncssh.ConnectionLost("lost"), listed(host), Seen(b"Exceeded MaxStartups\r\n"))

        assert isinstance(error, Transient) and error.code == "throttled" and "MaxStartups" in str(error)


class TestEnrolment:
    def test_shows_the_key_and_logs_in_nowhere(self, host):
        found = enrol.shown(host.address, host.port, "gpu01", LOOPBACK)

        assert found == listed(host) and host.users == [] and host.commands == []

    def test_shows_the_fingerprint_as_openssh_does_and_what_belongs_into_the_list(self, host):
        text = enrol.words(enrol.shown(host.address, host.port, "gpu01", LOOPBACK))

        assert host.key.get_fingerprint("sha256") in text and "ssh-keygen -lf" in text
        (found,) = hosts.read(f"[{text.splitlines()[-1]}]").values()
        assert found == listed(host)

    def test_goes_only_where_the_pool_may(self, host):
        with pytest.raises(Permanent) as raised:
            enrol.shown(host.address, host.port, "gpu01", BY_DEFAULT)

        assert raised.value.code == "address_denied"

    def test_of_a_host_that_is_not_there_says_so(self, host):
        with pytest.raises(Transient):
            enrol.shown(host.address, 9, "gpu01", LOOPBACK)


def test_one_dead_host_among_many_gives_its_error_and_the_others_their_answer():
    with served([Host("a", "127.77.9.1", {}), Host("b", "127.77.9.2", {})]) as site:
        assert isinstance(site, Site)
        live, dead = (listed(one) for one in site.hosts)
        dead = listed(site["b"], port=9)

        outcomes = way().with_each([live, dead], lambda session: session.run("true"))

    assert [type(outcome) for outcome in outcomes] == [Answer, Transient]
