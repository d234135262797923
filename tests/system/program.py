"""The real program for a test: settings in a folder, `serve` as a process, its ports, its log, its commands."""

import json
import os
import poplib
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import trustme
from bench.processes import family, memory_of

HOSTNAME = "mail.example.org"
PASSWORD = "correct horse"
PATIENCE = 30.0
"""Seconds until what must happen counts as not happening; far more than needed, as the machine may be busy."""

ROLES = ("mx", "submission", "submissions", "pop3", "pop3s")


def wait_until(done: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Ask ``done`` again and again until it is true; AssertionError with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"gave up after {seconds} s: {what}"
        time.sleep(0.02)


def to_toml(settings: Mapping[str, Any]) -> str:
    """Settings as TOML: plain values first, then tables, then arrays of tables."""
    plain = [f"{k} = {json.dumps(v)}" for k, v in settings.items() if not _is_table(v)]
    tables: list[str] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in value.items())]
        elif _is_table(value):
            for row in value:
                tables += ["", f"[[{name}]]", *(f"{k} = {_inline(v)}" for k, v in row.items())]
    return "\n".join([*plain, *tables]) + "\n"


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{json.dumps(k)} = {json.dumps(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


class Program:
    """One `postroom serve` under ``folder``; ``settings`` go over those that every test needs.

    The log of all runs goes to one file, so that a test can ask what was told before a kill.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, templates: Path | None = None) -> None:
        """``templates`` is a folder in which databases with accounts are kept, as making them takes long."""
        self.folder = folder
        self._templates = templates
        self.settings_file = folder / "postroom.toml"
        self.log_file = folder / "log"
        self.authority = trustme.CA()
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.write_certificate()
        self.settings: dict[str, Any] = {
            "hostname": HOSTNAME,
            "data": "data",
            "tls": {"certificate": "certificate.pem", "key": "key.pem"},
            "listener": [{"role": role, "addresses": ["127.0.0.1"], "port": 0} for role in ROLES],
            "web": {"port": 0},
            "log": {"format": "json", "level": "debug"},
            "queue": {"apart": False},  # one process starts sooner; who is about more of them asks for them
            "outbound": {"processes": 0},
            "dns": {"servers": ["127.0.0.1:9"], "timeout": 1},  # nobody answers there: no test reaches outside
        }
        for name, value in (settings or {}).items():
            if isinstance(value, Mapping) and name in self.settings:
                self.settings[name] = {**self.settings[name], **value}
            else:
                self.settings[name] = value
        self.settings_file.write_text(to_toml(self.settings))

    # -- certificate -------------------------------------------------------------------------------------------------

    def write_certificate(self) -> bytes:
        """A new certificate for this host, of the same authority; returned as DER."""
        issued = self.authority.issue_cert(HOSTNAME, "localhost", "127.0.0.1")
        (self.folder / "certificate.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        (self.folder / "key.pem").chmod(0o600)
        self.authority.cert_pem.write_to_path(self.folder / "authority.pem")
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this server alone."""
        return ssl.create_default_context(cafile=str(self.folder / "authority.pem"))

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> "Program":
        """Start the server and wait until it says that it is ready."""
        assert self._process is None, "it runs already"
        from_here = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            command = [sys.executable, "-m", "postroom", "serve", "-c", str(self.settings_file)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def is_ready() -> bool:
            assert self.is_running, f"the server ended at start:\n{self.log_text()[-3000:]}"
            for line in self.log(from_here):
                if line.get("event") == "server_ready":
                    for listener in line["listeners"]:
                        role, _, address = listener.partition(" ")
                        self._ports[role] = int(address.rpartition(":")[2])
                    return True
            return False

        wait_until(is_ready, "the server is ready")
        return self

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; the exit code."""
        assert self._process is not None, "it does not run"
        code = self._process.wait(seconds)
        self._process = None
        return code

    def stop(self) -> int:
        """SIGTERM, and the exit code. SIGKILL and a failure if it does not end."""
        if self._process is None:
            return 0
        if self.is_running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def rss(self) -> int:
        """Resident octets of the server, all its processes together."""
        return memory_of(family(self.pid)).rss

    @property
    def children(self) -> list[int]:
        """The other processes of the server, by their process ids."""
        return family(self.pid)[1:]

    @property
    def carriers(self) -> list[int]:
        """The processes that carry mail."""
        return self._running("postroom.app.carriers")

    @property
    def queue_process(self) -> int:
        """The process that has the queue."""
        (pid,) = self._running("postroom.app.queueprocess")
        return pid

    def _running(self, module: str) -> list[int]:
        return [pid for pid in self.children if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]

    # -- faces -------------------------------------------------------------------------------------------------------

    def port(self, role: str) -> int:
        """The loopback port of a role, or of ``web``."""
        return self._ports[role]

    def command(self, *words: str, typed: str = "", code: int | None = 0) -> str:
        """Run `postroom …` with this server's settings; what it printed. ``code`` None accepts any exit code."""
        whole = [sys.executable, "-m", "postroom", *words, "-c", str(self.settings_file)]
        done = subprocess.run(whole, input=typed, capture_output=True, text=True, timeout=60, check=False)
        if code is not None:
            assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def listing(self, *words: str) -> Any:
        """The same with ``--json``, parsed."""
        return json.loads(self.command(*words, "--json"))

    def queue(self) -> list[Any]:
        """The messages that `postroom queue list` shows."""
        return cast(list[Any], self.listing("queue", "list")["messages"])

    def add(self, *accounts: str) -> "Program":
        """Add accounts with the password ``PASSWORD``, and their domains; before the first start."""
        data = self.folder / "data"
        template = self._templates / " ".join(accounts) if self._templates and self.settings["data"] == "data" else None
        if template is not None and template.exists():
            shutil.copytree(template, data)
            return self
        for domain in sorted({account.rpartition("@")[2] for account in accounts}):
            self.command("domain", "add", domain)
        for account in accounts:
            self.command("user", "add", account, "--password-stdin", typed=PASSWORD + "\n")
        if template is not None:
            shutil.copytree(data, template)
        return self

    def smtp(self, role: str = "mx") -> smtplib.SMTP:
        """A session without TLS, or with implicit TLS for submissions, that has said EHLO."""
        port = self.port(role)
        client: smtplib.SMTP
        if role == "submissions":
            client = smtplib.SMTP_SSL(
                "127.0.0.1", port, local_hostname="client.example", timeout=PATIENCE, context=self.trust
            )
        else:
            client = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=PATIENCE)
        client.ehlo()
        return client

    def submission(self, account: str, password: str = PASSWORD) -> smtplib.SMTP:
        """A session on the submission port after STARTTLS and AUTH."""
        client = self.smtp("submission")
        client.starttls(context=self.trust)
        client.ehlo()
        client.login(account, password)
        return client

    def pop3(self, account: str, password: str = PASSWORD) -> poplib.POP3_SSL:
        """A POP3 session over TLS, logged in."""
        client = poplib.POP3_SSL("127.0.0.1", self.port("pop3s"), timeout=PATIENCE, context=self.trust)
        try:
            client.user(account)
            client.pass_(password)
        except poplib.error_proto:
            client.close()
            raise
        return client

    def inbox(self, account: str) -> list[bytes]:
        """All messages of an account, lines with CRLF as they came; nothing is deleted."""
        client = self.pop3(account)
        try:
            count, _ = client.stat()
            return [b"".join(line + b"\r\n" for line in client.retr(n)[1]) for n in range(1, count + 1)]
        finally:
            client.quit()

    # -- log ---------------------------------------------------------------------------------------------------------

    def log_text(self) -> str:
        """Everything the server wrote."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log(self, from_octet: int = 0) -> Iterator[dict[str, Any]]:
        """The log's lines, parsed; what is not JSON (or cut by a kill) is left out."""
        if not self.log_file.exists():
            return
        with self.log_file.open("rb") as file:
            file.seek(from_octet)
            for line in file:
                if line.startswith(b"{") and line.endswith(b"}\n"):
                    yield cast(dict[str, Any], json.loads(line))

    def told(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log lines of an event whose fields are equal to those given."""
        return [
            line
            for line in self.log()
            if line.get("event") == event and all(line.get(name) == value for name, value in fields.items())
        ]

    def wait_told(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for such a line; the first."""
        wait_until(lambda: bool(self.told(event, **fields)), f"the log tells {event} {fields}")
        return self.told(event, **fields)[0]
