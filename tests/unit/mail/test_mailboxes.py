"""The addresses of a From field are found as RFC 5322 §3.4 writes them, and what is malformed is not guessed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.mailboxes import MAX_VALUE, read_mailboxes


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("bob@a.example", ["bob@a.example"]),
        ("Bob <bob@A.example>", ["bob@a.example"]),
        ('"Ann, <ann@b.example>" <bob@a.example>', ["bob@a.example"]),
        ('"a \\" <x@y.example>" <bob@a.example>', ["bob@a.example"]),
        ("bob@a.example, Ann <ann@b.example>", ["bob@a.example", "ann@b.example"]),
        ("(a <x@y.example> (nested) \\) still) bob@a.example (end)", ["bob@a.example"]),  # RFC 5322 §3.2.2
        ('(an "unclosed quote) bob@a.example', ["bob@a.example"]),
        ("bob@a.example (never closed, ann@b.example", ["bob@a.example"]),
        ("Team: bob@a.example, ann@b.example;", ["bob@a.example", "ann@b.example"]),  # RFC 6854 §2
        ("Undisclosed:;", []),
        ("", []),
        (" , ,", []),
        ("bob @ a.example", ["bob@a.example"]),
        ('"a b"@a.example', ['"a b"@a.example']),
        ("bob@[192.0.2.1]", ["bob@[192.0.2.1]"]),
        ("<@r.example:bob@a.example>", ["bob@a.example"]),  # RFC 5322 §4.4
        ("=?utf-8?q?a=2C_b?= <bob@a.example>", ["bob@a.example"]),
        (' "A," B.  <bob@a.example> ', ["bob@a.example"]),
        ("Jürgen <jürgen@a.example>", ["jürgen@a.example"]),
        # what is malformed is None
        ("Bob <bob@-.example>", [None]),
        ("Bob \0 <bob@a.example>", [None]),
        ("Bob", [None]),
        ("postmaster", [None]),
        ("<bob@a.example> ann@b.example", [None]),
        ("<bob@a.example> <ann@b.example>", [None]),
        ("bob@a.example ann@b.example", [None]),
        ("Bob <bob@a.example", [None]),
        ("<>", [None]),
        ("bob@a.example, x", ["bob@a.example", None]),
        ("a" * MAX_VALUE + "@a.example", [None]),
    ],
)
def test_mailboxes(value: str, addresses: list[str | None]) -> None:
    assert [None if found is None else str(found) for found in read_mailboxes(value)] == addresses


@given(st.text(alphabet='"\\()<>,:;@[]. ab\x00é', max_size=60))
def test_nothing_upsets_it(value: str) -> None:
    assert all(found is None or found.domain for found in read_mailboxes(value))


@given(st.text(alphabet='"\\()<>,:;@[]. ab\x00é', max_size=10), st.text(alphabet='"\\(@[. ab\x00é', max_size=8))
def test_the_usual_is_read_as_all_the_rest_is(name: str, address: str) -> None:
    """A comma behind it changes nothing, and makes it unusual."""
    value = f"{name}<{address}@a.example>"
    assert read_mailboxes(value) == read_mailboxes(f"{value},")


@pytest.mark.parametrize("piece", ['\\"', '"', "<", "(", "[", '<"', "(\\", "a@"])
def test_a_hostile_value_takes_no_time(piece: str) -> None:
    read_mailboxes((piece * MAX_VALUE)[:MAX_VALUE])
