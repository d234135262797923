"""Debian's pebble as an ACME authority on loopback: it really fetches each challenge, and issues for a short life."""

import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trustme
from bench.processes import free_port
from tests.system.loop_thread import Nameserver
from tests.system.program import HOSTNAME, wait_until

EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Pebble:
    """Stopped at first; ``start`` it. ``nameserver.zone`` is what it finds names by."""

    def __init__(self, folder: Path, life: int = 0, *, eab: bool = False) -> None:
        """``life`` is that of certificates in seconds (0: years), ``eab`` whether accounts need a binding."""
        self.challenge_port = free_port()
        self.nameserver = Nameserver({HOSTNAME: {"A": ["127.0.0.1"]}})
        self._folder = folder
        self._port, self._management = free_port(), free_port()
        self._authority = trustme.CA()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        issued = self._authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        self.ca_file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)
        config: dict[str, Any] = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(folder / "certificate.pem"),
            "privateKey": str(folder / "key.pem"),
            "httpPort": self.challenge_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": eab,
            "externalAccountMACKeys": {"kid-1": EAB_KEY},
            "domainBlocklist": ["blocked.example.org"],
        }
        if life:
            config["certificateValidityPeriod"] = life
        (folder / "config.json").write_text(json.dumps({"pebble": config}))

    def settings(self, **more: object) -> dict[str, Any]:
        """Settings of a server that gets its certificate here."""
        acme = {
            "enabled": True,
            "agree": True,
            "directory": self.directory,
            "ca_file": str(self.ca_file),
            "address": "127.0.0.1",
            "port": self.challenge_port,
            **more,
        }
        return {"acme": acme}

    @property
    def directory(self) -> str:
        """The URL for the settings."""
        return f"https://localhost:{self._port}/dir"

    def start(self) -> "Pebble":
        """Start it and wait until it answers."""
        program = shutil.which("pebble")
        assert program is not None
        environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",  # it looks at once
            "PEBBLE_AUTHZREUSE": "0",  # and each time
            "PEBBLE_WFE_NONCEREJECT": "0",  # or an order may fail by chance
        }
        with (self._folder / "log").open("ab") as log:
            command = [program, "-config", str(self._folder / "config.json"), "-dnsserver", self.nameserver.address]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        wait_until(self._answers, "pebble answers")
        return self

    def stop(self) -> None:
        """Stop it; it forgets everything."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """Stop it and its nameserver."""
        self.stop()
        self.nameserver.close()

    def root(self) -> ssl.SSLContext:
        """A client's context that trusts what is issued now, and nothing else."""
        url = f"https://localhost:{self._management}/roots/0"
        with urllib.request.urlopen(url, context=self._context()) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())

    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "log").read_text(errors="replace")

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            with urllib.request.urlopen(self.directory, context=self._context()) as answer:
                found: Mapping[str, object] = json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            return False
        return "newOrder" in found
