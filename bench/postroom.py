"""A Postroom of our own in a folder of its own: started, asked how far it is, stopped.

The settings are the defaults, except for ports, the accounts' domain and the way to the sink (docs/performance.md).
"""

import json
import poplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import trustme

from bench.measure import PASSWORD
from bench.processes import BenchError, is_alive, stop_pids, wait_until

_SETTINGS = """\
hostname = "postroom.example"
data = "data"

[tls]
certificate = "certificate.pem"
key = "key.pem"

[smtp]
trusted_networks = {trusted}
max_size = "200MiB"

[[listener]]
role = "mx"
addresses = ["127.0.0.1"]
port = 0

[[listener]]
role = "submissions"
addresses = ["127.0.0.1"]
port = 0

[[listener]]
role = "pop3s"
addresses = ["127.0.0.1"]
port = 0

[web]
port = 0

[log]
format = "json"
"""
_BY_SINK = """
[[smarthost]]
name = "sink"
host = "127.0.0.1"
port = {port}
tls = "{tls}"

[[route]]
domains = ["*"]
via = "sink"
"""
_DEAD = """
[[smarthost]]
name = "dead"
host = "127.0.0.1"
port = 9
tls = "none"

[[route]]
domains = ["dead.example"]
via = "dead"
"""
_BY_MX = """
[outbound]
port = {port}
allow_loopback = true

[dns]
servers = ["127.0.0.1:{dns_port}"]
"""
GUARD_ON = """
[limits]
account_messages = ["1000000/1m", "10000000/1h", "100000000/1d"]
account_recipients = ["1000000/1m", "10000000/1h", "100000000/1d"]
sender_domain_messages = ["1000000/1m", "10000000/1h", "100000000/1d"]
destination_messages = ["1000000/1m", "10000000/1h", "100000000/1d"]
address_messages = ["1000000/1m", "10000000/1h", "100000000/1d"]
address_recipients = ["1000000/1m", "10000000/1h", "100000000/1d"]
exempt_networks = []

[flood]
connection_rate = ["1000000/1m", "10000000/1h", "100000000/1d"]
exempt_networks = []

[connections]
unlimited_networks = []
"""
"""Every limit counts, and none is reached."""

GUARD_OFF = """
[limits]
account_messages = []
account_recipients = []
address_messages = []
address_recipients = []

[flood]
connection_rate = []
pregreet = false
tarpit = 0
min_content_rate = 0

[lockout]
address_failures = 0
account_failures = 0
abuse = 0
"""
"""No limit at all, which nobody should run."""

SUBMITTING = """
[limits]
account_messages = []
account_recipients = []
"""
"""One account sends more than any person would."""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback and its key, as files in ``folder``."""
    made = trustme.CA().issue_cert("postroom.example", "127.0.0.1")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made.private_key_pem.write_to_path(key)
    certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    return certificate, key


def by_sink(port: int, tls: str = "none") -> str:
    """The road to one sink on loopback."""
    return _BY_SINK.format(port=port, tls=tls)


def past_a_dead_site(port: int) -> str:
    """The road to one sink on loopback, but for dead.example, where nobody answers."""
    return _DEAD + by_sink(port)


def by_mx(port: int, dns_port: int) -> str:
    """The road to whatever a name server on loopback says."""
    return _BY_MX.format(port=port, dns_port=dns_port)


class Postroom:
    """One server under ``folder`` that takes mail for ``domain`` and relays the rest by ``road``."""

    name = "postroom"

    def __init__(
        self,
        folder: Path,
        *,
        domain: str,
        accounts: tuple[str, ...],
        road: str,
        further: str = "",
        prepare: Callable[[Path], None] | None = None,
        trusted: tuple[str, ...] = ("127.0.0.0/8",),
        signed: bool = False,
    ) -> None:
        """``prepare`` is given the database before the server opens it. ``trusted`` networks may relay; ``signed``: the
        domain's keys sign, whether they are seen in the DNS or not.
        """
        self._trusted = trusted
        self._signed = signed
        self._folder = folder
        self._prepare = prepare
        self._further = road + further  # tables of the settings file
        self._settings = folder / "postroom.toml"
        self._log = folder / "log"
        self._accounts = tuple(f"{account}@{domain}" for account in accounts)
        self._domain = domain
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        """Write the settings, add the accounts, start the server, learn its ports."""
        self._folder.mkdir(parents=True, exist_ok=True)
        make_certificate(self._folder)
        self._settings.write_text(_SETTINGS.replace("{trusted}", json.dumps(self._trusted)) + self._further)
        self._run("domain", "add", self._domain)
        for account in self._accounts:
            self._run("user", "add", account, "--password-stdin", typed=PASSWORD + "\n")
        if self._signed:
            for key in json.loads(self._run("dkim", "list", "--json")):
                self._run("dkim", "activate", key["domain"], key["selector"], "--force")
        if self._prepare is not None:
            self._prepare(self.database)
        self._serve()

    def restart(self) -> float:
        """Stop it and start it again; the seconds from its start until it was ready."""
        self.stop()
        begun = time.monotonic()
        self._serve()
        return time.monotonic() - begun

    @property
    def database(self) -> Path:
        """Its one file."""
        return self._folder / "data" / "postroom.db"

    def _serve(self) -> None:
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "postroom", "serve", "-c", str(self._settings)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_ready, seconds=60, what="Postroom did not become ready")

    def stop(self) -> None:
        """Stop it, with a drain."""
        if self._process is not None:
            stop_pids([self._process.pid])
            self._process.wait()
            self._process = None

    @property
    def smtp_port(self) -> int:
        """The mx port."""
        return self._ports["mx"]

    @property
    def submissions_port(self) -> int:
        """The port with TLS from the start and AUTH."""
        return self._ports["submissions"]

    @property
    def pids(self) -> tuple[int, ...]:
        """The server's process."""
        return () if self.pid is None else (self.pid,)

    @property
    def pid(self) -> int | None:
        """The server's process, or None while it does not run."""
        return self._process.pid if self._process is not None and is_alive(self._process.pid) else None

    def stored(self) -> int:
        """How many messages POP3 shows, over all accounts."""
        return sum(self._mailbox(account) for account in self._accounts)

    def waiting(self) -> int:
        """How many recipients are not settled yet."""
        return self._count("SELECT count(*) FROM recipient")

    def deferred(self) -> int:
        """How many recipients wait for another attempt: in a bench none may."""
        return self._count("SELECT count(*) FROM recipient WHERE attempts > 0")

    def under_way(self) -> int:
        """How many recipients are in the server's hands: as ``waiting`` where others wait for a later time."""
        return self._count("SELECT count(*) FROM recipient INDEXED BY recipient_leased WHERE lease_node IS NOT NULL")

    def _count(self, question: str) -> int:
        """Asked of the database itself: commands take long to start, and metrics are renewed only now and then."""
        store = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            store.set_busy_timeout(10_000)
            return int(store.execute(question).get)
        finally:
            store.close()

    def newest(self, account: str) -> bytes:
        """The message that came last."""
        client = self._collect(f"{account}@{self._domain}")
        messages, _ = client.stat()
        lines = client.retr(messages)[1]
        client.quit()
        return b"\n".join(lines)

    def _mailbox(self, account: str) -> int:
        client = self._collect(account)
        messages, _ = client.stat()
        client.quit()
        return messages

    def _collect(self, account: str) -> poplib.POP3_SSL:
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE  # our own certificate on loopback
        client = poplib.POP3_SSL("127.0.0.1", self._ports["pop3s"], context=trust, timeout=60)
        client.user(account)
        client.pass_(PASSWORD)
        return client

    def _is_ready(self) -> bool:
        if self.pid is None:
            raise BenchError(f"Postroom ended at start: {self._log.read_text(errors='replace')[-2000:]}")
        for line in self._log.read_text(errors="replace").splitlines():
            if line.startswith("{") and "server_ready" in line:
                for listener in json.loads(line)["listeners"]:
                    role, _, address = listener.partition(" ")
                    self._ports[role] = int(address.rpartition(":")[2])
                return True
        return False

    def _run(self, *command: str, typed: str = "") -> str:
        whole = [sys.executable, "-m", "postroom", *command, "-c", str(self._settings)]
        done = subprocess.run(whole, input=typed, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise BenchError(f"postroom {' '.join(command)} failed: {(done.stdout + done.stderr).strip()}")
        return done.stdout
