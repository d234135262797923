"""Who wrote a message by its header, and where readers may see somebody else (RFC 9989 §5.3.1, §11.5)."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroom.mail.headers import split_header
from postroom.mailauth.author import MAX_DOMAINS, Author, read_author

PIECES = st.sampled_from(
    ["a@x.example", "b@y.example", "<", ">", "@", ",", ";", ":", '"', "\\", "(", ")", " ", "=?utf-8?q?a=40b?=", "\0",
     "é", "Ann", "\r\n ", ".", "=?", "?=", "[1.2.3.4]", "xn--a", "\n", "\r"]
)  # fmt: skip


def read(value: str, block: bool = True) -> Author:
    content = b"Subject: x\r\nFrom: " + value.encode() + b"\r\nTo: c@z.example\r\n\r\nFrom: body@example.org\r\n"
    return read_author(split_header(content), content if block else b"")


@pytest.mark.parametrize(
    "value",
    [
        "a@x.example",
        "<a@x.example>",
        "Ann <a@x.example>",
        "  Ann   B. O'Neill-Smith <a@x.example>  ",
        '"Ann (office), B; C: D" <a@x.example>',
        "\r\n a@x.example",
        "Ann\r\n\t<a@x.example>",
        "a+b=c/d@x.example",
        "a(c(d))@(e)x.example(f)",
        "=?utf-8?b?w6Q=?= =?utf-8?q?=C3=A4?= <a@x.example>",
        "=?no-such-charset?q?x?= <a@x.example>",
        "=?utf-8?b?!!!?= <a@x.example>",
        '"a\\"b" <a@x.example>',
        "a@X.Example",
        "G: a@x.example, Ann <b@x.example>;",
        '"someone@else.example" <a@x.example>',
    ],
)
@pytest.mark.parametrize("block", [True, False])
def test_one_author(value: str, block: bool) -> None:
    assert read(value, block) == Author(("x.example",))


def test_a_long_header_is_no_fault() -> None:
    content = b"X-Pad: " + b"x" * 200_000 + b"\r\nFrom: a@x.example\r\n\r\n"
    assert read_author(split_header(content), content) == Author(("x.example",))


@pytest.mark.parametrize(
    "content",
    [
        b"From: a@x.example\r\nno field\r\nFrom: b@y.example\r\n\r\n",
        b"From: a@x.example\r\n: x\r\nFROM\t: b@y.example\r\n\r\n",
        b"From: a@x.example\r\nSubject: x\nFrom: b@y.example\r\n\r\n",
        b"From: a@x.example\r\nSubject: x\rfrom: b@y.example\r\n\r\n",
        b"From: b@y.example\r\n\0\r\nFrom: a@x.example\r\n\r\n",
        b"From: a@x.example\r\nbroken\r\nFrom\r\n : b@y.example\r\n\r\n",
    ],
)
def test_a_second_from_that_some_readers_see(content: bytes) -> None:
    author = read_author(split_header(content), content)
    assert author.fault == "another From field is hidden in the header"


def test_a_bare_line_end_hides_nothing_without_the_block_either() -> None:
    content = b"From: a@x.example\r\nSubject: x\nFrom: b@y.example\r\n\r\n"
    assert read_author(split_header(content)).fault


@pytest.mark.parametrize(
    "content",
    [
        b"From: a@x.example\r\nSubject: x\r\n From: b@y.example\r\n\r\n",
        b"From: a@x.example\r\nSubject: From: b@y.example\r\n\r\n",
        b"From: a@x.example\r\nFrom-Alias: b@y.example\r\n\r\nFrom: c@z.example\r\n",
        b"From: a@x.example\r\nno field\r\n\r\n",
    ],
)
def test_what_looks_like_a_second_from_and_is_none(content: bytes) -> None:
    assert read_author(split_header(content), content) == Author(("x.example",))


def test_only_the_first_from_fields_are_read() -> None:
    content = b"From: a@x.example\r\n" * 5000 + b"\r\n"
    started = time.process_time()
    author = read_author(split_header(content), content)
    assert author == Author(("x.example",), "there is more than one From field", complete=False)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("value", ["a@x.example" + ", a@x.example" * 1000, "x" * 9000 + " <a@x.example>", "<" * 9000])
def test_who_writes_more_than_is_read_is_not_relied_on(value: str) -> None:
    assert read(value).fault


@pytest.mark.parametrize(
    "piece", ['"', '\\"', "(", ")", "<", "@", "a@b,", "=?", "=?a?q?", "(\\", '"\\', "=?utf-8?b?", " ", "<a@b>", "@é."]
)
def test_a_hostile_value_costs_little(piece: str) -> None:
    started = time.process_time()
    read((piece * 8192)[:8000])
    assert time.process_time() - started < 0.5


@given(st.lists(PIECES, max_size=12).map("".join))
def test_anything_can_be_read(value: str) -> None:
    author = read(value)
    assert len(author.domains) <= MAX_DOMAINS
    assert author.domains or author.fault
    assert all(domain == domain.lower() and domain.isascii() for domain in author.domains)


@given(st.binary(max_size=200))
def test_any_octets_can_be_read(value: bytes) -> None:
    content = b"From: a@x.example" + value + b"\r\n\r\n"
    read_author(split_header(content), content)


@given(st.lists(PIECES, max_size=6).map("".join), st.lists(PIECES, max_size=6).map("".join))
@example("a@x.example\r\n", "")
def test_what_stands_around_the_victims_address_never_makes_another_clean(before: str, after: str) -> None:
    """Wherever the victim's address stands in its brackets, no other domain counts alone."""
    author = read(f"{before}<a@victim.example>{after}")
    assert author.fault or "victim.example" in author.domains


@pytest.mark.parametrize(
    ("content", "domains", "fault"),
    [
        (b" x\r\nFrom: a@x.example\r\n\r\n", ("x.example",), "From stands behind a line that is no field"),
        (b"no field\r\nFrom: <a@x.example>,\r\n b@y.example\r\nTo: c\r\n\r\n", ("x.example", "y.example"),
         "From stands behind a line that is no field"),
        (b"From\r\n : a@x.example\r\n\r\n", ("x.example",), "From stands behind a line that is no field"),
        (b"X: y\r\nFrom\r\n : a@x.example\r\n\r\n", ("x.example",), "From stands behind a line that is no field"),
        (b"X: y\r\n\r\nFrom: a@x.example\r\n\r\n", (), "there is no From field"),
        (b"\r\nFrom: a@x.example\r\n\r\n", (), "there is no From field"),
    ],
)  # fmt: skip
def test_an_author_behind_a_line_that_is_no_field(content: bytes, domains: tuple[str, ...], fault: str) -> None:
    assert read_author(split_header(content), content) == Author(domains, fault)


def test_a_hostile_block_costs_little() -> None:
    for block in (b"x\r\nFrom:" + b"\n" * 250_000 + b" ", b"x" + b"\r\nFrom:" * 40_000, b"x\nFrom:" + b"\n " * 120_000):
        started = time.process_time()
        read_author(split_header(block), block)
        assert time.process_time() - started < 1
