"""What leaves the real program is signed by keys that the DNS shows, and another's program verifies it."""

from typing import Any

from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import Program, wait_until
from tests.system.setups import by_mx, content
from tests.system.signatures import activate_all, publish, read_zone, verified
from tests.system.sink import Sink

ALICE, REMOTE = "alice@example.org", "someone@remote.example"


def stored(program: Program) -> bytes:
    """Every octet of the data folder."""
    return b"".join(path.read_bytes() for path in (program.folder / "data").iterdir() if path.is_file())


def settings(nameserver: Nameserver, sink: Sink, **more: Any) -> dict[str, Any]:
    return {**by_mx(nameserver, sink), **more}


def test_submitted_mail_and_bounces_verify_with_the_records_that_were_shown(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink
) -> None:
    program = make_program(settings(nameserver, sink)).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("early"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 1, "the far end has it")
    assert b"DKIM-Signature" not in sink.arrived[0].content, "nobody can see a key yet"

    shown = program.command("dkim", "show", "example.org")
    program.command("dkim", "check", code=1)
    publish(nameserver, shown)
    program.command("dkim", "check")
    activate_all(program, "example.org")
    wait_until(lambda: all(row["signs"] for row in program.listing("dkim", "list")), "both sign")

    def send(number: int) -> bytes:
        with program.submission(ALICE) as client:
            client.sendmail(ALICE, [REMOTE], content(f"signed{number}"), mail_options=["BODY=8BITMIME"])
        wait_until(lambda: sink.arrived[-1].message_id == f"signed{number}@example.org", "the far end has it")
        return sink.arrived[-1].content

    tries = iter(range(1000))
    wait_until(lambda: b"DKIM-Signature" in send(next(tries)), "the server has heard of it", 5)
    message = sink.arrived[-1].content
    assert verified(message, read_zone(shown)) == [True, True]
    assert "signed by r2" in program.command("why", sink.arrived[-1].message_id)

    large = content("large") + b"0123456789" * 9 * 3000
    large = large.replace(b"0123456789" * 9, b"0123456789" * 9 + b"\r\n") + b"\r\n"
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], large, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: sink.arrived[-1].message_id == "large@example.org", "the far end has it")
    assert verified(sink.arrived[-1].content, read_zone(shown)) == [True, True]

    sink.behaviour.recipients[REMOTE] = "550 5.1.1 nobody"
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("bounces"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(program.inbox(ALICE)) == 1, "the bounce is there")
    (bounce,) = program.inbox(ALICE)
    assert b"From: " in bounce
    assert verified(bounce, read_zone(shown)) == [True, True]

    told = program.log_text()
    assert "PRIVATE" not in told
    # a stranger's mail through us is not signed
    with program.smtp() as client:
        client.sendmail("x@remote.example", [ALICE], content("stranger"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(program.inbox(ALICE)) == 2, "it is there")
    assert b"DKIM-Signature" not in program.inbox(ALICE)[1]


def test_the_keys_are_encrypted_and_a_wrong_file_is_named(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink
) -> None:
    program = make_program(settings(nameserver, sink, dkim={"key_file": "dkim.key", "wait": 0}))
    program.add(ALICE)  # another setting made these keys: in the clear
    assert b"BEGIN PRIVATE" in stored(program)
    program.command("dkim", "encrypt")
    assert b"BEGIN PRIVATE" not in stored(program)
    activate_all(program, "example.org", "--force")
    program.start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("sealed"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 1, "the far end has it")
    assert verified(sink.arrived[0].content, read_zone(program.command("dkim", "show", "example.org"))) == [True, True]
    assert program.stop() == 0
    key_file = program.folder / "dkim.key"
    key_file.write_bytes(b"another secret, as long as it must be\n")
    program.start()
    assert "another key file" in program.wait_told("dkim_trouble")["reason"]
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("unsigned"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 2, "mail goes on")
    assert b"DKIM-Signature" not in sink.arrived[1].content


def test_what_programs_of_this_machine_send_is_signed_too(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink
) -> None:
    program = make_program(settings(nameserver, sink)).add(ALICE)
    activate_all(program, "example.org", "--force")
    program.command("send", "--from", ALICE, "--to", REMOTE, "--subject", "hello", "--body", "text")
    program.start()
    wait_until(lambda: len(sink.arrived) == 1, "the far end has it")
    assert verified(sink.arrived[0].content, read_zone(program.command("dkim", "show", "example.org"))) == [True, True]
