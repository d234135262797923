"""TXT data as zone files have it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.dns.record import txt_data, txt_text
from postroom.dns.zone import txt_strings


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("v=spf1 -all", '"v=spf1 -all"'),
        ("", '""'),
        ('say "x" \\ y', '"say \\"x\\" \\\\ y"'),
        ("ä", '"\\195\\164"'),
        ("a" * 256, f'"{"a" * 255}" "a"'),
    ],
)
def test_written(text: str, data: str) -> None:
    assert txt_data(text) == data


@settings(deadline=None)
@given(st.text(max_size=700))
def test_read_again(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    data = txt_data(text)
    assert data.isascii()
    assert txt_text(data) == text


def test_strings_are_short_enough() -> None:
    assert [len(string) for string in txt_strings(txt_data("x" * 600))] == [255, 255, 90]


def test_bare_words() -> None:
    assert txt_text("v=spf1") == "v=spf1"
