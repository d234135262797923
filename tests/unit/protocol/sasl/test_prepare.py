"""SASLprep (RFC 4013)."""

import pytest

from postroom.protocol.sasl.prepare import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [  # RFC 4013 §2.1, §2.2, §3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # and what else it says
        ("a\u00a0b", "a b"),
        ("Ju\u0308rgen", "J\u00fcrgen"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),  # RFC 3454 §6
        ("\U0001f511", "\U0001f511"),  # not assigned in Unicode 3.2: a query may have it
    ],
)
def test_prepared(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "", "\u00ad", "\u06271", "\u0627a\u0628", "\ue000", "\u200e", "a\ud800"])
def test_prohibited(text: str) -> None:
    with pytest.raises(ValueError, match="text"):
        saslprep(text)
