"""BIND's own server in a folder, on a free port of the loopback: one zone that a key of its own may change."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import answers, free_port
from tests.system.program import wait_until

from postroom.config.publishing import ZoneSettings

ZONE = "example.org"
KEY = "postroom"
READER = "reader"
"""A key that may read and nothing else."""

_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"
_CONFIG = """\
{keys}
options {{
  directory "{folder}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  allow-query {{ 127.0.0.1; }};
  notify no;
  dnssec-validation no;
  managed-keys-directory "{folder}";
}};
controls {{ }};
zone "{zone}" {{
  type primary;
  file "{folder}/zone";
  update-policy {{
    deny {key} name refused.{zone}. ANY;
    grant {key} subdomain {zone}. ANY;
  }};
}};
zone "fixed.example" {{ type primary; file "{folder}/fixed"; }};
"""
_ZONE = """\
$TTL 300
@ IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ IN NS ns.{zone}.
ns IN A 127.0.0.1
@ 900 IN TXT "v=spf1 mx -all"
@ 900 IN TXT "a-stranger=1"
www IN CNAME ns
"""


@dataclass
class Named:
    """The server. ``secret_file`` holds the key that may change the zone, ``reader_file`` one that may not."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def secret_file(self) -> Path:
        return self.folder / f"{KEY}.key"

    @property
    def reader_file(self) -> Path:
        return self.folder / f"{READER}.key"

    def settings(self, **changed: object) -> ZoneSettings:
        """How to change the zone."""
        known = {"name": ZONE, "server": "127.0.0.1", "port": self.port, "key": KEY, "secret_file": self.secret_file}
        return ZoneSettings(**{**known, **changed})

    def start(self) -> None:
        """Make keys and zone, open the port. Ended by ``stop``."""
        keygen = shutil.which("tsig-keygen", path=_PATH) or "tsig-keygen"
        for name, file, algorithm in (
            (KEY, self.secret_file, "hmac-sha256"),
            (READER, self.reader_file, "hmac-sha512"),
        ):
            made = subprocess.run([keygen, "-a", algorithm, name], check=True, capture_output=True)
            file.write_bytes(made.stdout)
        (self.folder / "zone").write_text(_ZONE.format(zone=ZONE))
        (self.folder / "fixed").write_text(_ZONE.format(zone="fixed.example"))
        keys = self.secret_file.read_text() + self.reader_file.read_text()
        config = self.folder / "named.conf"
        config.write_text(_CONFIG.format(keys=keys, folder=self.folder, port=self.port, zone=ZONE, key=KEY))
        named = shutil.which("named", path=_PATH) or "named"
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [named, "-g", "-n", "1", "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: answers(self.port), "named opens its port")

    def stop(self) -> None:
        """End it."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            process.wait(20)
