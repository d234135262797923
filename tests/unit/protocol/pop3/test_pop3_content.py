"""Byte-stuffing and TOP, in pieces of any size (RFC 1939 §3, §7)."""

import pytest

from postroom.protocol.pop3.content import Stuffer, TopCutter


def stuffed(*pieces: bytes) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.add(piece) for piece in pieces]) + stuffer.end()


def top(lines: int, *pieces: bytes) -> bytes:
    cutter = TopCutter(lines)
    return b"".join([cutter.cut(piece) for piece in pieces])


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"..a\r\n.\r\n.b", b"...a\r\n..\r\n..b\r\n.\r\n"),
        (b"a.b\r\n a.\r\n", b"a.b\r\n a.\r\n.\r\n"),
        (b"a\r\n\r\n.\r\n\r\n", b"a\r\n\r\n..\r\n\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        # What is no line end by the standard is one for some clients: no message ends before its time.
        (b"a\n.\r\nb\r\n", b"a\n..\r\nb\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
    ],
)
def test_stuffing(message: bytes, wire: bytes) -> None:
    assert stuffed(message) == wire
    assert stuffed(*[message[i : i + 1] for i in range(len(message))], b"") == wire
    for cut in range(len(message)):
        assert stuffed(message[:cut], message[cut:]) == wire


MESSAGE = b"From: a\r\nTo: b\r\n\r\none\r\n\r\n.three\r\nfour"


@pytest.mark.parametrize(
    ("message", "lines", "wanted"),
    [
        (MESSAGE, 0, b"From: a\r\nTo: b\r\n\r\n"),
        (MESSAGE, 1, b"From: a\r\nTo: b\r\n\r\none\r\n"),
        (MESSAGE, 3, b"From: a\r\nTo: b\r\n\r\none\r\n\r\n.three\r\n"),
        (MESSAGE, 4, MESSAGE),
        (MESSAGE, 9_999_999_999, MESSAGE),
        (b"From: a\r\n", 1, b"From: a\r\n"),
        (b"From: a\r\n\r\n", 0, b"From: a\r\n\r\n"),
        (b"\r\none\r\ntwo\r\n", 0, b"\r\n"),
        (b"\r\none\r\ntwo\r\n", 1, b"\r\none\r\n"),
        (b"", 1, b""),
    ],
)
def test_top(message: bytes, lines: int, wanted: bytes) -> None:
    assert top(lines, message) == wanted
    assert top(lines, *[message[i : i + 1] for i in range(len(message))]) == wanted
    for cut in range(len(message)):
        assert top(lines, message[:cut], message[cut:]) == wanted


def test_top_says_when_it_has_enough() -> None:
    cutter = TopCutter(1)
    full = []
    for piece in (b"From: a\r\n\r\n", b"one\r\n"):
        cutter.cut(piece)
        full.append(cutter.is_full)
    assert full == [False, True]
    assert cutter.cut(b"two\r\n") == b""
