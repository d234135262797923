"""The SMTP engines under any input: any split gives the same events, and nothing raises that should not."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fakes.smtp_shell import SmtpShell

from postroom.mail.address import Address
from postroom.mail.envelope import Recipient
from postroom.protocol.errors import RemoteProtocolError
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import SayData, SayHello, SayMail, SayRcpt
from postroom.protocol.smtp.events import ClientEvent, Content, ContentEnd, ServerEvent, Signal
from postroom.protocol.smtp.options import ServerOptions

_FRAGMENTS = [
    b"EHLO a\r\n",
    b"HELO a\r\n",
    b"MAIL FROM:<a@b.c>\r\n",
    b"MAIL FROM:<a@b.c> BODY=BINARYMIME\r\n",
    b"MAIL FROM:<a@b.c> BY=9;R MT-PRIORITY=1 REQUIRETLS HOLDFOR=9\r\n",
    b"XCLIENT ADDR=192.0.2.9 LOGIN=a@b.c\r\n",
    b"XCLIENT HELO=x\r\n",
    b"HELP MAIL\r\n",
    b"MAIL FROM:<j\xc3\xb6rg@b.c> SMTPUTF8\r\n",
    b"RCPT TO:<d@e.f>\r\n",
    b"RCPT TO:<d@e.f> NOTIFY=NEVER ORCPT=rfc822;x\r\n",
    b"DATA\r\n",
    b"BDAT 5\r\n",
    b"BDAT 3 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 99999999\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n",
    b"AHVzZXIAc2VjcmV0\r\n",
    b"*\r\n",
    b"FOO\r\n",
    b"VRFY x\r\n",
    b"hello\r\n",
    b"..\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r.\r",
    b"\r",
    b"\n",
    b"\x00",
    b"\xff",
    b"x" * 100,
    b"y" * 3000,
]

_streams = st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=8), max_size=40).map(b"".join)
_cuts = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
        turn += 1
    return pieces


def without_dropped(events: list[ServerEvent]) -> list[ServerEvent]:
    """Without the content that came to nothing, dropped or never ended: how much was seen is a matter of the pieces."""
    kept: list[ServerEvent] = []
    for event in events:
        if kept and isinstance(kept[-1], Content) and not isinstance(event, Content | ContentEnd):
            kept.pop()
        kept.append(event)
    if kept and isinstance(kept[-1], Content):
        kept.pop()
    return kept


def server_session(
    pieces: list[bytes], options: ServerOptions, *, xclient: bool = False
) -> tuple[bytes, list[ServerEvent], list[bytes]]:
    shell = SmtpShell(options, xclient=xclient)
    output = shell.start()
    for piece in pieces:
        output += shell.feed(piece)
    output += shell.feed(b"")
    return output, without_dropped(shell.events), shell.messages


@settings(max_examples=300, deadline=None)
@example(b"DATA\r\nEHLO a\r\n", [4], False, 4, False, False)
@given(_streams, _cuts, st.booleans(), st.sampled_from([0, 4, 1000]), st.booleans(), st.booleans())
def test_any_split_is_the_same_session(
    stream: bytes, sizes: list[int], normalise: bool, max_size: int, xclient: bool, binary: bool
) -> None:
    options = ServerOptions(
        "mx.example",
        max_size=max_size,
        max_line=200,
        auth_mechanisms=("PLAIN",),
        auth_without_tls=True,
        normalise_newlines=normalise,
        max_hold=60,
        now=lambda: 1_800_000_000.0,
    )
    stream = (b" BODY=BINARYMIME" if binary else b"").join(
        [b"EHLO a\r\nMAIL FROM:<a@b.c>", b"\r\nRCPT TO:<d@e.f>\r\n"]
    ) + stream
    # What follows STARTTLS is dropped, as much of it as there is.
    stream = stream.split(b"STARTTLS\r\n", 1)[0]
    whole = server_session([stream], options, xclient=xclient)
    assert server_session(cut(stream, sizes), options, xclient=xclient) == whole


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=30), max_size=40))
def test_no_input_upsets_the_server(pieces: list[bytes]) -> None:
    shell = SmtpShell(ServerOptions("mx.example", auth_mechanisms=("PLAIN",), auth_without_tls=True))
    shell.start()
    for piece in pieces:
        if shell.handshake_due:
            shell.shake_hands()
        shell.feed(piece)
    assert isinstance(shell.signal, Signal)


_REPLIES = [b"250 ok\r\n", b"250-a\r\n", b"550 5.1.1 no\r\n", b"354 go\r\n", b"421 bye\r\n", b"\r", b"\n", b"250"]
_replies = st.lists(st.sampled_from(_REPLIES) | st.binary(max_size=8), max_size=12).map(b"".join)


def client_session(pieces: list[bytes]) -> list[ClientEvent | str]:
    client, events = SmtpClient(), list[ClientEvent | str]()
    client.receive_data(b"220 hi\r\n")
    client.next_event()
    client.send(SayHello("a"))
    client.receive_data(b"250-hi\r\n250 PIPELINING\r\n")
    client.next_event()
    for command in (SayMail(Address("a", "b")), SayRcpt(Recipient(Address("c", "d"))), SayData()):
        client.send(command)
    for piece in [*pieces, b""]:
        client.receive_data(piece)
        try:
            while not isinstance(event := client.next_event(), Signal):
                events.append(event)
                if not piece:
                    break
        except RemoteProtocolError as error:
            return [*events, str(error)]
    return events


@settings(max_examples=300, deadline=None)
@given(_replies, _cuts)
def test_any_split_is_the_same_for_the_client(stream: bytes, sizes: list[int]) -> None:
    assert client_session(cut(stream, sizes)) == client_session([stream] if stream else [])


_contents = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"x", b"\r\n.\r\n", b"\r\n..", b"\x00", b"\xe9", b"\r\n\r\n"]), max_size=30
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(_contents, _cuts, _cuts)
def test_content_survives_the_wire(content: bytes, out_sizes: list[int], in_sizes: list[int]) -> None:
    client, shell = SmtpClient(), SmtpShell()
    client.receive_data(shell.start())
    client.next_event()
    for command in (SayHello("a"), SayMail(Address("a", "b")), SayRcpt(Recipient(Address("c", "d"))), SayData()):
        client.receive_data(shell.feed(client.send(command)))
        client.next_event()
    wire = b"".join([client.content(piece) for piece in cut(content, out_sizes)]) + client.end_content()
    output = b"".join([shell.feed(piece) for piece in cut(wire, in_sizes)])
    assert output.startswith(b"250 ")
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert shell.messages == [whole]


_FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\r.\r\n",
    b"\n\n.\r\n",
    b"\r\r\n.\r",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_FALSE_ENDS), min_size=1, max_size=4), _cuts, st.booleans())
def test_nothing_but_the_true_end_ends_data(ends: list[bytes], sizes: list[int], normalise: bool) -> None:
    shell = SmtpShell(ServerOptions("mx.example", normalise_newlines=normalise))
    shell.start()
    shell.say("EHLO a", "MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA")
    stream = b"".join(b"x" + end + b"MAIL FROM:<smuggled@b.c>" for end in ends)
    assert all(shell.feed(piece) == b"" for piece in cut(stream, sizes))
    assert shell.feed(b"\r\n.\r\nNOOP\r\n").count(b"\r\n") == 2
    assert not any("smuggled" in repr(event) for event in shell.events if not isinstance(event, Content))
    for message in shell.messages:
        lines = message.count(b"\r\n")
        assert (lines, lines) == (message.count(b"\n"), message.count(b"\r"))
