"""send: a test client over SMTP, and sendmail by intake."""

import os
import ssl
from pathlib import Path

import pytest
import trustme
from tests.fakes.memory_house import MemoryHouse
from tests.fakes.smtp_shell import SmtpShell
from tests.fakes.smtp_thread import ThreadedShell
from tests.unit.cli.conftest import Ended, Run

from postroom.cli.send import _may_write
from postroom.mail.reply import Reply
from postroom.protocol.smtp.events import Mail, Rcpt
from postroom.protocol.smtp.options import ServerOptions

TO = ("--to", "bob@example.net")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def over(run: Run, server: ThreadedShell, *words: str, stdin: str | bytes | None = None) -> Ended:
    where = ("--server", "127.0.0.1", "--port", str(server.port))
    return run("send", *where, *words, stdin=stdin, bare=True)


class TestOverSmtp:
    def test_a_made_message(self, run: Run) -> None:
        with ThreadedShell(SmtpShell()) as server:
            ended = over(run, server, *TO, "--from", "a@example.org", "--subject", "Grüße", "--body", "Hello\n.\nBob")
        assert ended.code == 0, ended.err
        assert "C: MAIL FROM:<a@example.org>" in ended.out
        assert "S: 250 2.1.5 OK" in ended.out
        assert ended.out.rstrip().endswith("octets queued")
        (content,) = server.shell.messages
        assert b"Subject: =?utf-8?" in content
        assert content.endswith(b"\r\n\r\nHello\r\n.\r\nBob\r\n")
        assert b"From: a@example.org\r\nTo: bob@example.net\r\n" in content
        assert b"Date: " in content

    def test_a_read_message_is_sent_as_it_is(self, run: Run) -> None:
        raw = b"From: x@y.example\r\nSubject: 8bit \xc3\xa4\r\n\r\n.dot\r\nline\r\n"
        with ThreadedShell(SmtpShell()) as server:
            ended = over(run, server, "bob@example.net", "-i", "--quiet", stdin=raw)
        assert ended.code == 0, ended.err
        assert ended.out.count("\n") == 1
        assert server.shell.messages == [raw]
        mail = next(event for event in server.shell.events if isinstance(event, Mail))
        assert mail.body.value == "8BITMIME"
        assert mail.size == len(raw)

    def test_attachments(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "note.txt").write_text("attached text")
        (tmp_path / "x.bin123").write_bytes(bytes(range(256)))
        files = ("--attach", str(tmp_path / "note.txt"), "--attach", str(tmp_path / "x.bin123"))
        with ThreadedShell(SmtpShell()) as server:
            assert over(run, server, *TO, *files).code == 0
        (content,) = server.shell.messages
        assert b'filename="note.txt"' in content
        assert b"application/octet-stream" in content

    def test_null_sender_and_several_recipients(self, run: Run) -> None:
        refusals = {"RCPT no@example.net": Reply.of(550, "5.1.1", "No such user")}
        with ThreadedShell(SmtpShell(refusals=refusals)) as server:
            ended = over(run, server, *TO, "--to", "no@example.net", "--from", "<>", "--body", "x")
        assert ended.code == 0
        assert next(event for event in server.shell.events if isinstance(event, Mail)).reverse_path is None
        assert sum(isinstance(event, Rcpt) for event in server.shell.events) == 2
        assert len(server.shell.messages) == 1

    def test_starttls_and_login(self, run: Run, context: ssl.SSLContext, ca_file: Path) -> None:
        shell = SmtpShell(ServerOptions("mx.example", auth_mechanisms=("PLAIN",)))
        words = ("--tls", "starttls", "--ca", str(ca_file), "--user", "alice@example.org", "--password-stdin")
        with ThreadedShell(shell, context) as server:
            ended = over(run, server, *TO, *words, "--body", "x", stdin="secret\n")
        assert ended.code == 0, ended.err
        assert "C: STARTTLS" in ended.out
        assert "(TLSv1.3)" in ended.out
        assert "C: AUTH PLAIN (not shown)" in ended.out
        assert "secret" not in ended.out
        mail = next(event for event in server.shell.events if isinstance(event, Mail))
        assert str(mail.reverse_path) == "alice@example.org"

    def test_wrong_password(self, run: Run, context: ssl.SSLContext) -> None:
        shell = SmtpShell(ServerOptions("mx.example", auth_mechanisms=("PLAIN",)), tls=True)
        words = ("--tls", "implicit", "--insecure", "--user", "alice@example.org", "--password-stdin")
        with ThreadedShell(shell, context, implicit=True) as server:
            ended = over(run, server, *TO, *words, "--body", "x", stdin="wrong\n")
        assert ended.code == 1
        assert "the server refused: 535" in ended.err
        assert "wrong" not in ended.err

    def test_an_unknown_certificate(self, run: Run, context: ssl.SSLContext) -> None:
        with ThreadedShell(SmtpShell(tls=True), context, implicit=True) as server:
            ended = over(run, server, *TO, "--tls", "implicit", "--body", "x")
        assert ended.code == 1
        assert "remedy: --ca FILE, or --insecure" in ended.err

    def test_no_starttls_there(self, run: Run) -> None:
        with ThreadedShell(SmtpShell(ServerOptions("mx.example", starttls=False))) as server:
            ended = over(run, server, *TO, "--tls", "starttls", "--body", "x")
        assert ended.code == 1
        assert "does not offer STARTTLS" in ended.err

    @pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"])
    def test_refusals_are_told(self, run: Run, verb: str) -> None:
        refusals = {verb: Reply.of(554, "" if verb in ("CONNECT", "EHLO") else "5.7.1", "Go away")}
        with ThreadedShell(SmtpShell(refusals=refusals)) as server:
            ended = over(run, server, *TO, "--body", "x")
        assert ended.code == 1
        assert "Go away" in ended.err

    def test_nobody_listens(self, run: Run) -> None:
        with ThreadedShell(SmtpShell()) as server:
            port = server.port
        ended = run("send", "--server", "127.0.0.1", "--port", str(port), *TO, "--body", "x", bare=True)
        assert ended.code == 1
        assert f"127.0.0.1 port {port}: Connection refused" in ended.err

    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("--server", "x", "--user", "a@b.example", *TO),
            ("--server", "x", "--port", "0", *TO),
            ("--tls", "perhaps", *TO),
        ],
    )
    def test_wrong_use(self, run: Run, words: tuple[str, ...]) -> None:
        assert run("send", *words, bare=True).code == 2

    def test_a_file_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        ended = run("send", *TO, "--attach", str(tmp_path / "no"))
        assert ended.code == 1
        assert "cannot be attached" in ended.err


class TestIntoTheStore:
    def test_local_and_remote(self, run: Run, house: MemoryHouse) -> None:
        raw = b"Subject: hi\nTo: info@example.org, x@remote.example\nBcc: y@remote.example\n\nHello\n.\nnot this\n"
        ended = run("send", "-t", "-f", "cron@example.org", stdin=raw)
        assert ended.code == 0, ended.err
        (intake,) = house.store.queue.intakes
        assert ended.out == f"accepted as {ended.out.split()[-1]}\n"
        assert str(intake.message.envelope.reverse_path) == "cron@example.org"
        assert [str(one.recipient.address) for one in intake.queued] == ["x@remote.example", "y@remote.example"]
        assert [entry.recipient for entry in intake.entries] == ["alice@example.org", "bob@example.org"]
        assert intake.lease is None
        content = intake.content or b""
        assert b"bcc" not in content.lower()
        assert content.startswith(b"From: cron@example.org\r\nSubject: hi\r\n")
        assert content.endswith(b"\r\n\r\nHello\r\n")
        prefix = intake.message.prefix
        assert prefix.startswith(b"Received: by mx.example.org (Postroom, from local user ")
        assert b"\r\nDate: " in prefix
        assert b"\r\nMessage-ID: <" in prefix

    def test_dots_may_be_ignored(self, run: Run, house: MemoryHouse) -> None:
        assert run("send", "-i", "alice@example.org", stdin=b"Subject: x\n\na\n.\nb").code == 0
        assert (house.store.queue.intakes[0].content or b"").endswith(b"\r\n\r\na\r\n.\r\nb\r\n")

    def test_a_bare_name_is_someone_here(self, run: Run, house: MemoryHouse) -> None:
        assert run("send", "root", "-F", 'The "Cron"', stdin=b"just text\n").code == 0
        (intake,) = house.store.queue.intakes
        assert str(intake.message.envelope.recipients[0].address) == "root@mx.example.org"
        assert (intake.content or b"").startswith(b'From: "The \\"Cron\\"" <')
        assert (intake.content or b"").endswith(b"\r\n\r\njust text\r\n")

    def test_large_content_goes_in_chunks(self, run: Run, house: MemoryHouse) -> None:
        text = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 10_000
        assert run("send", "x@remote.example", stdin=text).code == 0
        (intake,) = house.store.queue.intakes
        assert intake.content is None
        stored = next(iter(house.store.queue.messages.values()))
        assert stored.content.endswith(text[14:])
        assert intake.message.content_size == len(stored.content)

    def test_too_big(self, run: Run, house: MemoryHouse, config: Path) -> None:
        config.write_text(config.read_text() + "[smtp]\nmax_size = 65536\n")
        ended = run("send", "x@remote.example", stdin=b"x\n" * 50_000)
        assert ended.code == 1
        assert "smtp.max_size" in ended.err
        assert house.store.queue.intakes == []

    @pytest.mark.parametrize("raw", [b"Subject: nobody\n\n", b"", b"no header"])
    def test_nobody_receives(self, run: Run, raw: bytes) -> None:
        ended = run("send", "-t", stdin=raw)
        assert ended.code == 1
        assert "nobody receives the message" in ended.err

    def test_a_store_that_is_full(self, run: Run, house: MemoryHouse) -> None:
        house.store.queue.failing.add("take_in")
        ended = run("send", "x@remote.example", stdin=b"x\n")
        assert ended.code == 1
        assert "free space" in ended.err

    def test_bad_addresses(self, run: Run) -> None:
        assert run("send", "a@b..example", stdin=b"x").code == 1
        assert run("send", "x@remote.example", "-f", "a@b@", stdin=b"x").code == 1


class TestWithoutTheStore:
    """A user who may not touch the store comes in by the mx port."""

    @pytest.fixture(autouse=True)
    def closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("postroom.cli.send._may_write", lambda path: False)

    def test_by_the_mx_port(self, run: Run, house: MemoryHouse, config: Path) -> None:
        with ThreadedShell(SmtpShell()) as server:
            listener = f'[[listener]]\nrole = "mx"\naddresses = ["0.0.0.0"]\nport = {server.port}\n'
            config.write_text(config.read_text() + listener)
            ended = run("send", "alice@example.org", stdin=b"Subject: hi\n\ntext\n")
        assert ended.code == 0, ended.err
        assert ended.out.endswith("octets queued\n")
        (content,) = server.shell.messages
        assert content.startswith(b"Date: ")
        assert b"\r\nMessage-ID: <" in content
        assert house.store.queue.intakes == []

    def test_no_such_door(self, run: Run, config: Path) -> None:
        config.write_text(config.read_text() + '[[listener]]\nrole = "pop3"\nport = 2110\n')
        ended = run("send", "alice@example.org", stdin=b"x\n")
        assert ended.code == 1
        assert "run as the server's user" in ended.err


def test_who_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _may_write(tmp_path / "not" / "there" / "yet.db")
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and path == tmp_path)
    assert not _may_write(tmp_path / "postroom.db")
