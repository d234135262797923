"""Postfix at its `dane` level, with postfix-mta-sts-resolver: both find names by a resolver of ours, and nothing else.

They know the system's resolver alone, so they run where /etc/resolv.conf is another one.
"""

import os
import re
import shutil
import smtplib
import socket
import subprocess
from pathlib import Path

from bench.postfix import Postfix
from bench.processes import family, free_port, stop_pids
from tests.interop.verdict import Verdict
from tests.system.program import PATIENCE, wait_until
from tests.world.ground import Ground

_ELSEWHERE = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
_TLS = re.compile(r"/smtp\[(\d+)\]: (\w+) TLS connection established to ")
_END = re.compile(r"/(?:smtp|error|retry)\[(\d+)\]: \w+: to=<[^@]*@([^>]*)>, relay=([^,]*),.* status=(\w+) \((.*)\)$")


class StsResolver:
    """postfix-mta-sts-resolver. ``map`` is how Postfix asks it."""

    def __init__(self, folder: Path, ground: Ground, prefix: tuple[str, ...]) -> None:
        self._port = free_port()
        self.map = f"socketmap:inet:127.0.0.1:{self._port}:postfix"
        settings = folder / "mta-sts-daemon.yml"
        settings.write_text(f"host: 127.0.0.1\nport: {self._port}\ncache:\n  type: internal\n")
        found = shutil.which("mta-sts-daemon", path="/usr/bin:/usr/local/bin")
        assert found is not None
        environment = {**os.environ, "SSL_CERT_FILE": str(ground.papers.authority)}
        environment.pop("PYTHONPATH", None)  # it is a program of the system's Python
        self._log = folder / "mta-sts-daemon.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, found, "-c", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        wait_until(self._answers, "mta-sts-daemon opens its port")

    def stop(self) -> None:
        """End it."""
        stop_pids(family(self._process.pid))
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


class TlsPostfix:
    """Postfix that relays to the world. ``verdicts`` tells what it made of mail to each domain."""

    def __init__(self, folder: Path, ground: Ground) -> None:
        folder.mkdir()
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {ground.unbound.address}\noptions trust-ad edns0\n")
        prefix = ("unshare", "--mount", "sh", "-c", _ELSEWHERE, str(resolv))
        self._log = folder / "maillog"
        self._sts = StsResolver(folder, ground, prefix)
        self._postfix = Postfix(
            folder / "postfix",
            domain="nowhere.example",
            accounts=(),
            settings={
                "smtp_tcp_port": str(ground.world.port),
                "smtp_dns_support_level": "dnssec",
                "smtp_host_lookup": "dns",
                "smtp_tls_security_level": "dane",
                "smtp_tls_policy_maps": self._sts.map,
                "smtp_tls_CAfile": str(ground.papers.authority),
                "smtp_tls_loglevel": "1",
                "smtp_connect_timeout": "3s",
                "smtp_address_preference": "ipv4",
                "maillog_file": str(self._log),
                "maillog_file_prefixes": str(folder),
                "smtpd_relay_restrictions": "permit_mynetworks, reject",
            },
            prefix=prefix,
        )

    def start(self) -> None:
        """Start it."""
        self._postfix.start()

    def stop(self) -> None:
        """Stop both."""
        self._postfix.stop()
        self._sts.stop()

    def verdicts(self, domains: list[str]) -> dict[str, Verdict]:
        """One message to somebody at each domain, and what became of its first attempt."""
        with smtplib.SMTP("127.0.0.1", self._postfix.smtp_port, "client.example", timeout=PATIENCE) as client:
            for domain in domains:
                client.sendmail("ann@sender.example", [f"someone.postfix@{domain}"], "Subject: verdict\n\nhello\n")
        wait_until(lambda: set(domains) <= set(self._read()), "Postfix has tried them all", 60)
        return self._read()

    def _read(self) -> dict[str, Verdict]:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        found: dict[str, Verdict] = {}
        tls: dict[str, str] = {}  # by process, until its delivery ends
        for line in text.splitlines():
            if established := _TLS.search(line):
                tls[established[1]] = "verified" if established[2] == "Verified" else "encrypted"
            elif ended := _END.search(line):
                process, domain, _, status, why = ended.groups()
                level = tls.pop(process, "plain") if status == "sent" else ""
                found.setdefault(
                    domain, Verdict({"sent": "relayed", "bounced": "failed"}.get(status, status), level, why)
                )
        return found
