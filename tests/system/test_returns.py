"""What comes back: bounces of forwarded mail find their sender, bounces and complaints find their message, and whoever
bounced is not written to again until somebody says so.
"""

import json
import smtplib
import urllib.error
import urllib.request
from typing import Any

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.system.setups import by_smarthost, content
from tests.system.sink import Arrived, Sink

ALICE = "alice@example.org"
RITA, KIM = "rita@remote.example", "kim@remote.example"
SAM = "sam@sender.example"

# As qmail writes it, about an address that the mail was forwarded to: only the return path tells who it was sent to.
QMAIL = (
    b"From: MAILER-DAEMON@remote.example\r\nTo: alice@example.org\r\nSubject: failure notice\r\n\r\n"
    b"Hi. This is the qmail-send program at remote.example.\r\n"
    b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
    b"This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
    b"<rita.old@inside.remote.example>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n"
    b"--- Below this line is a copy of the message.\r\n\r\nSubject: hello\r\n\r\nhi\r\n"
)
BLOCK = "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org"


def path_of(arrived: Arrived) -> str:
    """What MAIL said."""
    return arrived.mail.partition("<")[2].partition(">")[0]


def path_to(sink: Sink, recipient: str) -> str:
    """The return path of a recipient's copy."""
    wait_until(lambda: any(recipient in one.recipients for one in sink.arrived), f"the far end has it for {recipient}")
    return next(path_of(one) for one in sink.arrived if recipient in one.recipients)


def bring(program: Program, path: str, bounce: bytes = QMAIL, sender: str = "") -> None:
    """Deliver a bounce as another server does."""
    with program.smtp() as client:
        client.sendmail(sender, [path], bounce)


def submit(program: Program, *recipients: str, name: str = "hello") -> dict[str, tuple[int, bytes]]:
    """Send as Alice; who was refused."""
    with program.submission(ALICE) as client:
        try:
            return client.sendmail(ALICE, recipients, content(name), mail_options=["BODY=8BITMIME"])
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients


def test_the_bounce_of_a_forwarded_message_finds_its_sender(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(by_smarthost(sink)).add(ALICE)
    program.command("alias", "add", "team@example.org", RITA)
    program.start()
    bring(program, "team@example.org", content("forwarded"), sender=SAM)
    path = path_to(sink, RITA)
    assert path.startswith("SRS0=")
    assert path.endswith("=sender.example=sam@example.org")

    bring(program, path)
    assert path_to(sink, SAM) == ""
    assert sink.arrived[-1].content.endswith(QMAIL)
    # Somebody answers by the return path: forwarded too, so with a return path itself
    bring(program, path, content("reply"), sender=KIM)
    wait_until(lambda: len(sink.arrived) == 3, "the reply went on")
    assert path_of(sink.arrived[-1]).startswith("SRS0=")

    with program.smtp() as client:  # and nobody makes one for somebody else
        client.mail("")
        assert client.rcpt(path.replace("=sam@", "=victim@"))[0] == 550
        assert client.rcpt("SRS0=AAAAAAAA=AA=victim.example=someone@example.org")[0] == 550


def test_who_bounced_is_not_written_to_until_somebody_says_so(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program({**by_smarthost(sink), "returns": {"verp": True}}).add(ALICE).start()
    assert submit(program, RITA, KIM) == {}
    path = path_to(sink, RITA)
    assert path.startswith("b-")
    assert path_to(sink, KIM) not in (path, ALICE)
    wait_until(lambda: not program.queue(), "both are settled")

    bring(program, path)
    told = program.wait_told("bounce_returned")
    assert (told["recipient"], told["cause"], told["by"]) == (RITA, "mailbox_unknown", "verp")
    assert any(QMAIL in mail for mail in program.inbox(ALICE))  # Alice sees it as ever
    assert f"came back for {RITA}" in program.command("why", "hello@example.org")
    (entry,) = program.listing("suppression", "list")["entries"]
    assert (entry["sender_domain"], entry["recipient"], entry["cause"]) == ("example.org", RITA, "mailbox_unknown")

    wait_until(lambda: RITA in submit(program, RITA, KIM, name="again"), "Rita is refused")
    code, words = submit(program, RITA)[RITA]
    assert code == 550
    for part in (RITA, "mailbox unknown", "postroom suppression remove"):
        assert part in words.decode()

    program.command("suppression", "remove", RITA, "--domain", "example.org")
    wait_until(lambda: submit(program, RITA, name="lifted") == {}, "Rita is written to again")
    stats = program.listing("stats")
    assert stats["totals"]["bounced"] == 1


def test_a_forged_bounce_is_only_mail(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(by_smarthost(sink)).add(ALICE).start()
    submit(program, RITA)
    path_to(sink, RITA)
    wait_until(lambda: not program.queue(), "it is settled")
    forged = QMAIL.replace(b"rita.old@inside.remote.example", b"kim@remote.example")
    bring(program, ALICE, forged)
    bring(program, ALICE, QMAIL.replace(b"rita.old@inside.remote.example", RITA.encode()))  # names no message
    honest = QMAIL.replace(b"rita.old@inside.remote.example", RITA.encode())
    bring(program, ALICE, honest.replace(b"Subject: hello", b"Message-ID: <hello@example.org>\r\nSubject: hello"))
    assert program.wait_told("bounce_returned")["by"] == "message_id"
    assert len(program.told("bounce_returned")) == 1
    assert [entry["recipient"] for entry in program.listing("suppression", "list")["entries"]] == [RITA]


def test_a_bounce_is_looked_at_once_whatever_happens(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program({**by_smarthost(sink), "returns": {"verp": True}}).add(ALICE).start()
    submit(program, RITA)
    path = path_to(sink, RITA)
    wait_until(lambda: not program.queue(), "it is settled")
    bring(program, path)
    program.kill()  # it may have been looked at, or not
    program.start()

    def rows() -> list[Any]:
        (life,) = program.listing("why", "hello@example.org")["messages"]
        return [moment for moment in life["moments"] if moment["kind"] == "bounced"]

    wait_until(lambda: len(rows()) == 1, "it was looked at")
    bring(program, path)
    bring(program, path)
    submit(program, KIM, name="later")
    path_to(sink, KIM)
    assert len(rows()) == 1
    (entry,) = program.listing("suppression", "list")["entries"]
    assert entry["count"] == 1


@pytest.mark.parametrize(("reply", "listed"), [("550 5.1.1 no such user here", [RITA]), (BLOCK, [])])
def test_a_refusal_in_session_suppresses_what_is_gone_and_no_block_does(
    make_program: MakeProgram, sink: Sink, reply: str, listed: list[str]
) -> None:
    sink.behaviour.recipients[RITA] = reply
    program = make_program(by_smarthost(sink)).add(ALICE).start()
    submit(program, RITA)
    wait_until(lambda: len(program.inbox(ALICE)) == 1, "Alice is told")
    assert [entry["recipient"] for entry in program.listing("suppression", "list")["entries"]] == listed
    cause = "mailbox_unknown" if listed else "reputation"
    (domain,) = [one for one in program.listing("stats")["causes"] if one["recipient_domain"] == "remote.example"]
    assert (domain["sender_domain"], domain["cause"], domain["count"]) == ("example.org", cause, 1)


def test_programs_use_the_api(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program({**by_smarthost(sink), "web": {"port": 0, "token_file": "token"}}).add(ALICE)
    (program.folder / "token").write_text("0123456789abcdef0123456789abcdef\n")
    program.start()
    url = f"http://127.0.0.1:{program.port('web')}/api/v1/suppressions"

    def ask(method: str, path: str = "", body: object = None, token: str = "0123456789abcdef0123456789abcdef") -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code

    assert ask("GET", token="wrong") == 401
    assert ask("POST", "", {"sender_domain": "elsewhere.example", "recipient": RITA}) == 400
    assert ask("POST", "", {"sender_domain": "example.org", "recipient": RITA, "reason": "asked"})["recipient"] == RITA
    wait_until(lambda: RITA in submit(program, RITA), "Rita is refused")
    assert [entry["recipient"] for entry in ask("GET")["entries"]] == [RITA]
    assert ask("DELETE", f"/example.org/{RITA}") is None
    wait_until(lambda: submit(program, RITA, name="lifted") == {}, "Rita is written to again")


def test_a_complaint_is_matched_by_the_token_in_it(make_program: MakeProgram, sink: Sink) -> None:
    returns = {"verp": True, "complaints": ["fbl@example.org"]}
    program = make_program({**by_smarthost(sink), "returns": returns}).add(ALICE)
    program.command("alias", "add", "fbl@example.org", ALICE)
    program.start()
    submit(program, RITA, KIM)
    path = path_to(sink, RITA)
    wait_until(lambda: not program.queue(), "both are settled")

    # RFC 5965 §2: who complained is hidden, as most feedback loops do
    report = (
        b"From: feedback@isp.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; boundary="b"; report-type=feedback-report\r\n\r\n'
        b"--b\r\n\r\nA complaint.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        b"Feedback-Type: abuse\r\nUser-Agent: isp/1\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Return-Path: <%s>\r\nFrom: alice@example.org\r\nSubject: hello\r\n\r\nhi\r\n--b--\r\n" % path.encode()
    )
    bring(program, "fbl@example.org", report, sender="feedback@isp.example")
    assert program.wait_told("complaint_returned")["recipient"] == RITA
    assert f"{RITA} complained (abuse)" in program.command("why", "hello@example.org")
    (sender,) = program.listing("stats")["senders"]
    assert (sender["relayed"], sender["complained"], sender["complaint_rate"]) == (2, 1, 0.5)
    wait_until(lambda: RITA in submit(program, RITA, name="again"), "Rita is refused")
    assert submit(program, RITA)[RITA][1].startswith(b"5.7.1")
