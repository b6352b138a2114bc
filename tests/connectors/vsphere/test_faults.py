"""The faults that every platform has some day, played by the double."""

import copy
from contextlib import ExitStack
from datetime import timedelta

import pytest
from msgspec.structs import replace
from pyVmomi import vim

from connectors.contract import Permanent, Transient
from tests.connectors.contract import nodes, pages
from tests.connectors.faults import FaultContract, report_of_observing
from tests.connectors.server import HTML, Answer, json_answer, serving
from tests.connectors.vsphere.double import VCenter, busy, running
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import method_of


def is_page(seen, answer):
    """Whether an answer tells of hosts."""
    return method_of(seen).endswith("RetrievePropertiesEx") and b'<obj type="HostSystem">' in answer.body


def seats(connector):
    """Return node and address of each card."""
    return {(node.name, device.ref) for node in nodes(connector) for device in node.devices}


class TestFaultsOfVSphere(FaultContract):
    @pytest.fixture
    def playing(self, authority, open_session):
        """Return a session to a vCenter with the fault; each method below makes one."""
        with ExitStack() as servers:
            self.authority, self.servers = authority, servers

            def play(fault):
                settings = {"username": USER, "ca_pem": authority.pem, **getattr(self, fault)()}
                known = {"identity_key": busy().uuid} if fault == "another_far_end" else {}
                password = "another password" if fault == "wrong_credential" else PASSWORD
                return open_session("vsphere", settings, {"password": password}, **known)

            yield play

    def at(self, vcenter=None, alter=None):
        vcenter = vcenter or busy()
        vcenter.page_limit = 5
        server = self.servers.enter_context(running(vcenter, self.authority))
        if alter:
            server.alter = alter
        return {"url": server.url}

    def on_pages(self, change):
        return self.at(alter=lambda seen, answer: change(answer) if is_page(seen, answer) else answer)

    def wrong_credential(self):
        return self.at()

    def expired_token(self):
        """The nearest that vCenter has: the account's password has expired."""
        vcenter = busy()
        vcenter.login_fault = vim.fault.PasswordExpired(msg="The password of the account has expired.")
        return self.at(vcenter)

    def unreachable(self):
        with serving(busy()) as gone:
            return {"url": gone.url.replace("http:", "https:")}

    def untrusted_tls(self):
        return {**self.at(), "ca_pem": ""}

    def dns_failure(self):
        return {"url": "https://vcenter.site.invalid"}

    def another_kind_of_server(self):
        return self.at(alter=lambda seen, answer: json_answer({"kind": "Status", "code": 404}, status=404))

    def web_page(self):
        return self.at(alter=lambda seen, answer: HTML)

    def another_far_end(self):
        vcenter = busy()
        vcenter.uuid = "6e0a5cbe-0000-4000-8000-00000000beef"
        return self.at(vcenter)

    def truncated_page(self):
        return self.on_pages(lambda answer: Answer(body=answer.body, headers=answer.headers, cut_after=700))

    def torn_xml(self):
        return self.on_pages(lambda answer: Answer(body=answer.body[:-300], headers=answer.headers))

    def zero_bytes(self):
        return self.on_pages(lambda answer: Answer(headers=answer.headers))

    def repeated_page(self):
        first = []

        def repeat(seen, answer):
            if not is_page(seen, answer):
                return answer
            first.append(answer.body)
            again = first[0].replace(b"RetrievePropertiesExResponse", method_of(seen).encode() + b"Response")
            return Answer(body=again, headers=answer.headers)

        return self.at(alter=repeat)

    def empty_list(self):
        return self.at(VCenter(clusters=0))

    def duplicate_devices(self):
        """A host that is registered twice: all its cards are told twice."""
        vcenter = busy()
        first = vcenter.hosts[0]
        vcenter.add_host("99", first.parent, first.datastores, copy.deepcopy(first.gpus)).uuid = first.uuid
        return self.at(vcenter)

    def moving_device(self):
        self.vcenter = busy()
        return self.at(self.vcenter)

    takes_over = moving_device

    def long_names(self):
        vcenter = busy()
        for host in vcenter.hosts:
            host.name = "n" * 10_000 + host.name
            for gpu in host.gpus:
                gpu.chip = replace(gpu.chip, name=gpu.chip.name * 500)
        return self.at(vcenter)

    def negative_counts(self):
        vcenter = busy()
        vcenter.hosts[3].memory_bytes = -(2**30)
        return self.at(vcenter)

    def clock_ahead(self):
        vcenter = busy()
        vcenter.clock_ahead = timedelta(hours=1)
        return self.at(vcenter)

    def test_f07_a_device_that_moves_is_seen_where_it_is(self, playing):
        """vCenter tells nothing that identifies a card, only where it sits: one that moves leaves its old place."""
        connector = playing("moving_device")
        before = seats(connector)
        old, new = self.vcenter.hosts[4], self.vcenter.hosts[3]
        new.gpus.append(old.gpus.pop())

        after = seats(connector)

        assert (before - after, after - before) == ({("esx-10", "0000:3b:00.0")}, {("esx-03", "0000:3b:00.0")})

    def test_xml_that_ends_in_the_middle_is_transient_though_the_answer_came_whole(self, playing):
        error = report_of_observing(playing("torn_xml"))

        assert isinstance(error, Transient) and error.code == "truncated"

    def test_another_vcenter_that_takes_over_in_the_middle_of_a_session_is_refused(self, playing):
        connector = playing("takes_over")
        pages(connector)
        self.vcenter.uuid = "6e0a5cbe-0000-4000-8000-00000000beef"
        self.vcenter.end_sessions()

        error = report_of_observing(connector)

        assert isinstance(error, Permanent) and error.code == "identity_changed"
