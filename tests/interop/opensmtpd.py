"""OpenSMTPD as a peer. Its places are fixed when it is built, so it runs in a mount namespace that has them empty."""

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from bench.processes import family, free_port, stop_pids
from tests.system.program import wait_until

_SETTINGS = """\
listen on {host} port {port} hostname opensmtpd.example
action "here" maildir "{mail}" virtual {{ "@" = mail }}
action "onward" relay host smtp://127.0.0.1:{onward_port}
match from any for domain "{domain}" action "here"
match from any for domain "{onward}" action "onward"
"""
_BEGIN = """\
set -e
for place in /var/spool /var/lib /run; do
  mount -t tmpfs -o mode=755 tmpfs "$place"
done
mkdir -p /var/lib/opensmtpd/empty
chmod 711 /var/lib/opensmtpd/empty
mkdir -m 711 /var/spool/smtpd
exec "$0" -d -v -f "$1"
"""
_PATH = "/usr/local/sbin:/usr/sbin"


class OpenSmtpd:
    """Takes mail for ``domain`` into a Maildir, and relays mail for ``onward`` to ``onward_port`` of this machine.

    That port is set before the start. It listens on 127.0.0.2: who connects to 127.0.0.1 counts as a program whose
    header it may complete.
    """

    def __init__(self, folder: Path, *, domain: str, onward: str) -> None:
        self.host, self.port = "127.0.0.2", free_port()
        self._folder = folder
        self._mail = folder / "mail"
        self._domains = {"domain": domain, "onward": onward}
        self.onward_port = 25
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its port."""
        found = shutil.which("opensmtpd", path=_PATH)
        assert found is not None
        self._mail.mkdir(parents=True)
        owner = pwd.getpwnam("mail")
        os.chown(self._mail, owner.pw_uid, owner.pw_gid)
        settings = self._folder / "smtpd.conf"
        places = {"host": self.host, "port": self.port, "mail": self._mail, "onward_port": self.onward_port}
        settings.write_text(_SETTINGS.format(**self._domains, **places))
        settings.chmod(0o644)
        command = ["unshare", "--mount", "sh", "-c", _BEGIN, found, str(settings)]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, "OpenSMTPD opens its port")

    def stop(self) -> None:
        """Stop all its processes."""
        if self._process is not None:
            stop_pids(family(self._process.pid))
            self._process.wait()

    def messages(self) -> list[bytes]:
        """What is in the Maildir."""
        return [path.read_bytes() for path in self._mail.glob("new/*")]

    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "log").read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True
