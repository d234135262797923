"""What Postfix needs beside itself to check and to sign: opendkim as its milter, policyd-spf as its policy service.

Both as Debian ships them, but for what the bench cannot do without (docs/performance.md).
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from bench.names import Names
from bench.postfix import Postfix
from bench.processes import free_port, started, stop_pids

_COMMON = """\
Syslog yes
SyslogSuccess yes
Canonicalization relaxed/simple
OversignHeaders From
UserID opendkim
UMask 007
Socket inet:{port}@127.0.0.1
PidFile {folder}/opendkim.pid
Background no
AutoRestart no
"""
_VERIFY = """\
Mode v
Nameservers {address}
"""
_SIGN = """\
Mode s
Domain {domain}
Selector {selector}
KeyFile {key}
InternalHosts 127.0.0.0/8
RequireSafeKeys no
"""
_POLICY = """\
debugLevel = 1
TestOnly = 1
HELO_reject = Fail
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
skip_addresses = 192.0.2.1
"""


def why_not() -> str:
    """Why they cannot be started here, or ``""``."""
    missing = [name for name in ("opendkim", "policyd-spf", "unbound") if _program(name) is None]
    return f"{', '.join(missing)} not found: install the packages of these names" if missing else ""


class OpenDkim:
    """One opendkim under ``folder``, that verifies or signs."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._settings = ""
        self._process: subprocess.Popen[bytes] | None = None

    def verify(self, names: Names) -> None:
        """Keys come from the DNS, by the same name server as for all others."""
        self._folder.mkdir(mode=0o755, exist_ok=True)
        self._settings = _VERIFY.format(address=names.address)

    def sign(self, domain: str, selector: str, pem: bytes) -> None:
        """Mail of ``domain`` that comes from this machine."""
        self._folder.mkdir(mode=0o755, exist_ok=True)
        key = self._folder / "key.pem"
        key.touch(mode=0o600)
        key.write_bytes(pem)
        owner = pwd.getpwnam("opendkim")
        os.chown(key, owner.pw_uid, owner.pw_gid)
        self._settings = _SIGN.format(domain=domain, selector=selector, key=key)

    @property
    def pid(self) -> int | None:
        """Its process, None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it."""
        config = self._folder / "opendkim.conf"
        config.write_text(_COMMON.format(port=self.port, folder=self._folder) + self._settings)
        owner = pwd.getpwnam("opendkim")
        os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        with (self._folder / "log").open("wb") as log:
            command = [_program("opendkim") or "opendkim", "-f", "-x", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started(self._process, self.port, self._folder / "log")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop_pids([self._process.pid])
            self._process.wait()
            self._process = None


def check_spf(postfix: Postfix, folder: Path) -> None:
    """Have Postfix ask policyd-spf about each recipient, loopback clients not excepted; before the start."""
    folder.mkdir(mode=0o755, exist_ok=True)
    config = folder / "policyd-spf.conf"
    config.write_text(_POLICY)
    config.chmod(0o644)
    program = _program("policyd-spf") or "policyd-spf"
    postfix.add_service(f"policyd-spf unix - n n - 0 spawn\n  user=policyd-spf argv={program} {config}\n")
    postfix.set(
        **{
            "mynetworks": "127.255.255.254/32",  # nobody: the load is a stranger
            "smtpd_recipient_restrictions": "reject_unauth_destination, check_policy_service unix:private/policyd-spf",
            "policyd-spf_time_limit": "3600",
        }
    )


def use_milter(postfix: Postfix, milter: OpenDkim) -> None:
    """Nothing passes unseen: without the milter mail is put off. Before the start."""
    postfix.beside(milter)
    postfix.set(smtpd_milters=f"inet:127.0.0.1:{milter.port}", milter_default_action="tempfail")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
