"""Dovecot as the IMAP server of our own domains: it gets mail by LMTP over a socket, or reads Maildirs of ours."""

import imaplib
import os
import poplib
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.processes import answers, family, free_port, stop_pids
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.system.setups import content

pytestmark = [
    pytest.mark.needs("dovecot", "lmtp", "imap", "pop3"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot starts as root only"),
]
ALICE, BOB = "alice@example.org", "bob@example.org"
OWNER = 5000  # uid and gid of all mail


class ImapDovecot:
    """IMAP and POP3 on loopback, LMTP on a socket. Everybody's Maildir is ``mail/<local part>/Maildir``."""

    def __init__(self, folder: Path) -> None:
        self.imap_port, self.pop3_port = free_port(), free_port()
        self.mail = folder / "mail"
        self.socket = folder / "run" / "lmtp"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.mail.mkdir(parents=True)
        os.chown(self.mail, OWNER, OWNER)
        users = [
            f"{name}:{{PLAIN}}secret:{OWNER}:{OWNER}::{self.mail / name.partition('@')[0]}::\n" for name in (ALICE, BOB)
        ]
        (self._folder / "users").write_text("".join(users))
        settings = self._folder / "dovecot.conf"
        settings.write_text(
            f"base_dir = {self._folder}/run\nstate_dir = {self._folder}/state\nlog_path = {self._folder}/log\n"
            "protocols = lmtp imap pop3\nssl = no\ndisable_plaintext_auth = no\nlisten = 127.0.0.1\n"
            f"first_valid_uid = {OWNER}\nmail_location = maildir:~/Maildir\n"
            "recipient_delimiter = +\nlmtp_save_to_detail_mailbox = yes\n"
            f"passdb {{\n driver = passwd-file\n args = {self._folder}/users\n}}\n"
            f"userdb {{\n driver = passwd-file\n args = {self._folder}/users\n}}\n"
            "service lmtp {\n unix_listener lmtp {\n  mode = 0666\n }\n}\n"
            f"service imap-login {{\n inet_listener imap {{\n port = {self.imap_port}\n }}\n"
            " inet_listener imaps {\n port = 0\n }\n}\n"
            f"service pop3-login {{\n inet_listener pop3 {{\n port = {self.pop3_port}\n }}\n"
            " inet_listener pop3s {\n port = 0\n }\n}\n"
            "protocol lmtp {\n postmaster_address = postmaster@example.org\n}\n"
        )
        program = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "dovecot"
        self._process = subprocess.Popen([program, "-F", "-c", str(settings)], stdin=subprocess.DEVNULL)
        wait_until(lambda: answers(self.imap_port) and answers(self.pop3_port), "Dovecot opens its ports")

    def stop(self) -> None:
        if self._process is not None:
            stop_pids(family(self._process.pid))
            self._process.wait()

    def take_over(self) -> None:
        """Here the server runs as root; in production both run as one user."""
        for path in (self.mail, *self.mail.rglob("*")):
            os.chown(path, OWNER, OWNER)

    def imap(self, name: str) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.imap_port)
        client.login(name, "secret")
        return client

    def count(self, name: str, folder: str = "INBOX") -> int:
        with self.imap(name) as client:
            status, found = client.select(folder)
            return int(found[0] or b"0") if status == "OK" else 0


@pytest.fixture
def dovecot(open_folder: Path) -> Iterator[ImapDovecot]:
    server = ImapDovecot(open_folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def by_lmtp(dovecot: ImapDovecot) -> dict[str, object]:
    smarthost = {"name": "dovecot", "host": str(dovecot.socket), "protocol": "lmtp", "tls": "none"}
    return {"smarthost": [smarthost], "route": [{"domains": ["example.org"], "via": "dovecot"}]}


def by_maildir(dovecot: ImapDovecot) -> dict[str, object]:
    maildir = {"name": "boxes", "path": f"{dovecot.mail}/{{local}}/Maildir"}
    return {"maildir": [maildir], "route": [{"domains": ["example.org"], "via": "boxes"}]}


def send(program: Program, *recipients: str, sent: bytes) -> None:
    """As another server does it: no login."""
    with smtplib.SMTP("127.0.0.1", program.port("mx")) as client:
        client.sendmail("far@remote.example", recipients, sent)


@pytest.mark.parametrize("way", [by_lmtp, by_maildir])
def test_our_own_domain_lives_in_dovecot(make_program: MakeProgram, dovecot: ImapDovecot, way: object) -> None:
    assert callable(way)
    program = make_program(way(dovecot)).add(ALICE, BOB).start()
    sent = content("for-both")
    send(program, ALICE, BOB, sent=sent)
    wait_until(lambda: not program.queue() and len(list(dovecot.mail.glob("*/Maildir/new/*"))) == 2, "both have it")
    dovecot.take_over()
    for name in (ALICE, BOB):
        with dovecot.imap(name) as client:
            client.select("INBOX")
            _, found = client.fetch("1", "(RFC822 RFC822.SIZE)")
            assert isinstance(found[0], tuple)
            received = found[0][1]
            assert received.endswith(sent)
            assert received.startswith(b"Return-Path: <far@remote.example>\r\n")
            if way is by_maildir:
                assert received.count(f"Delivered-To: {name}\r\n".encode()) == 1
            assert f"RFC822.SIZE {len(received)} ".encode() in found[0][0]
    assert not program.inbox(ALICE)


@pytest.mark.parametrize("way", [by_lmtp, by_maildir])
def test_who_lives_here_is_known_at_the_door(make_program: MakeProgram, dovecot: ImapDovecot, way: object) -> None:
    assert callable(way)
    program = make_program(way(dovecot)).add(ALICE).start()
    with smtplib.SMTP("127.0.0.1", program.port("mx")) as client:
        client.ehlo("far.example")
        client.mail("far@remote.example")
        assert client.rcpt("nobody@example.org")[0] == 550
        assert client.rcpt(ALICE)[0] == 250


def test_tags_reach_folders(make_program: MakeProgram, dovecot: ImapDovecot) -> None:
    program = make_program(by_lmtp(dovecot)).add(ALICE).start()
    with dovecot.imap(ALICE) as client:
        client.create("lists")
    send(program, "alice+lists@example.org", sent=content("listed"))
    wait_until(lambda: dovecot.count(ALICE, "lists") == 1, "it is in the folder")
    assert dovecot.count(ALICE) == 0


def test_flags_survive_what_comes_later(make_program: MakeProgram, dovecot: ImapDovecot) -> None:
    program = make_program(by_maildir(dovecot)).add(ALICE).start()
    for number in range(3):
        send(program, ALICE, sent=content(f"number-{number}"))
    wait_until(lambda: len(list(dovecot.mail.glob("alice/Maildir/new/*"))) == 3, "all are there")
    dovecot.take_over()
    with dovecot.imap(ALICE) as client:
        client.select("INBOX")
        client.store("2", "+FLAGS", r"(\Flagged \Seen)")
        client.store("3", "+FLAGS", r"(\Deleted)")
        client.expunge()
    send(program, ALICE, sent=content("later"))
    wait_until(lambda: len(list(dovecot.mail.glob("alice/Maildir/new/*"))) == 1, "the next one is there")
    dovecot.take_over()
    with dovecot.imap(ALICE) as client:
        client.select("INBOX")
        _, found = client.fetch("1:*", "(FLAGS)")
        flags = [imaplib.ParseFlags(line) for line in found if isinstance(line, bytes)]
        assert len(flags) == 3
        assert {b"\\Flagged", b"\\Seen"} <= set(flags[1])
        assert b"\\Flagged" not in flags[0] + flags[2]


def test_pop3_of_dovecot_reads_the_same(make_program: MakeProgram, dovecot: ImapDovecot) -> None:
    program = make_program(by_maildir(dovecot)).add(ALICE).start()
    sent = content("for-pop3") + b"a line that is repeated often\r\n" * 20_000
    send(program, ALICE, sent=sent)
    wait_until(lambda: bool(list(dovecot.mail.glob("alice/Maildir/new/*"))), "it is there")
    dovecot.take_over()
    client = poplib.POP3("127.0.0.1", dovecot.pop3_port)
    client.user(ALICE)
    client.pass_("secret")
    _, lines, _ = client.retr(1)
    received = b"\r\n".join(lines) + b"\r\n"
    assert received.endswith(sent)
    assert client.stat() == (1, len(received))
    client.quit()


def test_a_socket_that_is_not_there_defers(make_program: MakeProgram, dovecot: ImapDovecot) -> None:
    program = make_program({**by_lmtp(dovecot), "queue": {"first_retry": 1, "longest_retry": 1}}).add(ALICE).start()
    dovecot.socket.rename(dovecot.socket.with_name("elsewhere"))
    send(program, ALICE, sent=content("patient"))
    wait_until(lambda: any(r["state"] == "deferred" for e in program.queue() for r in e["recipients"]), "it waits")
    dovecot.socket.with_name("elsewhere").rename(dovecot.socket)
    wait_until(lambda: dovecot.count(ALICE) == 1, "it arrives")
