"""Dovecot as the delivery server behind us: mail goes to it by LMTP (RFC 2033)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.processes import answers, family, free_port, stop_pids
from tests.interop.shapes import CONTENTS
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.system.setups import added_to, content

pytestmark = [
    pytest.mark.needs("dovecot", "lmtp"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot starts as root only"),
]
ALICE, BOB = "alice@example.org", "bob@delivered.example"


class Dovecot:
    """One instance with LMTP alone; everybody's Maildir is under ``mail``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.mail = folder / "mail"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.mail.mkdir(parents=True)
        os.chown(self.mail, 5000, 5000)
        (self._folder / "users").write_text(f"{BOB}:{{PLAIN}}x:5000:5000::{self.mail / 'bob'}::\n")
        settings = self._folder / "dovecot.conf"
        settings.write_text(
            f"base_dir = {self._folder}/run\nstate_dir = {self._folder}/state\nlog_path = {self._folder}/log\n"
            "protocols = lmtp\nssl = no\nlisten = 127.0.0.1\nfirst_valid_uid = 5000\n"
            "mail_location = maildir:~/Maildir\n"
            f"passdb {{\n driver = passwd-file\n args = {self._folder}/users\n}}\n"
            f"userdb {{\n driver = passwd-file\n args = {self._folder}/users\n}}\n"
            f"service lmtp {{\n inet_listener lmtp {{\n address = 127.0.0.1\n port = {self.port}\n }}\n}}\n"
        )
        program = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "dovecot"
        self._process = subprocess.Popen([program, "-F", "-c", str(settings)], stdin=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port), "Dovecot opens its port")

    def stop(self) -> None:
        if self._process is not None:
            stop_pids(family(self._process.pid))
            self._process.wait()

    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in self.mail.glob("bob/Maildir/new/*")]


@pytest.fixture
def dovecot(open_folder: Path) -> Iterator[Dovecot]:
    server = Dovecot(open_folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def program(make_program: MakeProgram, dovecot: Dovecot) -> Program:
    """It hands mail for the domain to Dovecot."""
    lmtp = {"name": "dovecot", "host": "127.0.0.1", "port": dovecot.port, "protocol": "lmtp", "tls": "none"}
    route = {"domains": ["delivered.example"], "via": "dovecot"}
    return make_program({"smarthost": [lmtp], "route": [route]}).add(ALICE).start()


def test_delivery_by_lmtp(program: Program, dovecot: Dovecot) -> None:
    sent = content("by-lmtp")
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [BOB, "nobody@delivered.example"], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(dovecot.messages()), "it is in the Maildir")
    (received,) = dovecot.messages()
    assert received.replace(b"\r\n", b"\n").endswith(sent.replace(b"\r\n", b"\n"))
    wait_until(lambda: bool(program.inbox(ALICE)), "the DSN for the one whom Dovecot does not know is there")
    (dsn,) = program.inbox(ALICE)
    assert b"nobody@delivered.example" in dsn
    assert BOB.encode() not in dsn.partition(b"Final-Recipient")[2].partition(b"\r\n\r\n")[0]
    wait_until(lambda: not program.queue(), "the queue is empty")


def test_every_octet_arrives(program: Program, dovecot: Dovecot) -> None:
    with program.submission(ALICE) as client:
        for sent in CONTENTS.values():
            client.sendmail(ALICE, [BOB], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(dovecot.messages()) == len(CONTENTS), "all are in the Maildir")
    received = [message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for message in dovecot.messages()]
    for name, sent in CONTENTS.items():
        copies = [message for message in received if message.endswith(sent)]
        assert copies, f"{name} did not arrive as it was sent"
        assert b"with ESMTPSA" in added_to(copies[0], sent)
