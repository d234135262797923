"""A real validating resolver for the world: unbound, with the world's zones instead of the internet's."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
from tests.system.program import wait_until

_CONFIG = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: "{folder}/log"
  log-servfail: yes
  do-daemonize: no
  num-threads: 1
  interface: {address}@{port}
  port: {port}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  local-zone: "test." nodefault
  infra-host-ttl: 60
  cache-max-negative-ttl: 60
remote-control:
  control-enable: no
"""
_ZONE = 'auth-zone:\n  name: "{name}"\n  zonefile: "{path}"\n  for-downstream: no\n  for-upstream: yes\n'
"""Not for downstream: then what comes out of the zone is validated like what comes from the network."""


def program() -> str | None:
    """Where unbound is."""
    return shutil.which("unbound", path="/usr/sbin:/usr/bin:/usr/local/sbin")


class Unbound:
    """One instance at an address; started when made. ``zones`` are texts of zone files by name."""

    def __init__(
        self,
        folder: Path,
        address: str,
        port: int,
        *,
        zones: Mapping[str, str],
        anchor: str,
    ) -> None:
        self.address = address
        self.port = port
        self._folder = folder
        folder.mkdir(parents=True)
        config = _CONFIG.format(folder=folder, address=address, port=port, anchor=anchor)
        for number, (name, text) in enumerate(zones.items()):
            path = folder / f"zone{number}"
            path.write_text(text)
            config += _ZONE.format(name=name, path=path)
        (folder / "unbound.conf").write_text(config)
        found = program()
        assert found is not None, "unbound is not installed"
        self._errors = (folder / "stderr").open("wb")
        self._process = subprocess.Popen(
            [found, "-d", "-c", str(folder / "unbound.conf")],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
        )
        try:
            wait_until(self._answers, "unbound answers")
        except BaseException:
            self.stop()
            raise

    def ask(self, name: str, kind: str, seconds: float = 10.0) -> dns.message.Message:
        """One question, with the wish to know whether the answer is authentic. Raises what dnspython raises."""
        query = dns.message.make_query(name, kind, want_dnssec=True)
        return dns.query.udp(query, self.address, port=self.port, timeout=seconds)

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)
        self._errors.close()

    def log(self) -> str:
        """What it has to say."""
        texts = [path.read_text(errors="replace") for path in (self._folder / "stderr", self._folder / "log")]
        return "\n".join(texts)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"unbound ended: {(self._folder / 'stderr').read_text()}"
        try:
            return self.ask("nowhere.", "A", 0.2).rcode() == dns.rcode.NXDOMAIN
        except (dns.exception.DNSException, OSError):
            return False
