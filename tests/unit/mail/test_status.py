"""Enhanced status codes and what they tell people (RFC 3463)."""

import pytest

from postroom.mail import status
from postroom.mail.status import explain, is_status, status_or

WORDS = sorted(
    {value for name, value in vars(status).items() if name.isupper() and isinstance(value, str)},
)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_a_status_with_a_text(word: str) -> None:
    assert is_status(f"5.{word}")
    assert explain(f"5.{word}")


@pytest.mark.parametrize("text", ["", "5", "5.1", "3.1.1", "5.1.1.1", "5.1.1111", "5.1.x", "٥.1.1", " 5.1.1"])
def test_what_is_no_status(text: str) -> None:
    # RFC 3463 §2
    assert not is_status(text)


@pytest.mark.parametrize(
    ("text", "code", "shown"),
    [("5.1.1", 550, "5.1.1"), ("", 550, "5.0.0"), ("", 451, "4.0.0"), ("nonsense", 250, "2.0.0"), ("", 0, "5.0.0")],
)
def test_a_reply_without_status_gets_its_class(text: str, code: int, shown: str) -> None:
    assert status_or(text, code) == shown


def test_unknown_details_are_explained_by_their_subject() -> None:
    assert explain("5.1.99") == "there is a problem with the address"
    assert explain("5.99.1") == "no further explanation was given"
