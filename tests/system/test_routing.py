"""Rules of routing in the real program: who goes which way, who waits, who stands in for whom."""

from pathlib import Path

from tests.system.fixtures import MakeProgram
from tests.system.program import wait_until
from tests.system.setups import content
from tests.system.sink import Sink

ALICE, BOB = "alice@example.org", "bob@example.net"
FAR = "someone@remote.example"
QUICK = {"first_retry": 0.5, "retry_factor": 1.0, "poll": 0.2}


def smarthost(name: str, sink: Sink) -> dict[str, object]:
    return {"name": name, "host": "127.0.0.1", "port": sink.port, "tls": "none"}


def tagged(name: str, *fields: str) -> bytes:
    return "".join(f"{field}\r\n" for field in fields).encode() + content(name)


def test_messages_go_by_their_rules(make_program: MakeProgram, sink: Sink) -> None:
    other, third = Sink(), Sink()
    try:
        program = make_program(
            {
                "smarthost": [smarthost("one", sink), smarthost("two", other), smarthost("three", third)],
                "route": [
                    {"tags": ["bulk"], "via": "two"},
                    {"accounts": ["@example.net"], "domains": ["gone.example"], "via": "discard"},
                    {"name": "lists", "headers": {"Subject": "*folded line"}, "senders": [BOB], "via": "three"},
                    {"via": "one"},
                ],
                "queue": QUICK,
            }
        )
        program.add(ALICE, BOB).start()
        with program.submission(ALICE) as client:
            client.sendmail(ALICE, [FAR, BOB], content("plain"), mail_options=["BODY=8BITMIME"])
            client.sendmail(ALICE, [FAR], tagged("tagged", "X-Postroom-Tag: bulk"), mail_options=["BODY=8BITMIME"])
        with program.submission(BOB) as client:
            client.sendmail(BOB, [FAR, "x@gone.example"], content("listed"), mail_options=["BODY=8BITMIME"])
        wait_until(lambda: not program.queue(), "all has gone")
        for far, name in ((sink, "plain"), (other, "tagged"), (third, "listed")):
            assert [arrived.message_id for arrived in far.arrived] == [f"{name}@example.org"]
            assert far.arrived[0].recipients == (FAR,)
        assert len(program.inbox(BOB)) == 1  # no rule for everything takes our own
        told = program.command("route", FAR, "--account", ALICE, "--tag", "bulk")
        assert "rule route 1: matches" in told
    finally:
        other.close()
        third.close()


def test_a_smarthost_stands_in_for_another(make_program: MakeProgram, sink: Sink, down_sink: Sink) -> None:
    program = make_program(
        {
            "smarthost": [smarthost("down", down_sink), smarthost("up", sink)],
            "route": [{"via": ["down", "up"]}],
            "queue": QUICK,
        }
    )
    program.add(ALICE).start()
    with program.submission(ALICE) as client:
        for number in range(5):
            client.sendmail(ALICE, [FAR], content(f"n{number}"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 5, "the other one has it all")
    wait_until(lambda: not program.queue(), "the queue is empty")
    assert not program.told("deferred")


def test_what_a_rule_holds_waits_for_an_operator_also_across_a_restart(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(
        {
            "smarthost": [smarthost("one", sink)],
            "route": [
                {"name": "trap", "tags": ["odd"], "via": "hold"},
                {"name": "own", "recipients": [BOB], "via": "hold"},
                {"via": "one"},
            ],
            "queue": QUICK,
        }
    )
    program.add(ALICE, BOB).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [FAR, BOB], tagged("held", "X-Postroom-Tag: odd"), mail_options=["BODY=8BITMIME"])
        client.sendmail(ALICE, [FAR], content("free"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 1, "the other one goes")
    program.stop()
    program.start()
    (entry,) = program.queue()
    assert {each["address"]: each["state"] for each in entry["recipients"]} == {FAR: "held", BOB: "held"}
    assert program.inbox(BOB) == []
    program.command("queue", "release", "--all")
    wait_until(lambda: not program.queue(), "it goes")
    assert [arrived.message_id for arrived in sink.arrived] == ["free@example.org", "held@example.org"]
    assert len(program.inbox(BOB)) == 1


def test_our_own_by_command_and_maildir(make_program: MakeProgram, tmp_path: Path) -> None:
    script = tmp_path / "robot"
    script.write_text(f'#!/bin/sh\ncat > "{tmp_path}/got-$1"\necho "5.1.1 $1 has left"\nexit $2\n')
    script.chmod(0o755)
    program = make_program(
        {
            "command": [
                {"name": "good", "command": [str(script), "{local}", "0"]},
                {"name": "bad", "command": [str(script), "{local}", "67"]},
            ],
            "maildir": [{"name": "boxes", "path": f"{tmp_path}/mail/{{domain}}/{{local}}"}],
            "route": [
                {"recipients": ["robot@example.org"], "via": "good"},
                {"recipients": ["gone@example.org"], "via": "bad"},
                {"domains": ["example.net"], "via": "boxes"},
            ],
            "queue": QUICK,
        }
    )
    program.add(ALICE, "robot@example.org", "gone@example.org", BOB).start()
    recipients = ["robot@example.org", "gone@example.org", "bob+tag@example.net", BOB, ALICE]
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, recipients, content("many"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: not program.queue() and len(program.inbox(ALICE)) == 2, "the message and the DSN")
    assert (tmp_path / "got-robot").read_bytes().endswith(content("many").replace(b"\r\n", b"\n"))
    (dsn,) = [message for message in program.inbox(ALICE) if b"multipart/report" in message]
    assert b"gone has left" in dsn
    assert b"robot@example.org" not in dsn.partition(b"Final-Recipient")[2].partition(b"\r\n\r\n")[0]
    (file,) = (tmp_path / "mail" / "example.net" / "bob" / "new").iterdir()
    assert b"Delivered-To: bob+tag@example.net\n" in file.read_bytes()
    assert program.inbox(BOB) == []


def test_an_account_that_forwards(make_program: MakeProgram, sink: Sink) -> None:
    settings = {"smarthost": [smarthost("one", sink)], "route": [{"via": "one"}], "queue": QUICK}
    program = make_program(settings).add(ALICE, BOB).start()
    program.command("user", "forward", BOB, "--to", FAR)
    wait_until(lambda: "someone@remote.example" in program.command("user", "show", BOB), "it is noted")

    def send(name: str) -> None:
        with program.submission(ALICE) as client:
            client.sendmail(ALICE, [BOB], content(name), mail_options=["BODY=8BITMIME"])

    def both() -> bool:
        send("again")
        return bool(sink.arrived)

    wait_until(both, "the server has learned of it, and the copy has gone")
    assert program.inbox(BOB)
    assert sink.arrived[0].recipients == (FAR,)
