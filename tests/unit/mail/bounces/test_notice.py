"""Bounces that only words tell: which addresses, why, and what is none."""

import pytest
from tests.unit.mail.bounces.judging import CLASSIFIER, bounce, read

from postroom.mail.bounces.notice import earlier_address, later_address, read_notice
from postroom.mail.bounces.read import read_bounce
from postroom.mail.cause import Cause

SYSTEM = "From: MAILER-DAEMON@mx.far.example\nTo: news@home.example\nSubject: Undeliverable\n\n"


def addresses(text: str) -> list[str]:
    return list(read_notice(text, frozenset({"news@home.example"})).reasons)


@pytest.mark.parametrize(
    "line",
    [
        "a@x.example",
        "  <a@x.example>",
        "<a@x.example>: host said no",
        "* a@x.example (user not found)",
        "- Recipient: <a@x.example>",
        "Failed address: a@x.example",
        "[a@x.example]: 550 no",
        '"a@x.example":',
        "c=US;a= ;p=Org;o=Site;dda:SMTP=a@x.example; on Monday",
        "To: a@x.example",
        "Empfänger: a@x.example",
        ">>> a@x.example",
    ],
)
def test_the_forms_of_an_item(line: str) -> None:
    assert addresses(f"Your message could not be delivered to:\n\n{line}\n\nBye.\n") == ["a@x.example"]


def test_each_address_has_its_own_reason() -> None:
    found = read_notice(
        "The following addresses failed:\n<a@x.example>: user unknown\n<b@x.example>:\n   mailbox\n   full\n"
    )
    assert found.reasons == {"a@x.example": "user unknown", "b@x.example": "mailbox full"}


def test_addresses_beside_the_point_are_left_out() -> None:
    text = "Your message from news@home.example could not be delivered to a@x.example.\nContact help@x.example.\n"
    assert addresses(text) == ["a@x.example"]
    assert addresses("Mail from b@x.example to a@x.example failed permanently\n") == ["a@x.example"]
    assert addresses("It could not be delivered. Write to postmaster@x.example\n") == []


def test_addresses_of_the_returned_message_are_left_out() -> None:
    text = "Could not deliver to:\na@x.example\n\n--- Original message ---\nTo: b@x.example\nc@x.example\n"
    assert addresses(text) == ["a@x.example"]
    text = "Could not deliver to:\na@x.example\n\nReceived: from x\n by y\nTo: b@x.example\nc@x.example\n"
    assert addresses(text) == ["a@x.example"]


def test_who_was_written_to_and_what_it_became() -> None:
    assert earlier_address("(expanded from: <list@x.example>)") == "list@x.example"
    assert earlier_address("generated from a@x.example user unknown") == "a@x.example"
    assert earlier_address("expanded from what") == ""
    assert later_address("a@x.example", "550 <b@y.example> unknown") == "b@y.example"
    assert later_address("a@x.example", "550 <A@X.example> unknown") == "a@x.example"
    assert later_address("a@x.example", "b@y.example or c@y.example") == "a@x.example"
    (found,) = bounce(SYSTEM + "These addresses failed:\nb@y.example\n   (expanded from: <a@x.example>)\n").recipients
    assert (found.address, found.final) == ("a@x.example", "b@y.example")


def test_an_address_in_a_wrapped_sentence_is_no_item() -> None:
    text = "It could not be delivered to:\n\na@x.example\n\nIf that is wrong, try to write to\nb@x.example instead.\n"
    assert addresses(text) == ["a@x.example"]


def test_names_without_domain_are_the_writers() -> None:
    found = bounce(SYSTEM + "Your mail could not be delivered to:\n\tbob\n")
    assert [recipient.address for recipient in found.recipients] == ["bob@mx.far.example"]


@pytest.mark.parametrize(
    ("text", "permanent"),
    [
        ("Delivery to a@x.example has been delayed.", False),
        ("Delivery to a@x.example failed. We will keep trying for 3 days.", False),
        ("Delivery to a@x.example failed. We kept retrying, and have given up.", True),
        ("Delivery to a@x.example failed permanently.", True),
        ("Delivery to a@x.example failed.", True),
    ],
)
def test_given_up_or_not(text: str, permanent: bool) -> None:
    (found,) = bounce(SYSTEM + text).recipients
    assert found.permanent is permanent
    assert found.hard is permanent


def test_x_failed_recipients_name_the_addresses() -> None:
    text = (
        "X-Failed-Recipients: a@x.example, b@x.example\n" + SYSTEM + "a@x.example\n  user unknown\nHelp: c@x.example\n"
    )
    found = bounce(text)
    assert [recipient.address for recipient in found.recipients] == ["a@x.example", "b@x.example"]
    assert found.recipients[0].cause is Cause.MAILBOX_UNKNOWN


@pytest.mark.parametrize(
    "header",
    [
        "From: paul@people.example\nSubject: Re: Undeliverable: hello\n",
        "From: paul@people.example\nSubject: hello\n",
        "From: paul@people.example\nSubject: Fwd: Undeliverable mail\n",
        "From: paul@people.example\nSubject: Delivery failure\nAuto-Submitted: auto-replied\n",
        "From: paul@people.example\nSubject: Rejected\nX-Autoreply: yes\n",
        "From: paul@people.example\nReturn-Path: <>\nSubject: Out of office\n",
        "From: postmaster@people.example\nSubject: Automatic reply: hello\n",
        "From: MAILER-DAEMON@people.example\nSubject: Abwesenheitsnotiz\nAuto-Submitted: auto-replied\n",
    ],
)
def test_persons_and_automatic_replies_are_no_bounces(header: str) -> None:
    # RFC 3834 §5: auto-replied is what answers for a person; mail systems use it too, but say who they are.
    assert read(header + "To: news@home.example\n\n<a@x.example>: user unknown, could not be delivered\n") is None


def test_an_empty_return_path_makes_no_mail_system() -> None:
    # Answers of vacation programs have it too (RFC 3834 §3.3), and some say nothing else of themselves.
    top = "Return-Path: <>\nFrom: petra@people.example\nTo: news@home.example\nSubject: Re: hello\n\n"
    assert read(top + "Petra no longer works here. Please write to:\n\noffice@people.example\n") is None


def test_a_bounce_that_a_person_passes_on_is_not_ours() -> None:
    inner = "Content-Type: multipart/report; boundary=i\n\n--i\nContent-Type: message/delivery-status\n\n"
    report = "Final-Recipient: rfc822; a@x.example\nAction: failed\n\n--i--\n"
    top = "From: paul@people.example\nSubject: look\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nHi\n--o\n"
    assert read(f"{top}Content-Type: message/rfc822\n\n{inner}{report}--o--\n") is None


def test_the_message_id_of_a_returned_message_in_the_text() -> None:
    text = (
        SYSTEM
        + "<a@x.example>: user unknown\n\n--- Original message ---\n\n"
        + "> Message-ID: <7@home.example>\n> To: a@x.example\n"
    )
    assert bounce(text).message_id == "<7@home.example>"


def test_nothing_is_made_of_nothing() -> None:
    assert read_bounce(b"", CLASSIFIER) is None
    assert read(SYSTEM) is None
    assert read(SYSTEM + "It could not be delivered.\n") is None
