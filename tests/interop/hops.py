"""Next hops that keep what they get: Postfix, Exim and aiosmtpd, each with its own idea of where a message ends."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

from aiosmtpd.controller import Controller
from bench.postfix import Postfix
from bench.processes import answers, family, free_port, stop_pids
from tests.system.program import wait_until

DOMAIN = "remote.example"
ACCOUNT = "someone"
SOMEONE = f"{ACCOUNT}@{DOMAIN}"


class Hop(Protocol):
    """A server that takes anything for DOMAIN."""

    port: int

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def messages(self) -> list[bytes]:
        """What it has, each as it stores it."""
        ...


class PostfixHop:
    """Postfix with a Maildir."""

    def __init__(self, folder: Path) -> None:
        self._postfix = Postfix(folder, domain=DOMAIN, accounts=(ACCOUNT,), settings={})
        # Without these newer Postfixes protect themselves; here they must not have to.
        self._postfix.set(smtpd_forbid_bare_newline="no", smtpd_forbid_unauth_pipelining="no")
        self.port = self._postfix.smtp_port

    def start(self) -> None:
        self._postfix.start()

    def stop(self) -> None:
        self._postfix.stop()

    def messages(self) -> list[bytes]:
        return self._postfix.contents(ACCOUNT)


_EXIM = """\
exim_path = {program}
exim_user = mail
exim_group = mail
primary_hostname = exim.example
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/exim.pid
acl_smtp_rcpt = ok
acl_smtp_data = ok
tls_advertise_hosts =
smtp_accept_queue_per_connection = 0
keep_environment =
begin acl
ok:
  accept
begin routers
{onward}all:
  driver = accept
  transport = file
begin transports
relay:
  driver = smtp
  port = {onward_port}
  allow_localhost
  hosts_try_fastopen =
file:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  create_directory
  user = mail
  group = mail
begin retry
* * F,1h,1m
"""
_EXIM_ONWARD = """\
onward:
  driver = manualroute
  domains = {domain}
  route_data = 127.0.0.1
  self = send
  transport = relay
"""


class EximHop:
    """Exim with a Maildir. It is happy with unpacked files, but wants its own user to exist.

    Mail for the domain ``onward`` it relays to ``onward_port`` of this machine, which is set before the start.
    """

    def __init__(self, folder: Path, *, onward: str = "") -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._folder = folder
        self._onward = _EXIM_ONWARD.format(domain=onward) if onward else ""
        self.onward_port = 25
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        found = shutil.which("exim4", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
        assert found is not None
        owner = pwd.getpwnam("mail")
        for folder in (self._folder, self._folder / "spool", self._folder / "mail"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        for folder in (self._folder / "spool", self._folder / "mail"):
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        settings = self._folder / "exim.conf"
        settings.write_text(
            _EXIM.format(
                program=Path(found).resolve(),
                port=self.port,
                folder=self._folder,
                onward=self._onward,
                onward_port=self.onward_port,
            )
        )
        settings.chmod(0o644)
        with (self._folder / "stderr").open("wb") as stderr:
            command = [found, "-C", str(settings), "-bdf"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        wait_until(lambda: answers(self.port), "Exim opens its port")

    def stop(self) -> None:
        if self._process is not None:
            stop_pids(family(self._process.pid))
            self._process.wait()

    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in self._folder.glob("mail/new/*")]


class AiosmtpdHop:
    """aiosmtpd, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._kept: list[bytes] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name for it
        self._kept.append(envelope.original_content)
        return "250 OK"

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def messages(self) -> list[bytes]:
        return list(self._kept)
