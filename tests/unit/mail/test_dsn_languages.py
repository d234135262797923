"""What people read in a DSN: in their language, grouped by what stood in the way, in whole sentences."""

import email
import email.policy
import string
from dataclasses import fields, replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail import status
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Peer
from postroom.mail.dsn import compose
from postroom.mail.dsntexts.choosing import ENGLISH, LANGUAGES, choose, look_up, read_ranges
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.envelope import Body, Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.notice import Action, Notice, RecipientReport
from postroom.mail.reply import Reply

NOW = 1_709_210_096.0
PEER = Peer("mx.far.example", "192.0.2.25", 25)
FULL = Reply.of(552, "5.2.2", "over quota")
STATUSES = sorted({f"5.{v}" for n, v in vars(status).items() if n.isupper() and isinstance(v, str)})


def failure(address: str, reply: Reply = FULL, cause: Cause = Cause.MAILBOX_FULL) -> RecipientReport:
    local, _, domain = address.partition("@")
    recipient = Recipient(Address(local, domain))
    return RecipientReport(recipient, Action.FAILED, reply, PEER, by_peer=True, last_attempt=NOW, cause=cause)


def a_notice(*reports: RecipientReport, header: str = "", sender: Address | None = None) -> Notice:
    content = f"{header}Message-ID: <1@home.example>\r\n\r\nHallo\r\n".encode()
    envelope = Envelope(sender or Address("ann", "home.example"), tuple(one.recipient for one in reports))
    message = Message(QueueId(77), NOW - 3600, envelope, b"", len(content))
    return Notice(QueueId(99), "mx.home.example", NOW, message, reports, content, whole=True)


def read(notice: Notice) -> tuple[EmailMessage, EmailMessage, str, EmailMessage]:
    """The report, its part for people, what that says, and the part for programs."""
    report = email.message_from_bytes(compose(notice).content, policy=email.policy.default)
    assert isinstance(report, EmailMessage)
    text, programs, _ = report.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(programs, EmailMessage)
    assert not text.defects
    return report, text, text.get_content().replace("\r\n", "\n"), programs


# Which language -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("Accept-Language: de-DE, en-US\r\n", "de"),
        ("Accept-Language: en-US, de;q=0.9\r\n", "en"),
        ("Accept-Language: en;q=0.5, de-AT;q=0.8\r\n", "de"),
        ("Accept-Language: fr, de;q=0.2\r\n", "de"),
        ("Accept-Language: de;q=0, en\r\n", "en"),
        ("Accept-Language: *\r\nContent-Language: de\r\n", "en"),
        ("Accept-Language: fr\r\nContent-Language: de\r\n", "de"),
        ("Content-Language: de-DE\r\n", "de"),
        ("Content-Language: fr, DE\r\n", "de"),
        ("Content-Language: nds\r\n", "en"),
        ("content-language:\r\n de (deutsch)\r\n", "de"),
        ("Accept-Language: ;;,=\r\n", "en"),
    ],
)
def test_the_header_says_which_language(header: str, language: str) -> None:  # RFC 3282 §2, §3
    report, text, _, _ = read(a_notice(failure("bob@far.example"), header=header))
    assert text["Content-Language"] == language
    assert report["Subject"] == LANGUAGES[language].subjects[Action.FAILED]


def test_what_stands_in_the_body_says_nothing() -> None:
    assert choose(b"Subject: x\r\n\r\nContent-Language: de\r\n").language == ENGLISH


def test_the_nearest_language_is_taken() -> None:  # RFC 4647 §3.4
    german = look_up("de-Latn-CH-1996")
    assert german is not None
    assert german.language == "de"
    assert look_up("d") is None


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "de"),
        ("Accept-Language: *\r\n", "de"),
        ("Accept-Language: fr\r\n", "de"),
        ("Content-Language: en-GB\r\n", "en"),
    ],
)
def test_the_house_says_which_language_where_the_header_does_not(header: str, language: str) -> None:
    _, text, _, _ = read(replace(a_notice(failure("bob@far.example"), header=header), language="de-DE"))
    assert text["Content-Language"] == language
    assert choose(b"\r\n", "tlh").language == ENGLISH


@given(st.text(max_size=3000))
def test_any_field_can_be_read(field: str) -> None:
    assert len(read_ranges(field)) <= 20


# What it says -----------------------------------------------------------------


def test_german_as_a_mail_program_shows_it() -> None:
    report, text, told, programs = read(
        a_notice(failure("bob@far.example"), header="Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Language: de\r\n")
    )
    assert report["Subject"] == "Ihre Nachricht konnte nicht zugestellt werden"
    assert text["Content-Transfer-Encoding"] == "quoted-printable"
    assert text.get_content_charset() == "utf-8"
    assert told == (
        "Hier ist das Mailsystem auf mx.home.example.\n"
        "\n"
        "Ihre Nachricht konnte diesem Empfänger NICHT zugestellt werden. Es wird nichts mehr versucht.\n"
        "\n"
        "Das Postfach ist voll.\n"
        "\n"
        "    <bob@far.example>\n"
        "    mx.far.example [192.0.2.25] sagte dazu:\n"
        "      552 5.2.2 over quota\n"
        "\n"
        "Was Sie tun können: Bitten Sie den Empfänger auf anderem Weg, Platz zu schaffen, und senden Sie die Nachricht "
        "dann noch einmal.\n"
        "\n"
        "Es geht um Ihre Nachricht: Grüße\n"
        "Ihre Nachricht wurde am 29. Februar 2024, 11:34 Uhr (UTC) angenommen und hat die Nummer 000000000002d.\n"
        "Sie ist hier angefügt.\n"
        "Wenn Sie Hilfe brauchen, schreiben Sie an postmaster@mx.home.example, und fügen Sie diesen Bericht bei.\n"
    )
    english = read(a_notice(failure("bob@far.example"), header="Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"))[3]
    assert programs.as_bytes() == english.as_bytes()  # what programs read is in no language


def test_letters_beyond_ascii_cost_no_8bitmime() -> None:
    dsn = compose(
        a_notice(replace(failure("bob@far.example"), action=Action.DELAYED), header="Content-Language: de\r\n")
    )
    assert dsn.content.isascii()
    assert dsn.envelope.body is Body.SEVEN_BIT
    raw = dsn.content.split(b"\r\n")
    subject = next(line for line in raw if line.startswith(b"Subject: "))
    assert subject.startswith(b"Subject: =?utf-8?B?")  # RFC 2047 §2
    assert all(len(line) <= 76 for line in raw if b"=?utf-8" in line)
    parsed = email.message_from_bytes(dsn.content, policy=email.policy.default)
    assert parsed["Subject"] == "Ihre Nachricht verzögert sich"


def test_recipients_are_grouped_by_what_stood_in_the_way() -> None:
    unknown = Reply.of(550, "5.1.1", "who?")
    _, _, told, _ = read(
        a_notice(
            failure("ann@far.example"),
            failure("bob@far.example", unknown, Cause.MAILBOX_UNKNOWN),
            failure("carl@far.example"),
            failure("dora@far.example", Reply.of(552, "5.2.2", "too much mail")),
        )
    )
    assert "to these recipients" in told
    assert told.count("The mailbox is full.") == 1
    assert told.count("There is no such mailbox.") == 1
    assert "    <ann@far.example>\n    <carl@far.example>\n    mx.far.example [192.0.2.25] said:\n" in told
    full, unknown_too = told.index("The mailbox is full."), told.index("There is no such mailbox.")
    assert full < told.index("ann@") < told.index("carl@") < told.index("dora@") < unknown_too < told.index("bob@")
    assert told.count("make room") == 1


def test_the_cause_says_more_than_the_status() -> None:
    spam = failure("bob@far.example", Reply.of(550, "5.7.1", "message looks like spam"), Cause.CONTENT)
    assert "looks like spam or harmful" in read(a_notice(spam))[2]
    other = failure("bob@far.example", Reply.of(550, "5.7.1", "no"), Cause.OTHER)
    assert "The sender may not send there." in read(a_notice(other))[2]


def test_what_we_found_ourselves_is_told_by_its_status() -> None:
    report = replace(
        failure("bob@far.example", Reply.of(550, "5.7.30", "no REQUIRETLS"), Cause.TLS), by_peer=False, peer=Peer()
    )
    _, _, told, _ = read(a_notice(report))
    assert "not secured as the sender requires" in told
    assert "In the words of mail systems:\n      550 5.7.30 no REQUIRETLS\n" in told
    report = replace(report, reply=Reply.of(550, "5.1.1", "suppressed"), cause=Cause.SUPPRESSED)
    assert "Earlier mail to this address came back" in read(a_notice(report))[2]


@pytest.mark.parametrize("subject", ["=?x-none?B?////?=", "=?utf-8?B?A?=", "=?utf-8?B?/w==?=", "=?"])
def test_a_subject_that_cannot_be_read_does_no_harm(subject: str) -> None:
    assert "<bob@far.example>" in read(a_notice(failure("bob@far.example"), header=f"Subject: {subject}\r\n"))[2]


def test_a_subject_stays_on_its_line() -> None:
    smuggled = "=?utf-8?Q?hi=0D=0A=0D=0AYour_account_is_closed?= " + "x" * 500
    _, _, told, _ = read(a_notice(failure("bob@far.example"), header=f"Subject: {smuggled}\r\n"))
    line = next(line for line in told.splitlines() if "It is about" in line)
    assert "hi Your account is closed" in line
    assert len(line) < 200


# Every language -----------------------------------------------------------------

SPOKEN = [pytest.param(texts, id=tag) for tag, texts in LANGUAGES.items()]


@pytest.mark.parametrize("texts", SPOKEN)
def test_a_language_says_everything(texts: Texts) -> None:
    assert set(texts.subjects) == set(texts.headings) == set(Action)
    assert set(texts.causes) == set(Cause) - {Cause.OTHER}
    assert set(texts.ages) == {"day", "hour", "minute"}
    assert len(texts.months) == 12
    for forms in (*texts.headings.values(), *texts.ages.values()):
        assert all(texts.choose(forms, number) for number in range(200))
    for detail in STATUSES:
        assert texts.explain(detail)
        assert texts.advise(detail).endswith(".")
    assert texts.explain("5.99.99") == texts.statuses["0"]
    for why, advice in texts.causes.values():
        assert not why.endswith(".")
        assert advice.endswith(".")


@pytest.mark.parametrize("texts", SPOKEN)
def test_a_language_fills_in_what_english_fills_in(texts: Texts) -> None:
    english = LANGUAGES[ENGLISH]
    for field in fields(Texts):
        ours, theirs = getattr(texts, field.name), getattr(english, field.name)
        if isinstance(ours, str) and field.name != "language":
            assert _names(ours) == _names(theirs), field.name
    for unit, forms in texts.ages.items():
        assert all(_names(form) <= {"number"} for form in forms), unit


@pytest.mark.parametrize("texts", SPOKEN)
@pytest.mark.parametrize("action", list(Action))
def test_a_whole_report_in_each_language(texts: Texts, action: Action) -> None:
    report = replace(failure("bob@far.example"), action=action, retry_until=NOW + 86400, expired=True)
    header = f"Content-Language: {texts.language}\r\n"
    whole, text, told, _ = read(a_notice(report, replace(report, cause=Cause.OTHER), header=header))
    assert whole["Subject"] == texts.subjects[action]
    assert text["Content-Language"] == texts.language
    assert "bob@far.example" in told
    assert "{" not in told


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
