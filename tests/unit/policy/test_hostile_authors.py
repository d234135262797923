"""From with more authors, or more text, than is looked at: nobody hides behind the others (RFC 9989 §11.5)."""

import pytest
from tests.unit.policy.test_authentication import BANK, Desk, field_of

from postroom.policy.verdict import Accept, Refuse

OTHERS = [f"x@d{number}.good.example" for number in range(30)]


@pytest.mark.parametrize(
    "authors",
    [
        ", ".join([*OTHERS[:4], "info@bank.example"]),
        ", ".join([*OTHERS, "info@bank.example"]),
        '"' + " ".join(OTHERS) + '" <x@good.example>, info@bank.example' + ", x@good.example" * 4,
        "x@good.example," + " " * 8192 + "info@bank.example",
        " ".join([*OTHERS, "info@bank.example"]),
    ],
    ids=["five", "many", "quoted", "long", "malformed"],
)
async def test_an_author_beyond_what_is_looked_at(authors: str) -> None:
    content = BANK.replace(b"info@bank.example", authors.encode())
    desk = Desk()
    verdict = await desk.ask(content)
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status in {"5.6.0", "5.7.26"}
    assert "dmarc=pass" not in field_of(await Desk(on_several_authors="tag", on_dmarc_reject="tag").ask(content))


@pytest.mark.parametrize(
    "author",
    [
        "MAILER-DAEMON (Mail Delivery System)",
        "undisclosed:;",
        "ann",
        "x@good.example, y@good.example",
        "a b@good.example",
    ],
)
async def test_who_names_no_domain_that_was_not_looked_at_is_taken(author: str) -> None:
    """Old hosts and scripts write so, and nobody is forged by it."""
    assert isinstance(await Desk().ask(BANK.replace(b"info@bank.example", author.encode())), Accept)


@pytest.mark.parametrize(
    "before",
    [
        b" x\r\n",
        b"\t\r\n",
        b" : y\r\nX: z\r\n",
        b"no field\r\n",
        b"X: y\r\nno field\r\n",
        b": \r\n",
        b"From\r\n : info@bank.example\r\n",
    ],
)
async def test_an_author_behind_a_line_that_is_no_field(before: bytes) -> None:
    """Behind our Received a line that begins with white space is a part of that, and From a field like any other."""
    verdict = await Desk().ask(before + BANK)
    assert isinstance(verdict, Refuse)
    good = await Desk().ask(before + BANK.replace(b"@bank", b"@good"))
    assert isinstance(good, Refuse)
    assert good.reply.status in {"5.6.0", "5.7.26"}
    assert "dmarc=pass" not in field_of(
        await Desk(on_several_authors="tag", on_dmarc_reject="tag").ask(before + BANK.replace(b"@bank", b"@good"))
    )


@pytest.mark.parametrize(
    "name", [b"From\x00", b"Fr\x7fom", b"\x00From", b"From\x0b ", "From\u00a0".encode(), b"From\x01\r\n "]
)
async def test_a_second_author_whose_field_has_what_cannot_be_seen(name: bytes) -> None:
    good = BANK.replace(b"@bank", b"@good")
    for content in (
        good.replace(b"To:", name + b": info@bank.example\r\nTo:"),
        name + b": info@bank.example\r\n" + good,
    ):
        assert isinstance(await Desk().ask(content), Refuse)


async def test_a_message_without_from_is_taken() -> None:
    """Its body may have such a line."""
    for content in (b"Subject: x\r\n\r\n" + BANK, b"\r\n" + BANK):
        assert isinstance(await Desk().ask(content), Accept)
