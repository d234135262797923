"""Mail in, mail on, mail out: what a user sees when all is well and when the far end is not."""

import email
import email.policy
import time
from email.message import EmailMessage
from typing import cast

from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import PASSWORD, wait_until
from tests.system.setups import added_to, by_mx, content
from tests.system.sink import Sink

ALICE, BOB = "alice@example.org", "bob@example.net"
REMOTE = "someone@remote.example"


def parse(message: bytes) -> EmailMessage:
    return email.message_from_bytes(message, policy=email.policy.default)


def test_submitted_mail_is_in_the_other_domains_inbox(make_program: MakeProgram) -> None:
    program = make_program().add(ALICE, BOB).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [BOB], content("starttls"), mail_options=["BODY=8BITMIME"])
    with program.smtp("submissions") as client:
        client.login(ALICE, PASSWORD)
        client.sendmail(ALICE, [BOB], content("implicit"), mail_options=["BODY=8BITMIME"])
    first, second = program.inbox(BOB)
    for received, name in ((first, "starttls"), (second, "implicit")):
        added = added_to(received, content(name))
        assert b"Received: " in added
        assert b"with ESMTPSA" in added
        assert PASSWORD.encode() not in added


def test_mail_for_a_remote_domain_goes_to_its_mx(make_program: MakeProgram, nameserver: Nameserver, sink: Sink) -> None:
    program = make_program(by_mx(nameserver, sink)).add(ALICE, BOB).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [BOB, REMOTE, "other@remote.example"], content("both"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(sink.arrived), "the far end has it")
    (arrived,) = sink.arrived
    assert sorted(arrived.recipients) == ["other@remote.example", REMOTE]
    assert arrived.mail.startswith(f"MAIL FROM:<{ALICE}>")
    added_to(arrived.content, content("both"))
    (received,) = program.inbox(BOB)
    added_to(received, content("both"))
    wait_until(lambda: not program.queue(), "the queue is empty")
    story = program.command("why", "both@example.org")
    assert REMOTE in story
    assert "250" in story


def test_a_message_waits_while_the_remote_is_down(
    make_program: MakeProgram, nameserver: Nameserver, down_sink: Sink
) -> None:
    program = make_program(by_mx(nameserver, down_sink)).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("patient"), mail_options=["BODY=8BITMIME"])
    program.wait_told("attempt_made", outcome="deferred")
    for _ in ("beside the running server", "while it is down"):
        assert REMOTE in str(program.queue())
        shown = program.command("queue", "list") + program.command("why", REMOTE)
        assert "refused" in shown.lower()
        program.stop()
    program.start()
    down_sink.up()
    wait_until(lambda: bool(down_sink.arrived), "it arrives once the remote is back")
    added_to(down_sink.arrived[0].content, content("patient"))
    wait_until(lambda: not program.queue(), "the queue is empty")
    assert down_sink.counts() == {"patient@example.org": 1}


def test_a_remote_no_comes_back_to_the_sender(make_program: MakeProgram, nameserver: Nameserver, sink: Sink) -> None:
    program = make_program(by_mx(nameserver, sink)).add(ALICE).start()
    sink.behaviour.recipients[REMOTE] = "550 5.1.1 nobody of that name here"
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE, "other@remote.example"], content("refused"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(program.inbox(ALICE)), "the DSN is there")
    (raw,) = program.inbox(ALICE)
    assert b"\r\nReturn-Path: <>\r\n" in b"\r\n" + raw
    dsn = parse(raw)
    assert dsn.get_content_type() == "multipart/report"
    assert dsn.get_param("report-type") == "delivery-status"
    assert ALICE in dsn["To"]
    human, machine, original = cast(list[EmailMessage], list(dsn.iter_parts()))
    assert "nobody of that name here" in human.get_content()
    fields = "".join(part.as_string() for part in cast(list[EmailMessage], machine.get_payload()))
    assert f"Final-Recipient: rfc822; {REMOTE}".lower() in fields.lower()
    assert "Action: failed" in fields
    assert "Status: 5.1.1" in fields
    assert "other@remote.example" not in fields
    assert "refused@example.org" in original.as_string()
    wait_until(lambda: not program.queue(), "the queue is empty")
    assert [arrived.recipients for arrived in sink.arrived] == [("other@remote.example",)]


def test_an_ambiguous_end_is_retried_and_noted(make_program: MakeProgram, nameserver: Nameserver, sink: Sink) -> None:
    program = make_program(by_mx(nameserver, sink)).add(ALICE).start()
    sink.behaviour.drop_after_dot = 1
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("twice"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 2, "it is sent again")
    program.wait_told("attempt_made", outcome="delivered")
    assert len(program.told("attempt_made", ambiguous=True)) == 1
    assert sink.counts() == {"twice@example.org": 2}


def test_mail_expires_into_a_dsn(make_program: MakeProgram, nameserver: Nameserver, down_sink: Sink) -> None:
    begun = time.time()
    program = make_program(by_mx(nameserver, down_sink, lifetime=2, delay_warning=0)).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("late"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(program.inbox(ALICE)), "the DSN is there")
    assert time.time() - begun >= 2
    (raw,) = program.inbox(ALICE)
    text = raw.decode(errors="replace")
    assert "Action: failed" in text
    assert REMOTE in text
    assert len(program.told("attempt_made", outcome="deferred")) >= 1
    wait_until(lambda: not program.queue(), "the queue is empty")


def test_queued_mail_survives_a_restart_with_its_content(
    make_program: MakeProgram, nameserver: Nameserver, down_sink: Sink
) -> None:
    """Small content rides in the intake commit, large content in chunks: both must outlive the process."""
    program = make_program(by_mx(nameserver, down_sink)).add(ALICE).start()
    large = content("large") + (b"x" * 76 + b"\r\n") * 40_000
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("small"), mail_options=["BODY=8BITMIME"])
        client.sendmail(ALICE, [REMOTE], large, mail_options=["BODY=8BITMIME"])
    program.kill()
    down_sink.up()
    program.start()
    wait_until(lambda: len(down_sink.arrived) == 2, "both arrive")
    by_id = {message.message_id: message.content for message in down_sink.arrived}
    added_to(by_id["small@example.org"], content("small"))
    added_to(by_id["large@example.org"], large)
