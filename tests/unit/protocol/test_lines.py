"""Lines out of a stream: whole or in pieces the same, and never more memory than the limit asks for."""

import pytest

from postroom.protocol.lines import BadLine, LineFault, LineReader, visible


def read_all(reader: LineReader, limit: int = 20) -> list[bytes | BadLine]:
    lines: list[bytes | BadLine] = []
    while (line := reader.next_line(limit)) is not None:
        lines.append(line)
    return lines


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_the_same_however_they_arrive(size: int) -> None:
    stream = b"one\r\n\r\ntwo\nth\rree\r\n" + b"x" * 18 + b"\r\n" + b"y" * 19 + b"\r\n" + b"z" * 50 + b"\nend\r\nrest"
    reader = LineReader()
    lines: list[bytes | BadLine] = []
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        lines += read_all(reader)
    assert [line.fault if isinstance(line, BadLine) else line for line in lines] == [
        b"one",
        b"",
        LineFault.BARE_LF,
        b"th\rree",
        b"x" * 18,
        LineFault.TOO_LONG,
        LineFault.TOO_LONG,
        b"end",
    ]
    assert reader.take_all() == b"rest"


def test_a_bare_lf_ends_a_line_where_the_reader_is_lenient() -> None:
    reader = LineReader(strict=False)
    reader.feed(b"one\ntwo\r\n\n")
    assert read_all(reader) == [b"one", b"two", b""]


def test_an_overlong_line_is_not_kept() -> None:
    reader = LineReader()
    for _ in range(3000):
        reader.feed(b"x" * 1024)
        assert reader.next_line(2048) is None
        assert len(reader) < 2048
    reader.feed(b"\r\nNOOP\r\n")
    line = reader.next_line(2048)
    assert isinstance(line, BadLine)
    assert line.fault is LineFault.TOO_LONG
    assert len(line.head) <= 256
    assert reader.next_line(2048) == b"NOOP"


def test_a_line_without_end_is_given_up() -> None:
    reader = LineReader()
    line = None
    for _ in range(17):
        reader.feed(b"x" * 1024 * 1024)
        line = reader.next_line(2048)
    assert isinstance(line, BadLine)
    assert line.fault is LineFault.ENDLESS


def test_raw_octets_between_lines() -> None:
    reader = LineReader()
    reader.feed(b"line\r\nabcdefgh")
    assert reader.take(0) == b""
    assert reader.next_line(20) == b"line"
    assert reader.peek(3) == b"abc"
    assert reader.take(3) == b"abc"
    assert len(reader) == 5
    reader.feed(b"ij")
    assert reader.take(3) == b"def"
    assert reader.take_all() == b"ghij"
    assert reader.take(3) == b""
    reader.feed(b"more")
    reader.clear()
    assert len(reader) == 0
    assert reader.next_line(20) is None


@pytest.mark.parametrize("word", [b"LONG ", b"long "])
def test_a_word_may_begin_a_longer_line(word: bytes) -> None:
    longer = (b"LONG ", 40)
    reader = LineReader()
    reader.feed(word + b"x" * 30)
    assert reader.next_line(20, longer) is None
    reader.feed(b"\r\nother " + b"x" * 30 + b"\r\n" + word + b"x" * 40 + b"\r\nlast\r\n")
    assert reader.next_line(20, longer) == word + b"x" * 30
    for head in (b"other ", word):
        bad = reader.next_line(20, longer)
        assert isinstance(bad, BadLine)
        assert bad.fault is LineFault.TOO_LONG
        assert bad.head.startswith(head)
    assert reader.next_line(20, longer) == b"last"


def test_control_characters_become_visible() -> None:
    assert visible("plain text") == "plain text"
    assert visible("a\r\n\x1b[31mé\x85\u2028") == r"a\r\n\x1b[31mé\x85\u2028"
