"""Plants a secret of every kind, lets everything go wrong with it, and looks for it in everything that is left behind.

The whole of it runs a real installation: web, worker, beat, PostgreSQL and Valkey as `manage.py up` starts them.
"""

import base64
import json
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psycopg
import pytest
import redis
from cryptography.fernet import Fernet

from ocenter import addresses, embedded, home
from tests.connectors.server import Authority, serving
from tests.security import echo, places
from tests.security.planted import Planted, made_up
from tests.up.running import CHECKOUT, Installation, free_port

pytestmark = pytest.mark.crash

SESSION_TABLES = {"django_session", "usersessions_usersession"}
"""The only tables that may hold a secret as it is: Django looks a session up by its id (docs/threat-model.md)."""
KUBECONFIG = """
apiVersion: v1
current-context: c
clusters: [{{name: c, cluster: {{server: {url}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{token: "{token}", client-certificate-data: {certificate}, client-key-data: {key}}}}}]
"""
CLOUDS = """
clouds:
  c:
    auth: {{auth_url: {url}/v3, username: u, password: "{password}", project_name: p}}
"""


class Watched:
    """An installation with planted secrets, and everything that it answered."""

    def __init__(self, folder, platform, provider):
        self.planted = Planted()
        plant = self.plant
        self.old_key, self.new_key = (plant(f"credential key {n}", Fernet.generate_key().decode()) for n in (1, 2))
        seal_key = plant("seal key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        mail = f"smtp://mail:{plant('mail password', secrets.token_hex(16))}@127.0.0.1:{free_port()}"
        self.platform, self.provider = platform, provider
        self.installation = Installation(
            folder,
            OCENTER_SECRET_KEY=plant("secret key", secrets.token_urlsafe(50)),
            OCENTER_CREDENTIAL_KEYS=self.old_key,
            OCENTER_SEAL_KEYS=seal_key,
            OCENTER_OIDC_ISSUER=provider.url,
            OCENTER_OIDC_CLIENT_ID="ocenter",
            OCENTER_OIDC_CLIENT_SECRET=plant("oidc client secret", made_up("oidc")),
            OCENTER_EMAIL_URL=mail,
            OCENTER_OUTGOING_ALLOW="127.0.0.0/8",
            OCENTER_LOG_LEVEL="debug",
        )
        self.answers = []
        self.commands = []
        self.queue = []
        self.admin_password = ""

    def plant(self, name, secret):
        return self.planted.add(name, secret)

    def start(self):
        self.installation.start()
        self.base = f"http://127.0.0.1:{self.installation.port}"
        kept = home.read_secrets(self.installation.home)
        for name in ("superuser_password", "owner_password", "app_password"):
            self.plant(name.replace("_", " "), getattr(kept, name))
        self.database = addresses.postgres_url(
            addresses.postgres_sockets(self.installation.home), addresses.SUPERUSER, kept.superuser_password
        )
        socket = str(addresses.valkey_sockets(self.installation.home) / "valkey.sock")
        self.valkeys = [redis.Redis(unix_socket_path=socket, db=number) for number in (0, 1)]
        threading.Thread(target=self._overhear, args=(redis.Redis(unix_socket_path=socket),), daemon=True).start()

    def _overhear(self, client):
        """Note each command that reaches the broker, and so each message, also those that are taken at once."""
        with suppress(redis.RedisError), client.monitor() as monitor:
            for command in monitor.listen():
                self.queue.append(command["command"])

    def manage(self, *words, is_secret=False, **environment):
        ran = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=CHECKOUT,
            env=self.installation.environment | environment,
            capture_output=True,
            text=True,
        )
        if not is_secret:
            self.commands.append(ran.stdout)
        self.commands.append(ran.stderr)
        return ran.stdout.strip()

    def ask(self, client, method, path, *, shows=(), **options):
        """Send a request; what it answers is looked through, without the fields that show a secret once."""
        answer = client.request(method, self.base + path, **options)
        text = answer.text
        for name in shows:
            text = text.replace(answer.json().get(name) or "", "")
        kept = [f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie"]
        self.answers.append(f"{method} {answer.status_code} {text} {kept}")
        return answer

    def statement(self, text):
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(text)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    where = []
    with serving(echo.platform) as platform, serving(lambda seen: echo.provider(where[0], seen)) as provider:
        where.append(provider.url)
        made = Watched(folder, platform, provider)
        try:
            made.start()
            yield made
        finally:
            if made.installation.process is not None and made.installation.process.poll() is None:
                made.installation.stop(signal.SIGTERM)
            made.installation.clean()


@pytest.fixture(scope="module")
def lived(watched):
    """The installation after all of it happened."""
    browser = _in_a_browser(watched)
    caller = _with_a_token(watched)
    _pools(watched, caller)
    _mistakes(watched, caller)
    _links(watched, caller, browser)
    _failures(watched, caller, browser)
    watched.manage("rotate-key", OCENTER_CREDENTIAL_KEYS=f"{watched.new_key},{watched.old_key}")
    watched.manage("verify")
    watched.metrics = watched.ask(caller, "GET", "/metrics").text
    assert "ocenter_pool_info" in watched.metrics
    return watched


def _form(watched, client, path):
    page = watched.ask(client, "GET", path)
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]


def _in_a_browser(watched):
    """Log in with wrong passwords, then with the right one; begin single sign-on, which fails."""
    right = watched.admin_password = re.search(r"with the password (\S+)", watched.installation.said())[1]
    browser = httpx.Client(follow_redirects=False, timeout=30)
    for word in (watched.plant("wrong password", made_up("wrong")), right):
        token = _form(watched, browser, "/login/")
        form = {"username": "admin", "password": word, "csrfmiddlewaretoken": token}
        answer = watched.ask(browser, "POST", "/login/", data=form)
    assert answer.status_code == 302, answer.text[:500]
    watched.plant("session id", browser.cookies["ocenter_session"])
    stranger = httpx.Client(timeout=30)
    token = _form(watched, stranger, "/login/")
    begun = watched.ask(stranger, "POST", "/oidc/oidc/login/", data={"csrfmiddlewaretoken": token})
    state = re.search(r"state=(\w+)", begun.headers.get("location", ""))
    code = watched.plant("oidc code", secrets.token_hex(16))
    watched.ask(stranger, "GET", f"/oidc/oidc/login/callback/?code={code}&state={state[1] if state else 'x'}")
    return browser


def _with_a_token(watched):
    token = watched.plant("token", watched.manage("token", "--name", "planted", is_secret=True))
    caller = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30)
    made = watched.ask(caller, "POST", "/api/v1/tokens", json={"name": "other"}, shows=("token",))
    if made.status_code == 201:
        other = watched.plant("token made by a token", made.json()["token"])
        watched.ask(caller, "POST", f"/api/v1/tokens/{made.json()['id']}/rotate", json={}, shows=("token",))
        for header in (f"Basic {other}", f"Token {other}", f"Bearer {other}x", f"Bearer  {other} {other}", other):
            watched.ask(httpx.Client(headers={"Authorization": header}), "GET", "/api/v1/pools")
    for path in (f"/api/v1/pools?token={token}", f"/metrics?access_token={token}", f"/login/?key={token}"):
        httpx.get(watched.base + path)  # what a browser shows to whoever typed it is theirs
    return caller


def _pools(watched, caller):
    """Register a pool of every way to log in; each is checked and observed, and its platform quotes the secret."""
    url, plant, identity = watched.platform.url, watched.plant, Authority().identity("ocenter")
    token = plant("token in a kubeconfig", secrets.token_hex(20))
    plant("client key", identity.key_pem)
    config = KUBECONFIG.format(
        url=url,
        token=token,
        certificate=base64.b64encode(identity.certificate_pem.encode()).decode(),
        key=plant("client key in base64", base64.b64encode(identity.key_pem.encode()).decode()),
    )
    openstack = {"auth_url": f"{url}/v3", "username": "u", "project_name": "p"}
    application = {"auth_url": f"{url}/v3", "auth_type": "application_credential", "application_credential_id": "i"}
    clouds = CLOUDS.format(url=url, password=plant("password in clouds.yaml", secrets.token_hex(20)))
    ways = {
        "token": ("kubernetes", {"api_url": url}, {"token": plant("kubernetes token", secrets.token_hex(20))}),
        "kubeconfig": ("kubernetes", {}, {"kubeconfig": config}),
        "password": ("openstack", openstack, {"password": plant("openstack password", made_up("openstack"))}),
        "application": (
            "openstack",
            application,
            {"application_credential_secret": plant("application secret", made_up("application"))},
        ),
        "clouds": ("openstack", {"auth_type": "clouds_yaml"}, {"clouds_yaml": clouds}),
        "simulated": ("simulated", {"nodes": 1}, {"token": plant("simulated token", made_up("simulated"))}),
    }
    for name, (kind, settings, credential) in ways.items():
        body = {"name": name, "kind": kind, "settings": settings, "credential": credential}
        made = watched.ask(caller, "POST", "/api/v1/pools", json=body)
        assert made.status_code == 201, made.text
        watched.ask(caller, "POST", f"/api/v1/pools/{name}/check", json={})
        watched.ask(caller, "POST", f"/api/v1/pools/{name}/sync", json={"dry_run": True})
    replaced = {"token": plant("kubernetes token 2", secrets.token_hex(20))}
    watched.ask(caller, "PUT", "/api/v1/pools/token/credential", json=replaced)
    watched.ask(caller, "POST", "/api/v1/pools/token/check", json={})
    _until(lambda: [name for name in ways if not _is_told(watched, caller, name)])
    told = [watched.ask(caller, "GET", f"/api/v1/pools/{name}/check").text for name in ways]
    assert sum("Not you" in text and "***" in text for text in told) >= 5, told


def _is_told(watched, caller, name):
    checked = caller.get(f"{watched.base}/api/v1/pools/{name}/check").json()
    runs = caller.get(f"{watched.base}/api/v1/sync-runs?pool={name}").json()["results"]
    return checked.get("reachable") is not None and runs and all(run["ended_at"] for run in runs)


def _mistakes(watched, caller):
    """Put secrets where none belong: each is refused, and no refusal quotes what it refuses."""
    misplaced = watched.plant("misplaced secret", made_up("misplaced"))
    pool = {"name": "wrong", "kind": "kubernetes", "settings": {}, "credential": {}}
    for wrong in (
        {"settings": {"token": misplaced}},
        {"settings": {"api_url": f"https://user:{misplaced}@pool.example"}},
        {"settings": {"api_url": misplaced, "page_size": misplaced, "tls_verify": misplaced}},
        {"credential": {"kubeconfig": {"token": misplaced}}},
        {"credential": {"token": [misplaced]}},
        {"credential": misplaced},
        {"kind": misplaced, "credential": {"token": misplaced}},
        {"labels": misplaced, "region": [misplaced]},
    ):
        answer = watched.ask(caller, "POST", "/api/v1/pools", json=pool | wrong)
        assert answer.status_code == 422, answer.text
    for content in (b'{"credential": {"token": "' + misplaced.encode(), f'["{misplaced}"]'.encode()):
        watched.ask(caller, "POST", "/api/v1/pools", content=content, headers={"Content-Type": "application/json"})
    watched.ask(caller, "PUT", "/api/v1/pools/token/credential", json={"password": misplaced, "tokn": misplaced})
    watched.ask(caller, "PUT", "/api/v1/pools/absent/credential", json={"token": misplaced})


def _links(watched, caller, browser):
    """Invite somebody and let a password be reset: links are as good as passwords."""
    body = {"email": "new@example.org"}
    made = watched.ask(caller, "POST", "/api/v1/invitations", json=body, shows=("link",))
    assert made.status_code == 201, made.text
    link = made.json()["link"]
    watched.plant("invitation link", link.rstrip("/").rsplit("/", 1)[1])
    browser.get(link), browser.get(link + "x")
    token = _form(watched, browser, "/")
    form = {"email": "admin", "csrfmiddlewaretoken": token}
    watched.ask(httpx.Client(cookies=browser.cookies), "POST", "/account/password/reset/", data=form)


def _failures(watched, caller, browser):
    """Take tables away, so that statements with secrets in them fail and answers are 500."""
    broken = watched.plant("secret in a failing request", made_up("broken"))
    for table, requests in {
        "credential": [
            ("PUT", "/api/v1/pools/token/credential", {"json": {"token": broken}}),
            ("POST", "/api/v1/pools", {"json": {"name": "x", "kind": "simulated", "credential": {"token": broken}}}),
        ],
        "api_token": [("GET", "/api/v1/pools", {}), ("POST", "/api/v1/tokens", {"json": {"name": "x"}})],
        "audit_event": [("PUT", "/api/v1/pools/token/credential", {"json": {"token": broken}})],
    }.items():
        watched.statement(f"ALTER TABLE {table} RENAME TO taken_away")
        try:
            statuses = [watched.ask(caller, m, path, **options).status_code for m, path, options in requests]
        finally:
            watched.statement(f"ALTER TABLE taken_away RENAME TO {table}")
        assert 500 in statuses or 503 in statuses or table == "api_token", (table, statuses)
    token = _form(watched, browser, "/")
    for table in ("django_session", "app_user"):
        watched.statement(f"ALTER TABLE {table} RENAME TO taken_away")
        try:
            watched.ask(browser, "GET", "/pools/")
            form = {"username": "admin", "password": broken, "csrfmiddlewaretoken": token}
            watched.ask(
                httpx.Client(cookies={"ocenter_csrf": browser.cookies["ocenter_csrf"]}), "POST", "/login/", data=form
            )
        finally:
            watched.statement(f"ALTER TABLE taken_away RENAME TO {table}")


def _until(left_to_do):
    deadline = time.monotonic() + 60
    while left := left_to_do():
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


class TestAPlantedSecret:
    def test_is_in_no_answer_and_no_metric(self, lived):
        assert len(lived.answers) > 60
        assert lived.planted.found_in(*lived.answers, lived.metrics) == set()

    def test_is_in_no_log_and_no_output(self, lived):
        logs = dict(places.files(lived.installation.home / "logs"))
        output = lived.installation.said().replace(lived.admin_password, "")

        assert len(logs) >= 5 and any(b"run_failed" in text for text in logs.values())
        assert lived.planted.found_in(output, *lived.commands) == set()
        assert {name: found for name, text in logs.items() if (found := lived.planted.found_in(text))} == {}

    def test_is_in_no_message_and_no_cache(self, lived):
        kept = [text for client in lived.valkeys for _, text in places.keys(client)]

        assert any("observe" in command for command in lived.queue) and kept
        assert lived.planted.found_in(*kept, *lived.queue) == set()

    def test_is_in_no_row_of_any_table(self, lived):
        with psycopg.connect(lived.database) as connection:
            rows = list(places.rows(connection))

        tables = {table for table, _ in rows}
        assert tables > {"credential", "api_token", "invitation", "sync_run", "pool_sync"}
        found = {(table, name) for table, row in rows for name in lived.planted.found_in(row)}
        assert {(table, name) for table, name in found if table not in SESSION_TABLES} == set()
        assert {name for _, name in found} <= {"session id"}

    def test_is_in_no_dump(self, lived):
        programs = embedded.postgres_of(lived.installation.home).binaries
        dump = subprocess.run([programs / "pg_dump", lived.database], capture_output=True, check=True).stdout

        assert b"COPY public.credential" in dump
        assert lived.planted.found_in(dump) <= {"session id"}

    def test_is_in_no_file_but_the_one_for_secrets(self, lived):
        lived.installation.stop(signal.SIGTERM)

        left = dict(places.files(lived.installation.home, home.SECRETS))
        found = {path: names for path, text in left.items() if (names := lived.planted.found_in(text) - {"session id"})}

        assert found == {} and any("base/" in path for path in left)
        assert "superuser password" in lived.planted.found_in((lived.installation.home / home.SECRETS).read_bytes())

    def test_would_have_been_found(self):
        planted = Planted(word="pl4nted/a+b=&c")

        for dressed in ("xpl4nted/a+b=&cx", "pl4nted%2Fa%2Bb%3D%26c", base64.b64encode(b"{pl4nted/a+b=&c}").decode()):
            assert planted.found_in(dressed) == {"word"}
        assert planted.found_in(json.dumps({"a": "pl4nted/a+b=&c"}), "\\x" + b"pl4nted/a+b=&c".hex()) == {"word"}
        assert planted.found_in("pl4nted/a+b") == set()
