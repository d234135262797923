"""Delivery status notifications as a mail program reads them (RFC 3464, RFC 3461 §6, RFC 6522, RFC 6533)."""

import base64
import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.address import Address
from postroom.mail.delivery import Peer
from postroom.mail.dsn import MAX_RETURNED, Action, Dsn, Notice, RecipientReport, clean, compose
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Recipient, Ret
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.reply import Reply

NOW = 1_709_210_096.0
PEER = Peer("mx.far.example", "192.0.2.25", 25)
CONTENT = b"From: ann@home.example\r\nMessage-ID: <1@home.example>\r\nSubject: hi\r\n\r\nHello Bob\r\n"
PREFIX = b"Received: by mx.home.example\r\n"
SENDER = Address("ann", "home.example")
BOB = Recipient(Address("bob", "far.example"), orcpt="rfc822;Bob@Far.Example")
REFUSED = RecipientReport(
    BOB,
    Action.FAILED,
    Reply(550, "5.1.1", ("no such user", "look elsewhere")),
    PEER,
    by_peer=True,
    last_attempt=NOW - 1,
)


def a_message(content: bytes = CONTENT, **envelope: object) -> Message:
    fields = {"reverse_path": SENDER, "recipients": (BOB,), "envid": "QQ314159", **envelope}
    return Message(QueueId(77), NOW - 3600, Envelope(**fields), PREFIX, len(content))  # type: ignore[arg-type]


def a_notice(*reports: RecipientReport, content: bytes = CONTENT, message: Message | None = None) -> Notice:
    return Notice(
        queue_id=QueueId(99),
        hostname="mx.home.example",
        now=NOW,
        message=message or a_message(content),
        reports=reports or (REFUSED,),
        returned=PREFIX + content,
        whole=True,
    )


def parts_of(dsn: Dsn) -> tuple[EmailMessage, EmailMessage, EmailMessage, EmailMessage]:
    """The report and its three parts, as Python's email package understands them."""
    report = email.message_from_bytes(dsn.content, policy=email.policy.default)
    assert isinstance(report, EmailMessage)
    assert not report.defects
    text, status, returned = report.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(status, EmailMessage)
    assert isinstance(returned, EmailMessage)
    for part in report.walk():
        assert not part.defects
    return report, text, status, returned


def fields_of(status: EmailMessage) -> list[EmailMessage]:
    """The blocks of message/delivery-status: per message, then per recipient."""
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    return [block for block in blocks if isinstance(block, EmailMessage)]


def is_sound(content: bytes) -> bool:
    """CRLF only, and lines of 998 octets at most."""
    lines = content.split(b"\r\n")
    return not any(b"\r" in line or b"\n" in line or len(line) > 998 for line in lines)


def test_a_failure_as_a_mail_program_reads_it() -> None:
    dsn = compose(a_notice())
    report, text, status, returned = parts_of(dsn)

    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@mx.home.example>"
    assert report["To"] == "ann@home.example"
    assert report["Subject"] == "Your message could not be delivered"
    assert report["Date"] == "Thu, 29 Feb 2024 12:34:56 +0000"
    assert report["Message-ID"] == f"<{show_queue_id(99)}@mx.home.example>" == dsn.message_id
    assert report["In-Reply-To"] == "<1@home.example>"
    assert report["References"] == "<1@home.example>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["MIME-Version"] == "1.0"

    told = text.get_content()
    assert "<bob@far.example>" in told
    assert "mx.far.example [192.0.2.25] said:" in told
    assert "550-5.1.1 no such user" in told
    assert "550 5.1.1 look elsewhere" in told
    assert "There is no such mailbox." in told
    assert "Check the address" in told
    assert show_queue_id(77) in told

    of_message, of_bob = fields_of(status)
    assert of_message["Reporting-MTA"] == "dns; mx.home.example"
    assert of_message["Original-Envelope-Id"] == "QQ314159"
    assert of_message["Arrival-Date"] == "Thu, 29 Feb 2024 11:34:56 +0000"
    assert of_bob["Original-Recipient"] == "rfc822; Bob@Far.Example"
    assert of_bob["Final-Recipient"] == "rfc822; bob@far.example"
    assert of_bob["Action"] == "failed"
    assert of_bob["Status"] == "5.1.1"
    assert of_bob["Remote-MTA"] == "dns; mx.far.example"
    assert of_bob["Diagnostic-Code"] == "smtp; 550-5.1.1 no such user 550 5.1.1 look elsewhere"  # RFC 3461 §9.2
    assert of_bob["Last-Attempt-Date"] == "Thu, 29 Feb 2024 12:34:55 +0000"
    assert of_bob["Will-Retry-Until"] is None

    assert returned.get_content_type() == "message/rfc822"
    assert b"Content-Transfer-Encoding: 7bit\r\n\r\n" + PREFIX + CONTENT in dsn.content
    assert is_sound(dsn.content)


def test_the_envelope_of_a_dsn() -> None:
    # RFC 3461 §6.1
    envelope = compose(a_notice()).envelope
    assert envelope.reverse_path is None
    assert [recipient.address for recipient in envelope.recipients] == [SENDER]
    assert (envelope.ret, envelope.body, envelope.smtputf8) == (None, Body.SEVEN_BIT, False)


def test_the_null_sender_never_gets_one() -> None:
    # RFC 5321 §6.1, RFC 3461 §5.2
    with pytest.raises(ValueError, match="null sender"):
        compose(a_notice(message=a_message(reverse_path=None)))


def test_a_delay_is_a_warning() -> None:
    report = replace(
        REFUSED, action=Action.DELAYED, reply=Reply.of(450, "4.2.2", "mailbox full"), retry_until=NOW + 86400
    )
    dsn = compose(a_notice(report))
    whole, text, status, returned = parts_of(dsn)
    assert whole["Subject"] == "Your message is delayed"
    assert "need not send it again" in text.get_content()
    assert "tried again until 1 March 2024, 12:34 (UTC)." in text.get_content()
    _, of_bob = fields_of(status)
    assert (of_bob["Action"], of_bob["Status"]) == ("delayed", "4.2.2")
    assert of_bob["Will-Retry-Until"] == "Fri, 1 Mar 2024 12:34:56 +0000"
    assert returned.get_content_type() == "text/rfc822-headers"  # RFC 3461 §6.2: no failure, no content
    assert b"Hello Bob" not in dsn.content


def test_expiry_says_for_how_long_it_was_tried() -> None:
    report = replace(
        REFUSED,
        reply=Reply.of(451, "4.4.1", "no answer"),
        by_peer=False,
        expired=True,
        last_attempt=NOW - 3600 + 5 * 86400,
    )
    _, text, status, _ = parts_of(compose(a_notice(report)))
    assert "It was tried for 5 days and is given up now." in text.get_content()
    _, of_bob = fields_of(status)
    assert (of_bob["Action"], of_bob["Status"]) == ("failed", "4.4.1")
    assert of_bob["Diagnostic-Code"] == "x-postroom; 451 4.4.1 no answer"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (5400, "tried for 2 hours and"),
        (3600, "tried for 1 hour and"),
        (120, "tried for 2 minutes and"),
        (3, "could not be delivered in time"),
    ],
)
def test_ages(seconds: int, shown: str) -> None:
    report = replace(REFUSED, expired=True, last_attempt=NOW - 3600 + seconds)
    assert shown in parts_of(compose(a_notice(report)))[1].get_content()


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (Action.RELAYED, "Your message was passed on"),
        (Action.DELIVERED, "Your message was delivered"),
        (Action.EXPANDED, "Your message was passed on to a list of recipients"),
    ],
)
def test_success(action: Action, subject: str) -> None:
    dsn = compose(a_notice(RecipientReport(BOB, action, Reply.of(250, "2.1.5", "fine"), PEER, by_peer=True)))
    report, _, status, returned = parts_of(dsn)
    assert report["Subject"] == subject
    _, of_bob = fields_of(status)
    assert (of_bob["Action"], of_bob["Status"]) == (action.value, "2.1.5")
    assert returned.get_content_type() == "text/rfc822-headers"


def test_one_report_for_several_the_gravest_named_first() -> None:
    # RFC 3464 §2.3
    other = RecipientReport(
        Recipient(Address("carl", "far.example")), Action.RELAYED, Reply.of(250, "", "ok"), PEER, by_peer=True
    )
    report, text, status, _ = parts_of(compose(a_notice(other, REFUSED)))
    assert report["Subject"] == "Your message could not be delivered"
    told = text.get_content()
    assert told.index("bob@far.example") < told.index("carl@far.example")
    _, of_carl, of_bob = fields_of(status)
    assert (of_carl["Action"], of_carl["Status"]) == ("relayed", "2.0.0")
    assert of_carl["Original-Recipient"] is None  # RFC 3461 §6.3 d
    assert of_bob["Action"] == "failed"


def test_the_alias_that_the_sender_wrote_to_is_named() -> None:
    recipient = Recipient(Address("bob", "far.example"), orcpt="rfc822;team@home.example")
    _, text, _, _ = parts_of(compose(a_notice(replace(REFUSED, recipient=recipient))))
    assert "you wrote to team@home.example" in text.get_content()


@pytest.mark.parametrize(
    ("content", "envelope"),
    [
        (CONTENT, {"ret": Ret.HDRS}),
        (CONTENT + b"x" * 70 + b"\r\n" * MAX_RETURNED, {}),
        (CONTENT + b"y" * 999 + b"\r\n", {}),
        (CONTENT + b"bare \n newline\r\n", {}),
        (CONTENT + b"nul \x00\r\n", {}),
    ],
)
def test_only_the_header_is_returned(content: bytes, envelope: dict[str, object]) -> None:
    # RFC 3461 §4.3, §6.2
    dsn = compose(a_notice(content=content, message=a_message(content, **envelope)))
    _, text, _, returned = parts_of(dsn)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"Subject: hi\r\n" in dsn.content
    assert b"Hello Bob" not in dsn.content
    assert "Its header follows" in text.get_content()
    assert is_sound(dsn.content)


def test_content_that_was_cut_counts_as_header_only() -> None:
    notice = replace(a_notice(), returned=PREFIX + CONTENT[:40], whole=False)
    assert parts_of(compose(notice))[3].get_content_type() == "text/rfc822-headers"


def test_eight_bit_content_is_returned_as_it_is() -> None:
    content = CONTENT + "Grüße\r\n".encode()
    dsn = compose(a_notice(content=content))
    report, _, _, returned = parts_of(dsn)
    assert report["Content-Transfer-Encoding"] == "8bit"
    assert returned["Content-Transfer-Encoding"] == "8bit"
    assert content in dsn.content
    assert dsn.envelope.body is Body.EIGHT_BIT


def test_long_header_lines_are_encoded() -> None:
    content = b"X-Long: " + b"z" * 2000 + b"\r\nSubject: hi\r\n\r\nbody\r\n"
    dsn = compose(a_notice(content=content))
    _, _, _, returned = parts_of(dsn)
    assert returned["Content-Transfer-Encoding"] == "base64"
    decoded = returned.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    assert b"z" * 2000 in decoded
    assert is_sound(dsn.content)


def test_a_huge_header_is_cut_at_a_line() -> None:
    content = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 50) for n in range(3000)) + b"\r\nbody\r\n"
    dsn = compose(a_notice(content=content))
    assert len(dsn.content) < 70_000
    assert re.search(rb"X-\d+: v{50}\r\n\r\n--=_", dsn.content)


def test_what_a_peer_says_stays_in_its_place() -> None:
    lines = ("evil\r\nBcc: x@y\r\n\r\n--=_", "a" * 5000, "ü" * 2000, "\x1b[2J bell\x07", "\u2028line\udc80")
    dsn = compose(a_notice(replace(REFUSED, reply=Reply(550, "5.0.0", lines))))
    report, text, status, _ = parts_of(dsn)
    assert report["Bcc"] is None
    assert is_sound(dsn.content)
    assert len(fields_of(status)) == 2
    assert "\x1b" not in text.get_content()
    assert status.as_bytes().isascii()  # RFC 3464 §2.1


def test_a_wall_of_reply_lines_is_cut() -> None:
    reply = Reply(550, "5.0.0", tuple(f"line {n}" for n in range(1000)))
    _, text, _, _ = parts_of(compose(a_notice(replace(REFUSED, reply=reply))))
    assert "line 19" in text.get_content()
    assert "line 20" not in text.get_content()
    assert "980 more lines" in text.get_content()


@pytest.mark.parametrize("envid", ["x\r\nBcc: y@z", "a b", "ü\x00"])
def test_envelope_ids_cannot_break_out(envid: str) -> None:
    dsn = compose(a_notice(message=a_message(envid=envid)))
    report, _, status, _ = parts_of(dsn)
    assert report["Bcc"] is None
    assert fields_of(status)[0]["Bcc"] is None


def test_a_strange_message_id_is_not_repeated() -> None:
    content = b"Message-ID: <\xff@x>\r\n\r\nbody\r\n"
    report, _, _, _ = parts_of(compose(a_notice(content=content)))
    assert report["In-Reply-To"] is None


def test_the_boundary_stands_in_no_part() -> None:
    # RFC 2046 §5.1.1
    first = compose(a_notice())
    boundary = email.message_from_bytes(first.content).get_boundary()
    assert boundary is not None
    dsn = compose(a_notice(content=CONTENT + b"--" + boundary.encode() + b"--\r\n"))
    report, _, _, _ = parts_of(dsn)
    assert report.get_boundary() != boundary


def test_content_without_last_line_end_gets_one() -> None:
    dsn = compose(a_notice(content=b"Subject: hi\r\n\r\nno end"))
    assert b"no end\r\n\r\n--=_" in dsn.content


def test_status_class_fits_the_action() -> None:
    # RFC 3464 §2.3.3, §2.3.4
    odd = replace(REFUSED, reply=Reply.of(250, "2.0.0", "fine"))
    _, of_bob = fields_of(parts_of(compose(a_notice(odd)))[2])
    assert of_bob["Status"] == "5.0.0"
    odd = replace(REFUSED, action=Action.DELAYED, reply=Reply.of(550, "5.1.1", "no"))
    _, of_bob = fields_of(parts_of(compose(a_notice(odd)))[2])
    assert of_bob["Status"] == "4.0.0"


UTF8_BOB = Recipient(Address("böb", "far.example"), orcpt="utf-8;böb@far.example")


UTF8_CONTENT = "From: Ann <ann@home.example>\r\nSubject: Grüße\r\n\r\nHallo Böb\r\n".encode()


def test_an_international_recipient_is_reported_in_seven_bits_to_an_ascii_sender() -> None:
    message = a_message(UTF8_CONTENT, smtputf8=True)
    notice = a_notice(replace(REFUSED, recipient=UTF8_BOB), content=UTF8_CONTENT, message=message)
    dsn = compose(notice)
    _, status, returned = email.message_from_bytes(dsn.content, policy=email.policy.default).iter_parts()
    assert isinstance(status, EmailMessage)
    assert status.get_content_type() == "message/delivery-status"
    _, of_bob = fields_of(status)
    assert of_bob["Final-Recipient"] == r"utf-8; b\x{F6}b@far.example"  # RFC 6533 §3
    assert of_bob["Original-Recipient"] == r"utf-8; b\x{F6}b@far.example"
    assert returned.get_content_type() == "message/global"
    encoded = dsn.content.rpartition(b"base64\r\n\r\n")[2].partition(b"\r\n--")[0]
    assert base64.b64decode(encoded) == PREFIX + UTF8_CONTENT  # RFC 6533 §4.5
    assert not dsn.envelope.smtputf8


def test_an_international_header_alone_is_returned_as_such() -> None:
    message = a_message(UTF8_CONTENT, smtputf8=True, ret=Ret.HDRS)
    dsn = compose(a_notice(content=UTF8_CONTENT, message=message))
    assert b"Content-Type: message/global-headers\r\n" in dsn.content


def test_an_international_sender_gets_utf8_as_it_is() -> None:
    message = a_message(reverse_path=Address("änn", "home.example"), smtputf8=True)
    dsn = compose(a_notice(replace(REFUSED, recipient=UTF8_BOB), message=message))
    assert "To: <änn@home.example>\r\n".encode() in dsn.content
    assert "Final-Recipient: utf-8; böb@far.example".encode() in dsn.content
    assert dsn.envelope.smtputf8
    assert dsn.envelope.body is Body.EIGHT_BIT


@given(
    st.lists(st.text(max_size=2000), min_size=1, max_size=25),
    st.binary(max_size=3000),
    st.text(max_size=600),
    st.sampled_from(Action),
)
def test_nothing_breaks_out(lines: list[str], content: bytes, orcpt: str, action: Action) -> None:
    recipient = Recipient(BOB.address, orcpt=f"rfc822;{orcpt}")
    report = replace(REFUSED, reply=Reply(550, "5.1.1", tuple(lines)), action=action, recipient=recipient)
    dsn = compose(a_notice(report, content=content, message=a_message(content)))
    assert is_sound(dsn.content)
    parsed = email.message_from_bytes(dsn.content)
    assert parsed.get_content_type() == "multipart/report"
    payload = parsed.get_payload()
    assert isinstance(payload, list)
    assert len(payload) == 3


def test_deadline_and_release_are_named() -> None:
    """RFC 2852 §5, RFC 4865 §5.1.2: beside the arrival."""
    by = DeliverBy(7200, ByMode.RETURN)
    message = a_message(deliver_by=by, hold_until=NOW - 60, hold_request="for;3540")
    _, text, status, _ = parts_of(compose(a_notice(message=message)))
    of_message = fields_of(status)[0]
    assert of_message["Arrival-Date"] == "Thu, 29 Feb 2024 11:34:56 +0000"
    assert of_message["Deliver-By-Date"] == "Thu, 29 Feb 2024 13:34:56 +0000"
    assert of_message["Future-Release-Request"] == "for;3540"
    assert "held back until 29 February 2024, 12:33 (UTC)." in text.get_content()


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        ("until;2024-02-29T12:34:56Z", "until;2024-02-29T12:34:56Z"),
        ("", "until;2024-02-29T12:33:56Z"),
        ("for;9\r\nX: y", "for;9 X: y"),
    ],
)
def test_the_request_of_a_release_is_repeated(request_: str, shown: str) -> None:  # RFC 4865 §5.1.2
    message = a_message(hold_until=NOW - 60, hold_request=request_)
    _, _, status, _ = parts_of(compose(a_notice(message=message)))
    assert fields_of(status)[0]["Future-Release-Request"] == shown


def test_neither_is_named_where_it_was_not_asked_for() -> None:
    _, _, status, _ = parts_of(compose(a_notice()))
    assert not {"Deliver-By-Date", "Future-Release-Request"} & set(fields_of(status)[0].keys())


def test_a_message_that_requires_tls_is_never_returned_whole() -> None:
    """RFC 8689 §5: RET=FULL is disregarded, and the DSN requires TLS itself."""
    dsn = compose(a_notice(message=a_message(require_tls=True, ret=Ret.FULL)))
    _, _, _, returned = parts_of(dsn)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"Hello Bob" not in dsn.content
    assert dsn.envelope.require_tls
    assert not compose(a_notice()).envelope.require_tls


def test_a_dsn_has_the_priority_of_its_message() -> None:  # RFC 6710 §4.6
    assert compose(a_notice(message=a_message(priority=-4))).envelope.priority == -4


@pytest.mark.parametrize(
    ("orcpt", "shown"),
    [
        ("utf-8;jürgen@far.example", "utf-8; j\\x{FC}rgen@far.example"),
        ("utf-8;a+b=c@far.example", "utf-8; a\\x{2B}b\\x{3D}c@far.example"),
        ("rfc822;a+b=c@far.example", "rfc822; a+b=c@far.example"),
    ],
)
def test_an_original_recipient_in_seven_bits(orcpt: str, shown: str) -> None:
    """RFC 6533 §3: utf-8-addr-xtext, which escapes more than what is not ASCII."""
    report = replace(REFUSED, recipient=replace(BOB, orcpt=orcpt))
    _, _, status, _ = parts_of(compose(a_notice(report)))
    assert fields_of(status)[1]["Original-Recipient"] == shown


@given(st.text(max_size=3000))
def test_clean_text_is_one_short_line(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned.encode()) <= 904
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", cleaned)
