"""Both engines talking to each other in the newer extensions: chunks, deadlines, priorities, REQUIRETLS."""

import pytest
from tests.unit.protocol.smtp.test_smtp_peers import HELLO, RECIPIENT, Pair

from postroom.mail.address import Address
from postroom.mail.envelope import Body, ByMode, DeliverBy
from postroom.protocol.smtp.announced import read_announced
from postroom.protocol.smtp.commands import SayMail, SayReset, SayStartTls
from postroom.protocol.smtp.events import Mail
from postroom.protocol.smtp.options import ServerOptions

A = Address("a", "b.example")


@pytest.mark.parametrize("lmtp", [False, True])
def test_binary_content_in_chunks(lmtp: bool) -> None:
    # RFC 3030 §2, RFC 2033 §4.3
    pair = Pair(ServerOptions("mx.example", lmtp=lmtp))
    pair.do(HELLO)
    assert read_announced(pair.client.capabilities).binary
    pieces = [b"\r\n.\r\nQUIT\r\n", b"bare\n\r\0\xff", b""]
    assert [reply.code for reply in pair.do(SayMail(A, body=Body.BINARY), RECIPIENT, RECIPIENT)] == [250] * 3
    for number, piece in enumerate(pieces, 1):
        last = number == len(pieces)
        pair.pass_on(pair.client.chunk(piece, last=last))
        replies = [pair.reply() for _ in range(2 if last and lmtp else 1)]
        assert {reply.code for reply in replies} == {250}
    assert pair.shell.messages == [b"".join(pieces)]
    assert pair.client.outstanding == 0
    assert pair.do(SayMail(A))[0].code == 250


def test_chunks_may_be_left_for_a_reset() -> None:
    pair = Pair()
    pair.do(HELLO)
    pair.do(SayMail(A, body=Body.BINARY), RECIPIENT)
    pair.pass_on(pair.client.chunk(b"half", last=False))
    assert pair.reply().code == 250
    assert [reply.code for reply in pair.do(SayReset(), SayMail(A))] == [250, 250]
    assert not pair.shell.messages


def test_the_parameters_arrive() -> None:
    # RFC 2852 §4, RFC 6710 §3, RFC 8689 §2
    pair = Pair(ServerOptions("mx.example"))
    pair.do(
        HELLO,
    )
    pair.do(SayStartTls())
    pair.shell.shake_hands()
    pair.client.tls_established()
    pair.do(HELLO)
    announced = read_announced(pair.client.capabilities)
    assert announced.require_tls
    assert announced.min_deliver_by == 0
    deadline = DeliverBy(120, ByMode.RETURN, trace=True)
    assert pair.do(SayMail(A, deliver_by=deadline, priority=-3, require_tls=True))[0].code == 250
    asked = pair.shell.events[-1]
    assert asked == Mail(A, deliver_by=deadline, priority=-3, require_tls=True)
