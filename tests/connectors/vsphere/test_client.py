"""One session at a vCenter: how it is reached, kept and ended, and what is believed of its answers."""

import hashlib
import ssl
import threading

import pytest
from msgspec.structs import replace
from pyVmomi import vim, vmodl

from connectors.addresses import BY_DEFAULT
from connectors.contract import ConnectorError, Denied, Permanent, Transient
from connectors.vsphere import tasks
from connectors.vsphere.client import Client, Query
from connectors.vsphere.faults import Expired
from tests.connectors.contract import Sessions, nodes
from tests.connectors.server import HTML, LOOPBACK, Answer
from tests.connectors.vsphere.double import busy, running
from tests.connectors.vsphere.double_inventory import uuid_of
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import method_of

WAIT_SECONDS = 30


@pytest.fixture
def settings(server, authority):
    return {"url": server.url, "username": USER, "ca_pem": authority.pem}


@pytest.fixture
def make(settings):
    """Return a way to make clients, which are closed afterwards."""
    made = []

    def make(password=PASSWORD, outgoing=LOOPBACK, **more):
        made.append(Client({**settings, **more}, {"password": password}, outgoing))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make):
    return make()


@pytest.fixture
def asked(server):
    """Return the methods that were called since."""
    before = len(server.requests)
    return lambda: [method_of(seen) for seen in server.requests[before:]]


def code_of(call):
    """Return the code of the error with which a call ends."""
    with pytest.raises(ConnectorError) as raised:
        call()
    return raised.value.code


class TestTheWay:
    def test_to_this_machine_is_closed_unless_the_operator_opened_it(self, make, server):
        client = make(outgoing=BY_DEFAULT)

        assert code_of(lambda: client.content) == "address_denied" and server.requests == []

    def test_needs_a_trusted_certificate_although_the_server_is_on_this_machine(self, make, server):
        client = make(ca_pem="")

        assert code_of(lambda: client.content) == "tls_untrusted" and server.requests == []

    def test_may_be_pinned_to_one_certificate(self, make, server):
        shown = ssl.get_server_certificate(("127.0.0.1", server.port))
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()

        assert make(ca_pem="", tls_verify="fingerprint", tls_fingerprint=fingerprint).content.about.instanceUuid
        other = make(ca_pem="", tls_verify="fingerprint", tls_fingerprint="0" * 64)
        assert code_of(lambda: other.content) == "tls_untrusted"

    def test_by_fingerprint_needs_one(self, make):
        assert code_of(lambda: make(tls_verify="fingerprint")) == "invalid_settings"

    def test_without_any_check_works_and_is_warned_of(self, make):
        client = make(ca_pem="", tls_verify="off")

        assert client.content.about.instanceUuid and "not checked" in client.warnings[0]

    def test_is_the_same_with_and_without_sdk_behind_it(self, make, server):
        assert make(url=f"{server.url}/sdk/").content.about.instanceUuid

    def test_to_an_esxi_host_by_itself_names_the_kind(self, make, vcenter):
        """Only a vCenter has an identity that lasts."""
        vcenter.uuid = None

        assert code_of(lambda: make().content) == "not_this_kind"

    def test_to_what_speaks_no_version_that_we_know_names_the_kind(self, make, server):
        server.play(Answer(body=b"<namespaces/>"), path="/sdk/vimServiceVersions.xml")

        assert code_of(lambda: make().content) == "not_this_kind"


class TestASession:
    def test_begins_with_the_first_use(self, client, asked):
        assert asked() == []

        assert client.content is client.content

        assert asked() == ["", "RetrieveServiceContent", "Login"]

    def test_ends_with_close_which_may_come_twice(self, client, vcenter):
        assert client.content and len(vcenter.sessions) == 1

        client.close()
        client.close()

        assert vcenter.sessions == {} and code_of(lambda: client.content) == "unreachable"

    def test_at_a_vcenter_that_does_not_answer_any_more_is_not_waited_for(self, authority):
        with running(busy(), authority) as server:
            server.alter = lambda seen, usual: replace(usual, headers={**usual.headers, "Connection": "close"})
            settings = {"url": server.url, "username": USER, "ca_pem": authority.pem}
            client = Client(settings, {"password": PASSWORD}, LOOPBACK)
            root = client.content.rootFolder
        assert code_of(lambda: client.read([root], ["name"])) == "unreachable"
        tried = []
        client._http.send = lambda *given, **more: tried.append(given)

        client.close()

        assert tried == [] and client.is_closed

    def test_is_begun_anew_by_a_read(self, client, vcenter, asked):
        root = client.content.rootFolder
        vcenter.end_sessions()

        assert client.read([root], ["name"])[0].values["name"] == "Datacenters"

        assert asked()[3:] == ["RetrievePropertiesEx", "RetrieveServiceContent", "Login", "RetrievePropertiesEx"]

    def test_is_begun_anew_once_when_several_find_it_gone(self, client, vcenter, asked):
        root, gate, told = client.content.rootFolder, threading.Barrier(4), []
        vcenter.end_sessions()

        def read():
            gate.wait(WAIT_SECONDS)
            told.extend(client.read([root], ["name"]))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)

        assert len(told) == 4 and asked().count("Login") == 2 and len(vcenter.sessions) == 1

    def test_is_not_begun_anew_by_a_write_whose_effect_nobody_knows(self, client, vcenter, asked):
        (machine, *_) = [
            seen.ref for page in client.sweep(vim.VirtualMachine, ["name"], page_size=100) for seen in page
        ]
        vcenter.end_sessions()

        with pytest.raises(vim.fault.NotAuthenticated):
            machine.PowerOffVM_Task()

        assert asked().count("PowerOffVM_Task") == asked().count("Login") == 1

    def test_is_never_begun_at_another_vcenter_behind_the_same_address(self, client, vcenter, asked):
        root = client.content.rootFolder
        vcenter.end_sessions()
        vcenter.uuid = "6e0a5cbe-0000-4000-8000-00000000beef"

        assert code_of(lambda: client.read([root], ["name"])) == "identity_changed"
        assert asked().count("Login") == 1

    def test_with_a_wrong_password_is_denied_and_the_password_told_to_nobody(self, make):
        with pytest.raises(Denied) as raised:
            assert make(password="hunter22").content

        assert raised.value.code == "unauthorized" and "hunter22" not in repr(raised.value) + str(raised.value.args)


class TestASweep:
    @pytest.fixture(autouse=True)
    def _small_pages(self, vcenter):
        vcenter.page_limit = 3

    def names(self, client):
        return [seen.values["name"] for page in client.sweep(vim.HostSystem, ["name"], page_size=100) for seen in page]

    def test_follows_all_pages_and_takes_its_view_away(self, client, vcenter, asked):
        names = self.names(client)

        assert sorted(names) == sorted(host.name for host in vcenter.hosts) and len(names) == 8
        assert asked().count("ContinueRetrievePropertiesEx") == 2 and asked()[-1] == "DestroyView"

    def test_that_is_left_in_the_middle_takes_its_view_away(self, client, vcenter):
        sweep = client.sweep(vim.HostSystem, ["name"], page_size=100)
        next(sweep)

        sweep.close()

        (session,) = vcenter.sessions.values()
        assert session.views == {}

    def test_whose_session_ends_in_the_middle_tells_each_object_once(self, client, vcenter):
        sweep = client.sweep(vim.HostSystem, ["name"], page_size=100)
        names = [seen.values["name"] for seen in next(sweep)]
        vcenter.end_sessions()

        names += [seen.values["name"] for page in sweep for seen in page]

        assert sorted(names) == sorted(host.name for host in vcenter.hosts)

    def test_whose_session_ends_again_and_again_is_given_up(self, client, vcenter, server):
        def alter(seen, answer):
            if method_of(seen) == "RetrievePropertiesEx":
                vcenter.end_sessions()
            return answer

        server.alter = alter

        with pytest.raises(Expired):
            self.names(client)


class TestARead:
    def test_of_nothing_asks_nothing(self, client, asked):
        assert client.read([], ["name"]) == [] and asked() == []

    def test_leaves_out_what_is_gone(self, client, vcenter):
        refs = [seen.ref for page in client.sweep(vim.VirtualMachine, ["name"], page_size=100) for seen in page]
        gone = vim.VirtualMachine("vm-never", client.content.rootFolder._stub)

        assert [seen.ref for seen in client.read([*refs, gone], ["name"])] == refs
        assert client.read([gone], ["name"]) == [] and tasks.read(client, gone, ["name"]) is None

    def test_tells_what_is_hidden_apart_from_what_is_empty(self, client, vcenter):
        vcenter.hidden.add((vim.HostSystem, "config.graphicsInfo"))
        (ref, *_) = [seen.ref for page in client.sweep(vim.HostSystem, ["name"], page_size=100) for seen in page]

        (seen,) = client.read([ref], ["name", "config.graphicsInfo"])

        assert set(seen.values) == {"name"} and seen.unknown == {"config.graphicsInfo"}
        assert code_of(lambda: tasks.read(client, ref, ["config.graphicsInfo"])) == "forbidden"


class TestAnAnswer:
    def code(self, client, server, answer, method="FindByUuid"):
        index = client.content.searchIndex
        server.alter = lambda seen, usual: answer(usual) if method_of(seen) == method else usual
        return code_of(lambda: index.FindByUuid(None, "x", True, True))

    def test_that_ends_in_the_middle_is_torn(self, client, server):
        assert self.code(client, server, lambda usual: Answer(body=usual.body[:-20])) == "truncated"

    def test_that_is_empty_is_torn(self, client, server):
        assert self.code(client, server, lambda usual: Answer(body=b"")) == "truncated"

    def test_that_is_a_web_page_is_another_server(self, client, server):
        assert self.code(client, server, lambda usual: HTML) == "not_this_kind"

    def test_to_another_question_is_no_answer(self, client, server):
        """A proxy that mixes answers up must not make a fleet look empty."""
        body = b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body></Body></Envelope>'

        assert self.code(client, server, lambda usual: Answer(body=body)) == "not_this_kind"

    @pytest.mark.parametrize("status", [500, 503])
    def test_of_something_before_the_vcenter_that_has_trouble_is_passing(self, client, server, asked, status):
        trouble = Answer(status=status, body=b"no healthy upstream")

        assert self.code(client, server, lambda usual: trouble) == "server_error" and asked().count("FindByUuid") == 3

    def test_of_a_kind_that_nobody_knows_is_another_server(self, client, server):
        odd = (
            b'<FindByUuidResponse xmlns="urn:vim25"><returnval type="Refrigerator">r-1</returnval></FindByUuidResponse>'
        )

        def answer(usual):
            start, _, rest = usual.body.partition(b"<FindByUuidResponse")
            return Answer(body=start + odd + rest[rest.index(b"</") :].removeprefix(b"</FindByUuidResponse>"))

        assert self.code(client, server, answer) == "not_this_kind"

    def test_to_a_write_is_asked_for_once(self, client, server, asked):
        (machine, *_) = [
            seen.ref for page in client.sweep(vim.VirtualMachine, ["name"], page_size=100) for seen in page
        ]
        server.alter = lambda seen, usual: Answer(status=503) if method_of(seen) == "PowerOffVM_Task" else usual

        assert code_of(machine.PowerOffVM_Task) == "server_error" and asked().count("PowerOffVM_Task") == 1


class TestACollector:
    def test_whose_client_is_closed_by_another_thread_stops_waiting(self, client, vcenter):
        ended = []

        def wait():
            with client.collector() as collector:
                first = collector.WaitForUpdatesEx("", Query.WaitOptions(maxWaitSeconds=0))
                waiting.set()
                try:
                    collector.WaitForUpdatesEx(first.version, Query.WaitOptions(maxWaitSeconds=25))
                except (vmodl.MethodFault, ConnectorError) as error:
                    ended.append(error)

        waiting, thread = threading.Event(), threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(WAIT_SECONDS)

        client.close()

        thread.join(WAIT_SECONDS)
        assert len(ended) == 1 and client.is_closed and vcenter.sessions == {}

    def test_is_gone_at_the_end_of_its_block(self, client, vcenter):
        with client.collector():
            (session,) = vcenter.sessions.values()
            assert len(session.collectors) == 1

        assert session.collectors == {}


class TestTwoVCenters(Sessions):
    def test_whose_hosts_have_the_same_ids_stay_apart(self, authority, open_session):
        west, east = busy(), busy()
        east.uuid = "6e0a5cbe-0000-4000-8000-00000000ea57"
        for host in east.hosts:
            host.uuid = uuid_of(f"in the east {host.name}")

        with running(west, authority) as one, running(east, authority) as two:
            found = [
                open_session(
                    "vsphere", {"url": each.url, "username": USER, "ca_pem": authority.pem}, {"password": PASSWORD}
                )
                for each in (one, two)
            ]
            refs = [{node.ref for node in nodes(connector)} for connector in found]

            assert [host.ref._moId for host in west.hosts] == [host.ref._moId for host in east.hosts]
            assert len(refs[0]) == len(refs[1]) == 8 and refs[0].isdisjoint(refs[1])
            assert len({connector.identity().key for connector in found}) == 2


class TestSettings:
    def test_that_are_impossible_are_told_before_anybody_connects(self, make):
        with pytest.raises(Permanent) as raised:
            make(ca_pem="no certificate")

        assert raised.value.code == "invalid_settings" and not isinstance(raised.value, Transient)
