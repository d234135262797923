"""Phrases are found where a word begins, in any case and spacing; gaps are short."""

import pytest

from postroom.mail.phrases import Phrases, folded


def said(text: str, *groups: list[str]) -> set[int]:
    return Phrases(groups).said_in(folded(text))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("user unknown", "550 USER\r\n  Unknown here"),
        ("quota exceed", "Quota exceeded"),
        ("rbl", "listed in RBL"),
        ("(s3140)", "on our block list (S3140)."),
        ("(s3140)", "block list(S3140)"),
        ("mailbox * full", "the mailbox of joe@example.org is full"),
        ("a * b * c", "a 1 b 2 c"),
        ("不存在", "收件人邮件地址不存在"),
        ("пользователь не найден", "Пользователь не найден"),
        ("x", "x"),
        ("ab", "ab"),
    ],
)
def test_is_there(phrase: str, text: str) -> None:
    assert said(text, [phrase]) == {0}


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("unknown user", "user unknown"),
        ("listed", "blacklisted"),
        ("full", "mailbox is not"),
        ("mailbox * full", "full mailbox"),
        ("mailbox * full", "mailbox " + 70 * "x" + " full"),
        ("ab", ""),
        ("abc", "ab"),
    ],
)
def test_is_not_there(phrase: str, text: str) -> None:
    assert said(text, [phrase]) == set()


def test_groups_are_told_apart() -> None:
    assert said("mailbox full, user unknown", ["no such", "user unknown"], ["absent"], ["mailbox full"]) == {0, 2}


def test_places_are_those_in_the_folded_text() -> None:
    text = folded("Sorry: Mailbox  of joe FULL.")
    assert [text[place.start : place.end] for place in Phrases([["mailbox * full"]]).places(text)] == [
        "mailbox of joe full"
    ]


@pytest.mark.parametrize("phrase", ["", " ", "*", "a *", "* a", "a ** b"])
def test_a_phrase_without_words_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="no phrase"):
        Phrases([[phrase]])
