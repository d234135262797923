"""8-bit and binary mail towards a real Postfix that takes neither: it arrives converted, and nothing is lost."""

import email
import os
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
from bench.postfix import Postfix, why_not
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import Program, wait_until

ALICE, SOMEONE = "alice@example.org", "someone@remote.example"
UMLAUTS = "grüße, Ωμέγα\r\n.\r\n -- ".encode() + b"x" * 100 + b" \r\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0" + bytes(range(256))
pytestmark = [
    pytest.mark.needs("postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts as root only"),
]


def mixed(label: bytes, image: bytes) -> bytes:
    head = b"From: <alice@example.org>\r\nSubject: mixed\r\nMIME-Version: 1.0\r\n"
    head += b"Content-Type: multipart/mixed; boundary=here\r\nContent-Transfer-Encoding: " + label + b"\r\n\r\n"
    text = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + label + b"\r\n\r\n" + UMLAUTS
    return head + b"--here\r\n" + text + b"\r\n--here\r\n" + image + b"\r\n--here--\r\n"


@pytest.fixture
def world(make_program: MakeProgram, nameserver: Nameserver, open_folder: Path) -> Iterator[tuple[Program, Postfix]]:
    """Postroom, and the Postfix of remote.example that announces no 8BITMIME and no CHUNKING."""
    if why_not():
        pytest.skip(why_not())
    postfix = Postfix(open_folder / "postfix", domain="remote.example", accounts=("someone",), settings={})
    settings = {
        "dns": {"servers": [nameserver.address], "timeout": 5},
        "outbound": {"port": postfix.smtp_port, "allow_loopback": True},
        "queue": {"first_retry": 0.5, "poll": 0.2},
    }
    program = make_program(settings).add(ALICE).start()
    postfix.set(smtpd_discard_ehlo_keywords="8bitmime,smtputf8,chunking")
    postfix.start()
    try:
        yield program, postfix
    finally:
        postfix.stop()


def arrived(postfix: Postfix) -> Message:
    wait_until(lambda: postfix.stored() == 1, "the message is in the Maildir")
    (received,) = postfix.contents("someone")
    assert received.isascii()
    return email.message_from_bytes(received.replace(b"\n", b"\r\n"))


def leaves(message: Message) -> list[object]:
    return [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]


def test_eight_bit_mail(world: tuple[Program, Postfix]) -> None:
    # RFC 6152 §3
    program, postfix = world
    with program.submission(ALICE) as client:
        image = b"Content-Type: image/x\r\n\r\n\x89 no NUL, whole lines\r\n"
        client.sendmail(ALICE, [SOMEONE], mixed(b"8bit", image), mail_options=["BODY=8BITMIME"])
    assert leaves(arrived(postfix)) == [UMLAUTS, b"\x89 no NUL, whole lines\r\n"]
    told = program.wait_told("attempt_made", outcome="delivered")
    assert told["detail"] == "converted to 7bit: the peer lacks 8BITMIME"


def test_binary_mail(world: tuple[Program, Postfix]) -> None:
    # RFC 3030 §3
    program, postfix = world
    content = mixed(b"binary", b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n" + PNG)
    with program.submission(ALICE) as client:
        client.ehlo()
        assert client.docmd(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME")[0] == 250
        assert client.docmd(f"RCPT TO:<{SOMEONE}>")[0] == 250
        client.send(b"BDAT %d LAST\r\n" % len(content) + content)
        assert client.getreply()[0] == 250
    assert leaves(arrived(postfix)) == [UMLAUTS, PNG]
