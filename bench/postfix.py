"""A Postfix of our own in a folder of its own: started, asked how far it is, stopped. The system's is left alone.

The settings are those that Postfix ships, except for what a second instance on loopback cannot do without; each is
listed in docs/performance.md. The interop tests use the same instance as their peer.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bench.processes import BenchError, answers, family, free_port, is_alive, stop_pids, wait_until
from bench.sasl import DovecotSasl

_DELIVERY_UID = 5000  # owner of the Maildirs; needs no entry in passwd, and virtual(8) refuses those below 100
_SERVICES = """\
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
proxywrite unix -  -  n  -     1  proxymap
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
lmtp      unix  -  -  n  -     -  lmtp
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
tlsproxy  unix  -  -  n  -     0  tlsproxy
postlog   unix-dgram n  -  n  -  1  postlogd
"""
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")


def why_not() -> str:
    """Why Postfix cannot be started here, or ``""``."""
    missing = [name for name in ("postfix", "smtp-source", "smtp-sink") if tool(name) is None]
    if missing:
        return f"{', '.join(missing)} not found: install the postfix package (Debian: apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    return ""


def tool(name: str) -> str | None:
    """The path of one of Postfix's programs; Debian keeps them where only root looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Helper(Protocol):
    """A program beside Postfix."""

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Postfix:
    """One instance under ``folder``, that takes mail for ``domain`` into a Maildir for each account."""

    name = "postfix"

    def __init__(
        self,
        folder: Path,
        *,
        domain: str,
        accounts: tuple[str, ...],
        settings: Mapping[str, str],
        prefix: tuple[str, ...] = (),
    ) -> None:
        """``prefix`` runs the command that starts it, in a namespace for example."""
        self.smtp_port = free_port()
        self._prefix = prefix
        self._folder = folder
        self._config = folder / "config"
        self._queue = folder / "queue"
        self._mail = folder / "mail"
        self._accounts = accounts
        self._pids: list[int] = []
        self._services = ""
        self._beside: list[Helper] = []
        self.submissions_port = 0
        self._sasl: DovecotSasl | None = None
        self._settings = {
            "compatibility_level": "3.6",
            "config_directory": str(self._config),
            "queue_directory": str(self._queue),
            "data_directory": str(folder / "data"),
            "maillog_file_prefixes": f"/var, {folder}",
            "myhostname": "postfix.example",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "loopback-only",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "virtual_mailbox_domains": domain,
            "virtual_mailbox_base": str(self._mail),
            "virtual_mailbox_maps": "inline:{" + ", ".join(f"{{{a}@{domain} = {a}/}}" for a in accounts) + "}",
            "virtual_uid_maps": f"static:{_DELIVERY_UID}",
            "virtual_gid_maps": f"static:{_DELIVERY_UID}",
            "virtual_mailbox_limit": "0",
            "message_size_limit": str(200 << 20),
            **settings,
        }

    def set(self, **settings: str) -> None:
        """More settings, before the start."""
        self._settings.update(settings)

    def add_service(self, lines: str) -> None:
        """More lines for master.cf, before the start."""
        self._services += lines

    def beside(self, helper: Helper) -> None:
        """A program that runs while Postfix does, and counts as part of it; before the start."""
        self._beside.append(helper)

    def offer_submissions(
        self, certificate: Path, key: Path, sasl_folder: Path, *, address: str, password: str
    ) -> None:
        """Implicit TLS with AUTH on a port of its own, answered by Dovecot; before the start."""
        self.submissions_port = free_port()
        self._sasl = DovecotSasl(sasl_folder, self._queue, address=address, password=password)
        self.add_service(
            f"127.0.0.1:{self.submissions_port} inet n - n - - smtpd\n"
            "  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes\n"
            "  -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n"
            "  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n"
        )
        self.set(
            smtpd_tls_cert_file=str(certificate),
            smtpd_tls_key_file=str(key),
            smtpd_sasl_type="dovecot",
            smtpd_sasl_path="private/auth",
            smtpd_tls_session_cache_database=f"btree:{self._folder}/data/smtpd_scache",
        )

    def hash_alike(self) -> None:
        """While it runs: passwords are hashed as Postroom's are."""
        if self._sasl is not None:
            self._sasl.hash_alike()

    def start(self) -> None:
        """Write the settings, start the instance, wait for its port."""
        trouble = why_not()
        if trouble:
            raise BenchError(trouble)
        owner = pwd.getpwnam("postfix")
        for folder in (self._folder, self._config, self._queue, self._folder / "data", self._mail):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            folder.chmod(0o755)  # mkdtemp and umask are stricter, and Postfix's processes pass here as other users
        os.chown(self._folder / "data", owner.pw_uid, owner.pw_gid)
        os.chown(self._mail, _DELIVERY_UID, _DELIVERY_UID)
        (self._config / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in self._settings.items()))
        (self._config / "master.cf").write_text(
            f"127.0.0.1:{self.smtp_port} inet n - n - - smtpd\n{self._services}{_SERVICES}"
        )
        for helper in self._beside:
            helper.start()
        self._run("start")
        wait_until(lambda: answers(self.smtp_port), seconds=20, what="Postfix did not open its port")
        if self._sasl is not None:
            self._sasl.start()

    def stop(self) -> None:
        """Stop the instance and every process of it."""
        for helper in self._beside:
            helper.stop()
        if self._sasl is not None:
            self._sasl.stop()
        pid = self.pid
        if pid is None:
            return
        self._pids = family(pid)
        stop_pids(self._pids)

    @property
    def pid(self) -> int | None:
        """The master process, or None while it does not run."""
        try:
            pid = int((self._queue / "pid" / "master.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if is_alive(pid) else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The master processes of all that serves."""
        sasl = None if self._sasl is None else self._sasl.pid
        beside = [helper.pid for helper in self._beside]
        return tuple([pid for pid in (self.pid, sasl, *beside) if pid is not None])

    def stored(self) -> int:
        """How many messages lie in the Maildirs."""
        return sum(1 for a in self._accounts for _ in self._maildir(a))

    def contents(self, account: str) -> list[bytes]:
        """The messages in one account's Maildir."""
        return [path.read_bytes() for path in self._maildir(account)]

    def newest(self, account: str) -> bytes:
        """The message that came last."""
        return max(self._maildir(account), key=lambda path: path.stat().st_mtime_ns).read_bytes()

    def waiting(self) -> int:
        """How many messages lie in the queue, deferred ones included."""
        return sum(len(files) for name in _QUEUES for _, _, files in os.walk(self._queue / name))

    def deferred(self) -> int:
        """How many messages wait for another attempt: in a bench none may."""
        return sum(len(files) for _, _, files in os.walk(self._queue / "deferred"))

    def _maildir(self, account: str) -> list[Path]:
        folder = self._mail / account / "new"
        return list(folder.iterdir()) if folder.is_dir() else []

    def _run(self, verb: str) -> None:
        program = tool("postfix") or "postfix"
        done = subprocess.run(
            [*self._prefix, program, "-c", str(self._config), verb],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"postfix {verb} failed: {(done.stdout + done.stderr).strip()}")
