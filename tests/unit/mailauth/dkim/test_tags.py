"""Tag lists, strictly (RFC 6376 §3.2)."""

import time

import pytest

from postroom.mailauth.dkim.tags import MAX_TAGS, TagFault, listed, read_tags, without_space


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (b"v=1", {"v": "1"}),
        (b"v=1;", {"v": "1"}),
        (b"v=1; a=b", {"v": "1", "a": "b"}),
        (b"v=1;a=b; \r\n ", {"v": "1", "a": "b"}),
        (b" v = 1 ;\r\n\ta\t=\r\n b\r\n ;", {"v": "1", "a": "b"}),
        (b"v= \r\n 1", {"v": "1"}),
        (b"a=", {"a": ""}),
        (b"a= ; b=", {"a": "", "b": ""}),
        (b"a=b=c==", {"a": "b=c=="}),
        (b"a=b c", {"a": "b c"}),
        (b"a=b \t c\r\n d \r\n e", {"a": "b \t c\r\n d \r\n e"}),
        (b"A=1; a=2", {"A": "1", "a": "2"}),
        (b"a_1=x; Zz9_=y", {"a_1": "x", "Zz9_": "y"}),
        ("d=bücher.example".encode(), {"d": "bücher.example"}),
    ],
)
def test_what_is_a_list(text: bytes, tags: dict[str, str]) -> None:
    """RFC 6376 §3.2, §2.8; UTF-8 by RFC 8616 §5."""
    assert read_tags(text) == tags


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no tags"),
        (b"  ", "no tags"),
        (b";", "is not a tag"),
        (b";;", "is not a tag"),
        (b"a=1;;", "is not a tag"),
        (b"a=1; ; b=2", "is not a tag"),
        (b"a", "is not a tag"),
        (b"=1", "is not a tag"),
        (b"1a=1", "is not a tag"),
        (b"_a=1", "is not a tag"),
        (b"a-b=1", "is not a tag"),
        (b"a b=1", "is not a tag"),
        ("ä=1".encode(), "is not a tag"),
        (b"a=1; a=1", "twice"),
        (b"a=1; b=2; a=", "twice"),
        (b"a=\x01", "is not a tag"),
        (b"a=\x7f", "is not a tag"),
        (b"a=b\x00", "is not a tag"),
        (b"a=b\nc", "is not a tag"),
        (b"a=b\r c", "is not a tag"),
        (b"a=b\r\nc", "is not a tag"),
        (b"a=b\r\n", "is not a tag"),
        (b"a=\r\n \r\n b", "is not a tag"),
        (b"a\r\n \r\n =b", "is not a tag"),
        (b"a=b \r\n \r\n ;c=d", "is not a tag"),
        (b"a=\xff", "UTF-8"),
        ("a=\u0085".encode(), "is not a tag"),
    ],
)
def test_what_is_none(text: bytes, why: str) -> None:
    """RFC 6376 §3.2: the grammar, and tags that are there twice; §2.8: what is no folding white space."""
    with pytest.raises(TagFault, match=why):
        read_tags(text)


def test_a_fault_is_told_on_one_short_line() -> None:
    with pytest.raises(TagFault) as caught:
        read_tags(b"x" * 1000 + b"\r\n y")
    assert len(str(caught.value)) < 80
    assert "\n" not in str(caught.value)


def test_lists_have_a_bound() -> None:
    assert len(read_tags(b";".join(b"a%d=" % n for n in range(MAX_TAGS)) + b";")) == MAX_TAGS
    with pytest.raises(TagFault, match="more than"):
        read_tags(b";".join(b"a%d=" % n for n in range(MAX_TAGS + 1)))


@pytest.mark.parametrize(
    "text",
    [
        b"a=" + b" " * 1_000_000 + b"\x00",
        b"a=" + b"b " * 500_000 + b"\x00",
        b"a=" + b"\r\n " * 300_000 + b"\x00",
        b"a=b" + b" \r\n " * 300_000 + b"\x00",
        b"a" * 1_000_000,
        b" " * 1_000_000,
        b";" * 1_000_000,
        b"a=1;" * 300_000,
        b"".join(b"a%d=1;" % n for n in range(100_000)),
    ],
)
def test_a_megabyte_of_anything_is_soon_judged(text: bytes) -> None:
    start = time.process_time()
    with pytest.raises(TagFault):
        read_tags(text)
    assert time.process_time() - start < 1


def test_values_that_are_lists_or_have_no_space() -> None:
    """RFC 6376 §3.5 h=: white space is allowed around colons; §2.10: it is no part of base64."""
    assert listed("from : to\r\n :\tdate") == ["from", "to", "date"]
    assert without_space("ab\r\n c d\te") == "abcde"
