"""Real sshd hosts carry orders by the helper that prepare put there: what people can and cannot do then."""

import json
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from connectors.baremetal import __main__ as command
from connectors.baremetal import desired
from connectors.baremetal.ssh import Session
from connectors.contract import Absent, ConnectorError, NoCapacity, Order, Target, Transient
from tests.connectors.ability_contract import AccessContract, LeaseContract, SharedAccessContract
from tests.connectors.apply_contract import (
    ApplyContract,
    KeptOrdersContract,
    ResizeContract,
    ScarceContract,
    SeveralOrdersContract,
    carry,
)
from tests.connectors.baremetal.prepared import PREPARED, SNAPSHOT, Person, prepared
from tests.connectors.contract import Sessions, nodes, refused
from tests.connectors.server import connect_here

pytestmark = pytest.mark.backend
STRANGER = "0198c0de-0000-7000-8000-00000000beef"
OTHERS = "0198c0de-0000-7000-8000-0000000fade5"


@pytest.fixture(scope="module")
def real():
    with prepared() as real:
        yield real


@pytest.fixture(scope="module")
def theirs(real):
    """What another installation has on another host, all the time."""
    target = Target(kind="host", ref="oc-theirs", generation=1, node_ref=real.ref("gpu03"))
    order = Order(marker="oc-theirs", allocation="T", member=0, devices=(real.gpus("gpu03")[0],), milli=1000)
    settings = {"site": "backend", "hosts": json.dumps([real.backend.listed("gpu03")])}
    with connect_here("baremetal", settings, real.backend.credential, installation=OTHERS) as connector:
        carry(connector, target, [order])
    return target


class OnRealHosts(Sessions):
    @pytest.fixture
    def alice(self, real, tmp_path):
        return Person(real, tmp_path)

    @pytest.fixture
    def bob(self, real, tmp_path):
        return Person(real, tmp_path)

    @pytest.fixture(autouse=True)
    def clean(self, real):
        yield
        real.clear("gpu01")

    @pytest.fixture
    def secret(self, real):
        return real.backend.credential["private_key"].splitlines()[2]

    @pytest.fixture
    def connect(self, real, open_session):
        listed = json.dumps([real.backend.listed(name) for name in PREPARED])
        settings = {"site": "backend", "hosts": listed}
        return lambda **more: open_session("baremetal", settings, real.backend.credential, **more)

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def target(self, real):
        """A name of its own a test: a host remembers the last generation of its document."""
        ref = f"oc-{uuid.uuid4().hex[:20]}"
        return lambda generation: Target(kind="host", ref=ref, generation=generation, node_ref=real.ref("gpu01"))

    @pytest.fixture
    def orders(self, real, alice, bob):
        gpus = real.gpus("gpu01")
        return [
            Order(
                marker="oc-first",
                allocation="A",
                member=0,
                devices=tuple(gpus[:2]),
                milli=2000,
                ssh_keys=(alice.public,),
            ),
            Order(marker="oc-second", allocation="B", member=0, devices=(gpus[2],), milli=1000, ssh_keys=(bob.public,)),
        ]


class TestRealHosts(
    OnRealHosts,
    ApplyContract,
    SeveralOrdersContract,
    KeptOrdersContract,
    ResizeContract,
    ScarceContract,
    AccessContract,
    SharedAccessContract,
    LeaseContract,
):
    @pytest.fixture(autouse=True)
    def foreign_target(self, theirs):
        return replace(theirs, generation=9)

    @pytest.fixture
    def smaller(self, orders):
        return replace(orders[0], devices=orders[0].devices[:1], milli=1000)

    @pytest.fixture
    def impossible(self):
        return Order(marker="oc-third", allocation="C", member=0, devices=("GPU-nowhere",), milli=1000)

    @pytest.fixture
    def other_target(self, real):
        ref = f"oc-{uuid.uuid4().hex[:20]}"
        return lambda generation: Target(kind="host", ref=ref, generation=generation, node_ref=real.ref("gpu01"))

    @pytest.fixture
    def other_orders(self, orders):
        return [replace(orders[1], marker="oc-third", allocation="C")]

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation=STRANGER)

    @pytest.fixture
    def unmark(self, real):
        return lambda target: real.root("gpu01", "usermod -c '' oc-first")

    @pytest.fixture
    def made(self, real):
        def made():
            accounts = real.root("gpu01", "grep ^oc- /etc/passwd || true").splitlines()
            found = real.root("gpu01", "cd /etc; grep -r . ocenter/keys systemd/system/user-* 2>/dev/null || true")
            files = {}
            for line in found.splitlines():
                name, _, text = line.partition(":")
                files[name] = files.get(name, "") + text
            return {**{line.split(":")[0]: line for line in accounts}, **files}

        return made

    @pytest.fixture
    def refusing_to_manage(self, real):
        yield lambda: real.root("gpu01", "sed -i 's/, .*//' /etc/sudoers.d/ocenter")
        assert real.by_hand("prepare", "gpu01", "--yes") == 0

    @pytest.fixture
    def breaking(self, monkeypatch):
        """Return what lets the next apply meet something, before it is sent or after its effect."""
        usual = Session.run

        def breaking(before=None, after=None):
            async def run(session, line, stdin=""):
                if line != desired.APPLY:
                    return await usual(session, line, stdin)
                monkeypatch.setattr(Session, "run", usual)
                if before:
                    before()
                answer = await usual(session, line, stdin)
                if after:
                    after()
                return answer

            monkeypatch.setattr(Session, "run", run)

        return breaking

    @pytest.fixture
    def losing_the_answer(self, breaking):
        return lambda: breaking(after=_cut)

    @pytest.fixture
    def losing_the_request(self, breaking):
        return lambda: breaking(before=_cut)

    @pytest.fixture
    def breaking_in_the_middle(self, breaking, real):
        """A file is where the second slice's folder should be."""
        uid = desired._free_uid("oc-second", ())
        way = f"/etc/systemd/system/user-{uid}.slice.d"
        return lambda: breaking(
            before=lambda: real.root("gpu01", f"touch {way}"), after=lambda: real.root("gpu01", f"rm -f {way}")
        )

    @pytest.fixture
    def interrupting(self, breaking):
        @contextmanager
        def interrupting(number, when):
            broken = []

            def cut():
                broken.append(number)
                _cut()

            if number == 1:
                breaking(**{when: cut})
            yield broken

        return interrupting

    def test_c47_two_targets_do_not_disturb_each_other(self, connector, target, orders, real):
        """A host has one document, so two targets are two hosts."""
        other = replace(target(1), ref=f"{target(1).ref[:-1]}x", node_ref=real.ref("gpu04"))
        carry(connector, target(1), orders[:1])
        before = connector.probe(target(1))
        carry(connector, other, [replace(orders[1], devices=(real.gpus("gpu04")[0],))])

        carry(connector, replace(other, generation=2), [])

        assert connector.probe(target(1)) == before


def _cut():
    raise Transient("The connection was cut. Try again.")


class TestPeople(OnRealHosts):
    def test_open_their_own_cards_and_no_others(self, connector, target, orders, alice, bob):
        carry(connector, target(1), orders)
        cards = [f"/dev/nvidia{number}" for number in range(4)]

        assert alice.opens("oc-first", *cards, "/dev/nvidiactl") == [*cards[:2], "/dev/nvidiactl"]
        assert bob.opens("oc-second", *cards) == [cards[2]]

    def test_see_their_cards_in_the_variable_without_a_terminal_too(self, connector, target, orders, alice):
        carry(connector, target(1), orders)

        said = alice.runs("oc-first", "echo $CUDA_VISIBLE_DEVICES").stdout.strip()

        assert said == ",".join(orders[0].devices)
        assert connector.access(target(1), orders[:1]).facts["variables"] == f"CUDA_VISIBLE_DEVICES={said}"

    def test_have_no_sudo_and_a_home_that_others_cannot_read(self, connector, target, orders, alice, bob):
        carry(connector, target(1), orders)

        assert alice.runs("oc-first", "sudo -n id").returncode != 0
        assert bob.runs("oc-second", "ls /home/oc-first").returncode != 0

    def test_cannot_use_each_others_accounts(self, connector, target, orders, alice, bob):
        carry(connector, target(1), orders)

        assert bob.runs("oc-first", "true").returncode == 255 and alice.runs("oc-first", "true").returncode == 0

    def test_are_refused_after_the_lease_by_the_host_itself(self, connector, target, orders, alice):
        ends_at = datetime.now(UTC) + timedelta(seconds=8)
        carry(connector, target(1), [replace(orders[0], lease_end_at=ends_at.isoformat())])
        assert alice.runs("oc-first", "true").returncode == 0

        give_up_at = ends_at + timedelta(seconds=20)
        while alice.runs("oc-first", "true").returncode == 0:
            assert datetime.now(UTC) < give_up_at, "the key outlives its lease"
            time.sleep(0.5)

        assert connector.probe(target(1)).markers == ("oc-first",) and datetime.now(UTC) >= ends_at.replace(
            microsecond=0
        )

    def test_who_hold_a_card_are_ended_when_it_is_taken(self, connector, target, orders, alice, real, record_property):
        carry(connector, target(1), orders[:1])
        alice.runs(
            "oc-first", "for n in 0 1; do sh -c \"trap '' TERM; exec sleep 600\" <>/dev/nvidia$n >/dev/null 2>&1 & done"
        )
        holding = "pgrep -u oc-first -x sleep | wc -l"
        assert real.root("gpu01", holding).strip() == "2"

        carry(connector, target(2), [replace(orders[0], devices=orders[0].devices[:1], milli=1000)])
        assert real.root("gpu01", holding).strip() == "1"

        began = time.monotonic()
        carry(connector, target(3), [])

        record_property("release_with_holder_seconds", time.monotonic() - began)
        assert real.root("gpu01", "pgrep -c sleep || true").strip() == "0"

    def test_who_start_another_program_when_they_are_asked_to_end_are_ended(
        self, connector, target, orders, alice, real
    ):
        carry(connector, target(1), orders)
        again = "import os, signal, time\nsignal.signal(15, lambda *_: os.fork() and os._exit(0))\ntime.sleep(600)\n"
        alice.runs("oc-first", f"cat > again.py <<'E'\n{again}time.sleep(600)\nE\n")
        alice.runs("oc-first", "for n in 0 1; do python3 again.py </dev/nvidia$n >/dev/null 2>&1 & done")
        assert real.root("gpu01", "pgrep -u oc-first -f again.py | wc -l").strip() == "2"

        carry(connector, target(2), orders[1:])

        assert real.root("gpu01", "pgrep -f again.py || true") == ""

    @pytest.fixture
    def numbered(self, real):
        """A card whose device has a number of its own; the others are stand-ins with the null device's."""
        real.root("gpu01", "rm /dev/nvidia0; mknod -m 666 /dev/nvidia0 c 1 5")
        yield
        real.clear("gpu01")
        real.root(
            "gpu01", "umount /home/hidden || true; rm -f /home/hidden /dev/nvidia0; mknod -m 666 /dev/nvidia0 c 1 3"
        )

    @pytest.mark.usefixtures("numbered")
    def test_who_hold_a_card_by_another_path_are_ended_when_it_is_taken(self, connector, target, orders, alice, real):
        carry(connector, target(1), orders[:1])
        real.root("gpu01", "touch /home/hidden; mount --bind /dev/nvidia0 /home/hidden")
        alice.runs("oc-first", "sleep 600 </home/hidden >/dev/null 2>&1 & sleep 601 </dev/null >/dev/null 2>&1 &")
        assert real.root("gpu01", "readlink /proc/$(pgrep -f 'sleep 600')/fd/0").strip() == "/home/hidden"

        carry(connector, target(2), [replace(orders[0], devices=orders[0].devices[1:], milli=1000)])

        assert real.root("gpu01", "pgrep -a -u oc-first sleep").split()[1:] == ["sleep", "601"]

    def test_leave_nothing_behind(self, connector, target, orders, alice, real):
        before = real.root("gpu01", SNAPSHOT)
        carry(connector, target(1), orders)
        alice.runs("oc-first", "touch /tmp/mine /dev/shm/mine ~/mine; mkdir -p /var/tmp/mine/deep")

        carry(connector, target(2), [])

        assert real.root("gpu01", SNAPSHOT) == before
        assert real.root("gpu01", "ls -d /tmp/mine /dev/shm/mine /var/tmp/mine 2>/dev/null || true") == ""


class TestDriftOnARealHost(OnRealHosts):
    def test_of_eight_kinds_is_named_and_repaired(self, connector, target, orders, real, alice):
        uids = carry(connector, target(1), orders).found.detail["accounts"]
        before = real.root("gpu01", SNAPSHOT)
        slice_of_first = f"/etc/systemd/system/user-{uids['oc-first']}.slice.d/50-ocenter.conf"
        real.root(
            "gpu01",
            f"""set -e
            chmod 666 /dev/nvidia0
            setfacl -m u:simadmin:rw /dev/nvidia1
            rm /etc/ocenter/keys/oc-first
            rm {slice_of_first}
            useradd -u 61183 -M oc-ghost
            setfacl -x u:{uids["oc-second"]} /dev/nvidia2
            rm /dev/nvidia3; mknod -m 666 /dev/nvidia3 c 1 3
            chmod 600 /dev/nvidiactl""",
        )

        plan = connector.plan(target(1), orders)

        assert {(call.verb, call.object) for call in plan.calls} == {
            ("fence", "/dev/nvidia0"),
            ("fence", "/dev/nvidia1"),
            ("create", "/etc/ocenter/keys/oc-first"),
            ("create", slice_of_first),
            ("remove", "account oc-ghost"),
            ("grant", "/dev/nvidia2"),
            ("fence", "/dev/nvidia3"),
            ("grant", "/dev/nvidiactl"),
        }
        assert carry(connector, target(1), orders).changes == plan.calls
        assert real.root("gpu01", SNAPSHOT) == before and alice.runs("oc-first", "true").returncode == 0


class TestTheHostItself(OnRealHosts):
    def test_refuses_to_give_a_card_twice(self, connector, target, orders):
        carry(connector, target(1), orders)

        with pytest.raises(NoCapacity):
            connector.apply(target(2), [orders[0], replace(orders[1], devices=orders[0].devices[:1])])

        assert connector.plan(target(1), orders).calls == ()

    def test_of_five_documents_at_once_keeps_the_newest(self, connect, target, orders):
        outcomes: dict[int, object] = {}

        def write(generation, connector):
            try:
                outcomes[generation] = connector.apply(target(generation), orders[:1])
            except ConnectorError as error:
                outcomes[generation] = error.code

        writers = [threading.Thread(target=write, args=(number, connect())) for number in (3, 5, 1, 4, 2)]
        for each in writers:
            each.start()
        for each in writers:
            each.join()

        assert connect().probe(target(5)).generation == 5
        assert {outcome for outcome in outcomes.values() if isinstance(outcome, str)} <= {
            "stale_generation",
            "unconfirmed",
        }

    @pytest.mark.parametrize(
        "line", ["id", f"{desired.OBSERVE}; id", "sudo -n /usr/local/sbin/ocenter-hostctl restore", ""]
    )
    def test_lets_the_service_key_say_nothing_else(self, real, line):
        said = real.ssh("gpu01", "ocenter", real.backend.inventory["service_key"], line)

        assert said.returncode == 77 and "refused" in said.stderr and said.stdout == ""

    def test_gives_cards_of_another_vendor_too(self, connector, real, alice):
        node = next(node for node in nodes(connector) if node.name == "gpu05")
        target = Target(kind="host", ref=f"oc-{uuid.uuid4().hex[:20]}", generation=1, node_ref=node.ref)
        order = Order(
            marker="oc-npu",
            allocation="N",
            member=0,
            devices=(node.devices[3].ref,),
            milli=1000,
            ssh_keys=(alice.public,),
        )

        carry(connector, target, [order])

        line = "for n in 2 3; do (exec 3<>/dev/davinci$n) 2>/dev/null && echo $n; done; echo $ASCEND_RT_VISIBLE_DEVICES"
        assert alice.runs("oc-npu", line, "gpu05").stdout.split()[0] == "3"
        assert carry(connector, replace(target, generation=2), []).found == Absent()

    def test_gives_one_lease_back_while_the_card_of_another_is_dead(self, connector, target, orders, real, bob):
        carry(connector, target(1), orders)
        real.root("gpu01", "rm /dev/nvidia2")

        with pytest.raises(Transient) as raised:
            connector.apply(target(2), orders[1:])

        found = connector.probe(target(2))
        assert raised.value.code == "incomplete" and "/dev/nvidia2 (oc-second)" in raised.value.platform_words
        assert "oc-second" not in str(raised.value), "all tenants of the host read the sentence"
        assert found.markers == () and found.detail["leaving"] == []
        assert real.root("gpu01", "grep ^oc- /etc/passwd").split(":")[0] == "oc-second"
        real.root("gpu01", "mknod -m 666 /dev/nvidia2 c 1 3")
        assert carry(connector, target(2), orders[1:]).found.markers == ("oc-second",)
        assert bob.opens("oc-second", "/dev/nvidia0", "/dev/nvidia2") == ["/dev/nvidia2"]

    def test_takes_no_older_document_after_nothing_was_given_back(self, connector, target, orders):
        assert carry(connector, target(2), []).changes == ()

        assert refused(connector.apply, target(1), orders).code == "stale_generation"

    def test_lets_nothing_hang(self, connector, target, real):
        """Root's own timeout ends the helper: the service account may not."""
        helper = "/usr/local/sbin/ocenter-hostctl"
        real.root("gpu01", f"cp -p {helper} /root/kept; printf '#!/bin/sh\nexec sleep 321\n' >{helper}")
        try:
            with pytest.raises(Transient) as raised:
                connector.probe(target(1))

            assert raised.value.code == "truncated" and real.root("gpu01", "pgrep -f 'sleep 321' || true") == ""
        finally:
            real.root("gpu01", f"cp -p /root/kept {helper}; rm /root/kept")

    def test_looks_for_keys_where_only_root_writes(self, real):
        def found(user):
            said = real.root("gpu01", f"/usr/sbin/sshd -T -C user={user},host=h,addr=192.0.2.1")
            return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

        lessee, service, other = found("oc-abc"), found("ocenter"), found("simadmin")
        assert (lessee["authorizedkeysfile"], lessee["permituserrc"]) == ("/etc/ocenter/keys/%u", "no")
        assert service["authorizedkeysfile"] == "/etc/ocenter/service/%u"
        assert other["authorizedkeysfile"] == ".ssh/authorized_keys" and other["permituserrc"] == "yes"
        assert "CUDA_VISIBLE_DEVICES" in other["permituserenvironment"]

    def test_is_quick(self, connector, target, orders, record_property):
        began = time.monotonic()
        carry(connector, target(1), orders)
        first = time.monotonic() - began
        again = carry(connector, target(1), orders)

        record_property("first_apply_of_2_leases_seconds", first)
        assert again.changes == () and first < 10


class TestPreparing(OnRealHosts):
    def test_is_shown_first_and_then_needed_no_more(self, real, capsys):
        assert real.by_hand("prepare", "gpu01") == 0

        assert capsys.readouterr().out == "nothing: the host is prepared\n"

    def test_is_undone_without_a_trace(self, real):
        assert real.by_hand("remove", "gpu04", "--yes") == 0
        assert real.root("gpu04", SNAPSHOT) == real.unprepared["gpu04"]

        assert real.by_hand("prepare", "gpu04", "--yes") == 0

    def test_is_not_undone_while_somebody_has_a_card(self, real, connector, target, orders, capsys):
        carry(connector, target(1), orders)

        assert real.by_hand("remove", "gpu01", "--yes") == 1

        assert "oc-first" in capsys.readouterr().err and connector.plan(target(1), orders).calls == ()

    def test_of_a_host_where_somebody_has_a_lessees_uid_is_refused(self, real, capsys):
        real.root("gpu04", "useradd -u 61005 -M carol")
        try:
            assert real.by_hand("prepare", "gpu04", "--yes") == 1
        finally:
            real.root("gpu04", "userdel carol")

        assert "carol:61005" in capsys.readouterr().err

    def test_of_a_host_with_another_key_is_refused(self, real, capsys):
        way, inventory = real.backend.hosts["gpu01"]["ssh"], real.backend.inventory
        where = [way["address"], "--port", str(way["port"]), "--allow", "127.0.0.0/8", "--fingerprint", "SHA256:other"]

        code = command.main(["remove", *where, "--admin", "simadmin", "--key", inventory["admin_key"], "--yes"])

        assert code == 1 and "console" in capsys.readouterr().err

    def test_leaves_a_host_that_can_be_managed(self, connector):
        check = connector.check()

        assert check.manage.ok and check.manage.missing == ()

    def test_is_named_where_it_is_missing(self, real, refused_host):
        assert any(missing.startswith("gpu01") for missing in refused_host.check().manage.missing)

    @pytest.fixture
    def refused_host(self, real, connector):
        real.root("gpu01", "rm /etc/sudoers.d/ocenter")
        yield connector
        assert real.by_hand("prepare", "gpu01", "--yes") == 0

    def test_without_the_rule_of_sudo_denies_and_changes_nothing(self, refused_host, target, orders, real):
        assert refused(refused_host.apply, target(1), orders).code == "forbidden"

        assert real.root("gpu01", "grep -c ^oc- /etc/passwd || true").strip() == "0"
