"""What must be refused: the right reply, a log line, and nothing that grows."""

import base64
import smtplib
import socket
from collections.abc import Iterator

import pytest
from tests.system.program import PASSWORD, PATIENCE, Program
from tests.system.setups import content

ALICE, BOB = "alice@example.org", "bob@example.net"
GROWTH = 8 << 20
"""Octets by which one hostile client may make the server grow: far less than what it sends."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server for all of this file: what one hostile client does must not hurt the next."""
    settings = {
        "smtp": {"max_size": 200_000, "command_timeout": 1, "content_timeout": 1},
        "pop3": {"idle_timeout": 10},
        "outbound": {"allow_loopback": True},
    }
    server = Program(tmp_path_factory.mktemp("refusals"), settings).add(ALICE, BOB).start()
    with server.smtp() as client:  # what is loaded only once must not count as growth
        client.sendmail("x@elsewhere.example", [BOB], content("first"))
    yield server
    try:
        assert server.stop() == 0
        assert not server.told("internal_error")
    finally:
        server.kill()


def replies_until_closed(client: socket.socket) -> bytes:
    with client.makefile("rb") as replies:
        return replies.read()


def test_wrong_password_and_unknown_user_get_the_same_answer(program: Program) -> None:
    replies: list[tuple[int, bytes]] = []
    for account in (ALICE, "nobody-here@example.org"):
        with program.smtp("submissions") as client:
            with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
                client.login(account, "not the password")
            error = refusal.value.smtp_error
            replies.append((refusal.value.smtp_code, error if isinstance(error, bytes) else error.encode()))
    assert replies[0] == replies[1]
    assert replies[0][0] == 535
    assert replies[0][1].startswith(b"5.7.8")
    assert program.wait_told("login_failed", account=ALICE)["failures_for_account"] >= 1
    assert program.wait_told("login_failed", account="nobody-here@example.org")
    assert "not the password" not in program.log_text()


def test_wrong_password_at_pop3(program: Program) -> None:
    import poplib

    with pytest.raises(poplib.error_proto, match="ERR"):
        program.pop3(ALICE, "not the password")
    program.wait_told("login_failed", role="pop3s")


def test_auth_is_not_offered_and_not_taken_without_tls(program: Program) -> None:
    token = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode()).decode()
    with program.smtp("submission") as client:
        assert not client.has_extn("auth")
        code, text = client.docmd("AUTH", f"PLAIN {token}")
    assert code in (530, 538)
    assert text.startswith(b"5.7.")
    program.wait_told("command_refused", role="submission", command="AUTH")
    assert token not in program.log_text()
    assert PASSWORD not in program.log_text()


def test_submission_needs_auth(program: Program) -> None:
    with program.smtp("submissions") as client:
        code, text = client.mail(ALICE)
        if code == 250:
            code, text = client.rcpt(BOB)
    assert (code, text[:5]) == (530, b"5.7.0")


def test_nobody_sends_as_somebody_else(program: Program) -> None:
    with program.submission(ALICE) as client:
        code, text = client.mail(BOB)
        if code == 250:
            code, text = client.rcpt(BOB)
    assert (code, text[:5]) == (550, b"5.7.1")
    program.wait_told("sender_refused", sender=BOB)


def test_an_unknown_recipient_is_refused_at_rcpt(program: Program) -> None:
    with program.smtp() as client:
        client.mail("x@elsewhere.example")
        code, text = client.rcpt("no-such-user@example.org")
        assert client.rcpt(BOB)[0] == 250
    assert (code, text[:5]) == (550, b"5.1.1")
    program.wait_told("recipient_refused", recipient="no-such-user@example.org")


@pytest.mark.parametrize(
    "recipient",
    ["someone@remote.example", "someone%remote.example@example.org", "@example.org:someone@remote.example"],
)
def test_relaying_is_denied(program: Program, recipient: str) -> None:
    with program.smtp() as client:
        client.mail(ALICE)  # to claim to be one of us does not help
        code, text = client.docmd("RCPT", f"TO:<{recipient}>")
    assert code == 550
    assert text[:5] in (b"5.7.1", b"5.1.1")
    program.wait_told("recipient_refused")


def test_oversize_is_refused_when_announced_and_when_not(program: Program) -> None:
    before = program.rss()
    with program.smtp() as client:
        assert client.esmtp_features["size"] == "200000"
        code, text = client.mail("x@elsewhere.example", ["SIZE=200001"])
        assert (code, text[:5]) == (552, b"5.3.4")
        client.mail("x@elsewhere.example")
        client.rcpt(BOB)
        code, text = client.data(content("oversize") + (b"x" * 76 + b"\r\n") * 3_000)
        assert (code, text[:5]) == (552, b"5.3.4")
        assert client.noop()[0] == 250
        client.mail("endless@elsewhere.example")
        client.rcpt(BOB)
        with pytest.raises(smtplib.SMTPServerDisconnected):  # there is an end to what is read only to be thrown away
            client.data(content("oversize") + (b"x" * 76 + b"\r\n") * 300_000)
    for sender in ("x@elsewhere.example", "endless@elsewhere.example"):
        assert "552 5.3.4" in program.wait_told("message_refused", sender=sender)["reply"]
    assert program.rss() - before < GROWTH
    assert b"oversize@" not in b"".join(program.inbox(BOB))


def test_ten_thousand_recipients(program: Program) -> None:
    before = program.rss()
    with socket.create_connection(("127.0.0.1", program.port("mx")), timeout=PATIENCE) as client:
        replies = client.makefile("rb")
        replies.readline()
        client.sendall(b"EHLO client.example\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        client.sendall(b"MAIL FROM:<x@elsewhere.example>\r\n")
        assert replies.readline().startswith(b"250")
        answered = []
        for begin in range(0, 10_000, 500):
            client.sendall(b"".join(b"RCPT TO:<bob+%d@example.net>\r\n" % n for n in range(begin, begin + 500)))
            answered += [line for line in (replies.readline() for _ in range(500)) if line]
            if len(answered) < begin + 500:
                break  # the server had enough and said so
        taken = [line for line in answered if line.startswith(b"250")]
        refused = [line for line in answered if line.startswith((b"452 4.5.3", b"552 5.5.3"))]
        assert len(taken) == 1000
        assert refused
        assert all(line.startswith((b"250", b"452 4.5.3", b"421")) for line in answered)
        replies.close()
    program.wait_told("recipient_refused", sender="x@elsewhere.example")
    assert program.rss() - before < GROWTH


@pytest.mark.parametrize("role", ["mx", "submission", "pop3"])
def test_a_command_line_of_three_megabytes(program: Program, role: str) -> None:
    before = program.rss()
    with socket.create_connection(("127.0.0.1", program.port(role)), timeout=PATIENCE) as client:
        replies = client.makefile("rb")
        assert replies.readline().startswith((b"220 ", b"+OK"))
        try:
            for _ in range(48):
                client.sendall(b"A" * 65536)
            client.sendall(b"\r\nQUIT\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may hang up rather than listen to that
        else:
            assert replies.readline().startswith((b"500 ", b"421 ", b"-ERR"))
        replies.close()
    program.wait_told("command_refused", role=role)
    assert program.rss() - before < GROWTH
    assert len(max(program.log_text().splitlines(), key=len)) < 10_000


@pytest.mark.parametrize("typed", [b"", b"EHLO client.exam", b"EHLO client.example\r\n"])
def test_a_client_that_goes_silent_is_sent_away(program: Program, typed: bytes) -> None:
    with socket.create_connection(("127.0.0.1", program.port("mx")), timeout=PATIENCE) as client:
        assert client.recv(4096).startswith(b"220")
        client.sendall(typed)
        assert replies_until_closed(client).splitlines()[-1].startswith(b"421 4.4.2")
    program.wait_told("session_closed", role="mx", reason="timeout")


def test_a_client_that_goes_silent_in_its_content_is_sent_away(program: Program) -> None:
    with socket.create_connection(("127.0.0.1", program.port("mx")), timeout=PATIENCE) as client:
        assert client.recv(4096).startswith(b"220")
        client.sendall(b"EHLO c.example\r\n")
        client.recv(4096)
        client.sendall(b"MAIL FROM:<x@elsewhere.example>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n")
        with client.makefile("rb") as replies:
            while not replies.readline().startswith(b"354"):
                pass
            client.sendall(b"Subject: half\r\n\r\nand then")
            assert replies.read().splitlines()[-1].startswith(b"421 4.4.2")
    assert b"Subject: half" not in b"".join(program.inbox(BOB))


def test_bare_newlines_do_not_smuggle(program: Program) -> None:
    """Only <CRLF>.<CRLF> ends the content, and content with a bare LF is refused."""
    second = b"MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: smuggled\r\n"
    with program.smtp() as client:
        client.mail("x@elsewhere.example")
        client.rcpt(BOB)
        client.docmd("DATA")
        client.send(b"Subject: outer\r\n\r\na\n.\n" + second + b"\r\n.\r\n")
        code, text = client.getreply()
        assert code in (550, 554)
        assert text[:2] == b"5."
        assert client.noop()[0] == 250
    assert b"smuggled" not in b"".join(program.inbox(BOB))


def test_commands_sent_before_the_handshake_are_not_executed_after_it(program: Program) -> None:
    """RFC 3207 §4.2, and the command injection that goes with it."""
    with socket.create_connection(("127.0.0.1", program.port("submission")), timeout=PATIENCE) as client:
        replies = client.makefile("rb")
        replies.readline()
        client.sendall(b"EHLO c.example\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        client.sendall(b"STARTTLS\r\nNOOP injected\r\n")
        assert replies.readline().startswith(b"220")
        try:
            with program.trust.wrap_socket(client, server_hostname="localhost") as tls:
                tls.sendall(b"QUIT\r\n")
                assert tls.makefile("rb").read().startswith(b"221")
        except OSError:
            pass  # to hang up is right as well
        replies.close()
