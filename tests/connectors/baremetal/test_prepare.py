"""What prepare puts on a host: readable, closed, the same every time, and only what it showed."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import asyncssh
import pytest

from connectors.baremetal import __main__ as command
from connectors.baremetal import desired, installed, prepare
from connectors.baremetal.hosts import Host
from connectors.baremetal.installed import GATE, RESTORE, SSHD, SUDOERS
from connectors.baremetal.look import HELPER, LOOK
from connectors.baremetal.prepare import Administrator, Before
from connectors.baremetal.ssh import Answer, bounded
from connectors.baremetal.tools.catalog import TOOLS
from connectors.contract import Permanent

KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
TOOL_FOLDER = Path(installed.__file__).with_name("tools")
GOOD = {"openssh": "9.2", "python": "3.11.2", "sudo": "yes", "include": "yes"}


def files(**more):
    return installed.files("ocenter", KEY, "SHA256:this", **{"has_systemd": False, **more})


class TestHelper:
    def test_is_the_same_file_for_the_same_source(self):
        assert installed.helper() == installed.helper()

    def test_can_be_read_in_the_file_itself(self):
        """Nothing in it is compressed: the administrator can look at what will run as root."""
        for path in TOOL_FOLDER.with_name("hostctl").glob("*.py"):
            assert path.read_bytes() in installed.helper()
        assert zipfile.ZipFile(io.BytesIO(installed.helper())).testzip() is None

    @pytest.mark.parametrize("python", ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3"])
    def test_runs_where_nothing_but_python_is(self, python, tmp_path):
        if shutil.which(python) is None or subprocess.run([python, "-c", ""], check=False).returncode != 0:
            pytest.skip(f"{python} is not installed")
        packed = tmp_path / "ocenter-hostctl"
        packed.write_bytes(installed.helper())

        done = subprocess.run([python, "-I", packed, "plan"], input="{}", capture_output=True, text=True, check=False)

        assert done.returncode == 2 and '"invalid"' in done.stdout and done.stderr == ""

    def test_uses_the_standard_library_only(self):
        source = "".join(path.read_text() for path in TOOL_FOLDER.with_name("hostctl").glob("*.py"))

        used = {match.split(".")[0] for match in re.findall(r"^(?:from|import) ([a-z_]\w*)", source, re.M)}

        assert used <= {"collections", "contextlib", "dataclasses", "datetime", "errno", "fcntl", "functools"} | {
            *("hashlib", "json", "os", "pathlib", "re", "shutil", "signal", "stat", "struct", "subprocess", "sys"),
            *("time", "typing", "__future__"),
        }


class TestGate:
    @pytest.fixture
    def gate(self, tmp_path):
        """The gate, with the word that it would run instead of running it."""
        path = tmp_path / "gate"
        path.write_text(installed.gate().replace("exec /bin/sh -c", "printf %s"))

        def gate(line):
            env = {"SSH_ORIGINAL_COMMAND": line} if line is not None else {}
            done = subprocess.run(["sh", path], env=env, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

        return gate

    def test_lets_pass_every_line_that_the_connector_says(self, gate):
        lines = [LOOK, desired.OBSERVE, desired.PLAN, desired.APPLY, desired.RIGHTS]
        lines += [bounded(tool.command) for tool in TOOLS.values()]

        assert [gate(line) for line in lines] == [(0, line) for line in lines]

    @pytest.mark.parametrize(
        "line",
        [
            None,
            "",
            "id",
            f"{desired.OBSERVE}; id",
            f"{desired.OBSERVE} ",
            f"{desired.OBSERVE}\nid",
            f"{desired.APPLY} && id",
            "sudo -n /usr/local/sbin/ocenter-hostctl restore",
            "timeout -k 2 20 nvidia-smi -q -x -r",
            "*",
            "$(id)",
        ],
    )
    def test_refuses_everything_else_with_77(self, gate, line):
        assert gate(line) == (77, "")


class TestFiles:
    def test_are_roots_and_name_why_they_are_there(self):
        told = prepare.shown(Before(files={}, facts=GOOD), "ocenter", files())

        assert told.startswith("create account ocenter") and all(file.why in told for file in files())
        assert f"NOPASSWD: /usr/bin/timeout -k 2 20 {HELPER} observe, " in told and KEY in told

    def test_that_are_there_already_are_not_written_again(self):
        there = {file.path: prepare._seen(file) for file in files()}

        assert prepare.missing(Before(files=there, facts=GOOD), files()) == []
        changed = {**there, GATE: there[GATE].replace("root", "ocenter")}
        assert [file.path for file in prepare.missing(Before(files=changed, facts=GOOD), files())] == [GATE]

    def test_give_sudo_three_verbs_and_no_pattern(self):
        rule = installed.sudoers("ocenter")

        assert rule.count(HELPER) == 3 and not set(rule) & set("*?[!\\")

    def test_let_root_end_a_helper_that_hangs(self):
        """The account may not send a signal to what sudo made root's, so its own ``timeout`` would wait with it."""
        rule = installed.sudoers("ocenter").strip().partition("NOPASSWD: ")[2].split(", ")

        assert [f"sudo -n {command}" for command in rule] == [desired.OBSERVE, desired.PLAN, desired.APPLY]
        assert all(command.startswith("/usr/bin/timeout -k 2 20 ") for command in rule)

    @pytest.mark.skipif(shutil.which("visudo") is None, reason="visudo is not installed")
    def test_are_taken_by_visudo(self, tmp_path):
        (tmp_path / "rule").write_text(installed.sudoers("ocenter"))

        assert subprocess.run(["visudo", "-cqf", tmp_path / "rule"], check=False).returncode == 0

    @pytest.mark.skipif(
        not (Path("/usr/sbin/sshd").exists() and Path("/run/sshd").is_dir() and os.geteuid() == 0),
        reason="sshd is not installed, or not by root, so it does not judge its configuration",
    )
    def test_make_sshd_look_for_keys_where_only_root_writes(self, tmp_path):
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (tmp_path / "50-ocenter.conf").write_text(installed.sshd("ocenter"))
        main = tmp_path / "sshd_config"
        main.write_text(f"Include {tmp_path}/*.conf\nHostKey {key}\nPasswordAuthentication yes\n")

        def found(user):
            ask = ["/usr/sbin/sshd", "-T", "-f", main, "-C", f"user={user},host=h,addr=192.0.2.1"]
            said = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
            return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

        lessee, service, other = found("oc-abc"), found("ocenter"), found("alice")
        assert lessee["authorizedkeysfile"] == "/etc/ocenter/keys/%u" and lessee["passwordauthentication"] == "no"
        assert service["authorizedkeysfile"] == "/etc/ocenter/service/%u" and lessee["permituserrc"] == "no"
        assert other["authorizedkeysfile"].startswith(".ssh/") and other["passwordauthentication"] == "yes"
        assert set(other["permituserenvironment"].split(",")) == set(installed.VARIABLES)

    def test_let_keys_set_every_variable_that_a_tool_names(self):
        named = {
            word
            for path in TOOL_FOLDER.glob("*.py")
            for word in re.findall(r"[A-Z_]+_VISIBLE_DEVICES|ZE_AFFINITY_MASK", path.read_text())
        }

        assert named and named <= set(installed.VARIABLES)

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
    def test_bring_leases_back_at_boot_under_systemd_only(self, tmp_path):
        unit = tmp_path / "ocenter-restore.service"
        unit.write_text(installed.restore().replace(HELPER, "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

        assert [line for line in done.stderr.splitlines() if "ocenter-restore" in line] == []
        assert "\nRestart=on-failure\n" in installed.restore(), "a driver that comes late"
        paths = {file.path for file in files(has_systemd=True)} - {file.path for file in files()}
        assert paths == {RESTORE}


class Said:
    """An administrator's way that only writes down what it was told to run."""

    def __init__(self, code=0):
        self.scripts = []
        self._code = code

    def ask(self, host, line, stdin=""):
        self.scripts.append((line, stdin))
        return Answer(self._code, "", "sudo: a password is required")


def way(said, is_root=False):
    return Administrator(ssh=said, host=Host(name="gpu01", address="192.0.2.1", host_key=KEY), is_root=is_root)


class TestPreparing:
    @pytest.mark.parametrize(
        ("fact", "value", "word"),
        [
            ("openssh", "8.0", "OpenSSH"),
            ("openssh", "", "OpenSSH"),
            ("python", "3.8.10", "3.9"),
            ("sudo", None, "sudo"),
            ("include", None, "include"),
            ("others", "carol:61005", "61000 to 61183"),
        ],
    )
    def test_names_what_the_host_lacks(self, fact, value, word):
        facts = {key: text for key, text in {**GOOD, fact: value}.items() if text is not None}

        (objection,) = Before(files={}, facts=facts).objections()

        assert word in objection and Before(files={}, facts=GOOD).objections() == []

    def test_judges_the_rules_before_they_are_in_their_place(self):
        said = Said()
        prepare.prepare(way(said), Before(files={}, facts=GOOD), "ocenter", files())

        (line, script), *_ = said.scripts
        assert line == "sudo -n sh -s" and script.index("visudo -cqf") < script.index(f"mv {SUDOERS}.new")
        assert script.index(f"mv {SSHD}.new") < script.index(" -t || {") < script.index("kill -HUP")

    def test_is_plain_shell(self):
        script = "".join(prepare._script(Before(files={}, facts=GOOD), "ocenter", files(has_systemd=True)))

        assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0

    def test_that_is_refused_says_why(self):
        with pytest.raises(Permanent) as raised:
            prepare.prepare(way(Said(code=1)), Before(files={}, facts=GOOD), "ocenter", files())

        assert raised.value.code == "rejected" and "a password is required" in str(raised.value)

    def test_takes_no_account_of_leases_as_the_service(self, capsys):
        arguments = ["remove", "192.0.2.1", "--fingerprint", "x", "--admin", "root", "--key", "/dev/null"]

        assert command.main([*arguments, "--user", "oc-mine"]) == 1 and "oc-mine" in capsys.readouterr().err

    @pytest.mark.parametrize("user", ["root", "admin"])
    def test_locks_no_administrator_out(self, user, capsys):
        arguments = ["prepare", "192.0.2.1", "--fingerprint", "x", "--admin", "admin", "--key", "/dev/null"]

        assert (
            command.main([*arguments, "--service-key", "/dev/null", "--user", user]) == 1
            and "locked out" in capsys.readouterr().err
        )


class TestRemoving:
    def test_is_refused_while_a_lease_is_there(self):
        carried = '{"document": {"leases": [{"user": "oc-first"}]}, "remaining": []}'
        said = Said()

        with pytest.raises(Permanent) as raised:
            prepare.remove(way(said), Before(files={}, facts={"carried": carried}), "ocenter")

        assert raised.value.code == "conflict" and "oc-first" in str(raised.value) and said.scripts == []

    @pytest.mark.parametrize(
        ("carried", "word"),
        [
            ("", "Prepare the host again"),
            ("Traceback", "Prepare the host again"),
            ('{"error": "invalid", "message": "no"}', "Prepare the host again"),
            ('{"document": {"leases": []}, "remaining": [{"verb": "remove"}]}', "restore"),
        ],
    )
    def test_is_refused_while_nobody_knows_that_all_was_given_back(self, carried, word):
        said = Said()

        with pytest.raises(Permanent) as raised:
            prepare.remove(way(said), Before(files={}, facts={"carried": carried}), "ocenter")

        assert raised.value.code == "conflict" and word in str(raised.value) and said.scripts == []

    def test_takes_the_files_and_only_the_account_that_prepare_made(self):
        said = Said()
        there = {file.path: hashlib.sha256(file.content).hexdigest() for file in files()}
        before = Before(files=there, facts={"account": "somebody's", "carried": '{"document": null, "remaining": []}'})

        prepare.remove(way(said, is_root=True), before, "ocenter")

        (line, script), *_ = said.scripts
        assert line == "sh -s" and all(path in script for path in there) and "userdel" not in script
        ours = Before(files=there, facts={"account": prepare.COMMENT, "carried": '{"document": null, "remaining": []}'})
        assert "account ocenter" in prepare.traces(ours, "ocenter")
