"""A reply as people see it."""

import pytest

from postroom.mail.reply import Reply


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (Reply(250, "2.0.0", ("Ok",)), "250 2.0.0 Ok"),
        (Reply(250, "2.0.0", ("Ok", "queued")), "250 2.0.0 Ok queued"),
        (Reply(250, "2.0.0"), "250 2.0.0"),
        (Reply(354, "", ("Go on",)), "354 Go on"),
        (Reply(250), "250"),
    ],
)
def test_shown_in_one_line(reply: Reply, shown: str) -> None:
    assert str(reply) == shown
