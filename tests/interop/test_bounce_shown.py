"""A DSN of ours in a mail program: it shows who failed and why, and finds the parts of the report."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import wait_until
from tests.system.setups import by_mx, content
from tests.system.sink import Sink

ALICE = "alice@example.org"
REMOTE = "someone@remote.example"


@pytest.fixture(params=["", "Content-Language: de-DE\r\n"], ids=["english", "german"])
def language(request: pytest.FixtureRequest) -> str:
    """What the header of the message says of its language."""
    field: str = request.param
    return field


@pytest.fixture
def mbox(make_program: MakeProgram, nameserver: Nameserver, sink: Sink, tmp_path: Path, language: str) -> Path:
    """A mailbox file with the one DSN that the sender was sent."""
    program = make_program(by_mx(nameserver, sink)).add(ALICE).start()
    sink.behaviour.recipients[REMOTE] = "550 5.1.1 nobody of that name here"
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], language.encode() + content("bounced"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(program.inbox(ALICE)), "the DSN is there")
    (dsn,) = program.inbox(ALICE)
    file = tmp_path / "mbox"
    file.write_bytes(b"From MAILER-DAEMON Mon Nov 23 12:00:00 2026\n" + dsn.replace(b"\r\n", b"\n") + b"\n")
    return file


@pytest.mark.needs("s-nail")
def test_s_nail_shows_it(mbox: Path, tmp_path: Path, language: str) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    command = ["s-nail", "-:/", "-R", "-f", str(mbox)]
    done = subprocess.run(
        command, input=b"headers\ntype 1\nxit\n", capture_output=True, timeout=60, check=True, env=environment
    )
    shown = done.stdout.decode(errors="replace")
    assert "nobody of that name here" in shown
    assert REMOTE in shown
    assert "multipart/report" in shown
    if language:
        assert "Dieses Postfach gibt es nicht." in shown
        assert "Prüfen Sie die Adresse auf Tippfehler" in shown  # decoded, whatever it was sent as
    else:
        assert "There is no such mailbox." in shown
    assert "Content-Type: message/delivery-status" in shown
    assert "Message-ID: <bounced@example.org>" in shown
