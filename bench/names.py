"""A name server of our own on loopback that knows what the bench publishes and nothing else: unbound, at port 53.

At port 53 because Postfix's checkers find it by /etc/resolv.conf, which knows no ports; at an address that nobody else
uses. Both servers ask it.
"""

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.processes import BenchError, started, stop_pids

_CONFIG = """\
server:
    interface: {address}
    port: 53
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    num-threads: 1
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    local-zone: "." static
{records}
remote-control:
    control-enable: no
"""
_ELSEWHERE = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Names:
    """``records`` are lines of a zone file with absolute names."""

    def __init__(self, folder: Path, records: Sequence[str]) -> None:
        self.address = f"127.{random.randrange(20, 250)}.{random.randrange(250)}.53"
        self._folder = folder
        self._records = records
        self._process: subprocess.Popen[bytes] | None = None
        self._resolv = folder / "resolv.conf"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before a command that is to ask this name server instead of the system's."""
        return ("unshare", "--mount", "sh", "-c", _ELSEWHERE, str(self._resolv))

    def start(self) -> None:
        """Start it."""
        program = shutil.which("unbound", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise BenchError("unbound not found: install the unbound package")
        self._folder.mkdir(mode=0o755, exist_ok=True)
        self._resolv.write_text(f"nameserver {self.address}\n")
        records = "\n".join(f"    local-data: '{record}'" for record in self._records)
        config = self._folder / "unbound.conf"
        config.write_text(_CONFIG.format(address=self.address, folder=self._folder, records=records))
        with (self._folder / "unbound.log").open("wb") as log:
            self._process = subprocess.Popen([program, "-d", "-c", str(config)], stdout=log, stderr=log)
        started(self._process, 53, self._folder / "unbound.log", address=self.address)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop_pids([self._process.pid])
            self._process.wait()
            self._process = None
