"""Alerts leave a running server: also while its store takes nothing, by a webhook and by a command."""

import hashlib
import hmac
import http.server
import json
import os
import smtplib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, to_toml, wait_until

ALICE = "alice@example.org"


class Hooks(http.server.ThreadingHTTPServer):
    """Takes what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.headers["Postroom-Signature"] or "", body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    server = Hooks()
    yield server
    server.shutdown()
    server.server_close()


def test_a_store_that_takes_nothing(make_program: MakeProgram, tmp_path: Path) -> None:
    script, out = tmp_path / "alert", tmp_path / "out"
    script.write_text(f"#!/bin/sh\ncat > {out}.new && mv {out}.new {out}\n")
    script.chmod(0o755)
    program = make_program({"alert": [{"on": ["store_trouble"], "command": [str(script)]}]}).add(ALICE)
    program.settings["store"] = {"reserve": 1 << 60}  # no disk has so much room
    program.settings_file.write_text(to_toml(program.settings))
    program.start()
    with program.smtp() as client, pytest.raises(smtplib.SMTPResponseException) as caught:
        client.sendmail("bob@example.net", [ALICE], b"Subject: x\r\n\r\nx\r\n")
    assert caught.value.smtp_code == 452
    program.wait_told("alert_raised", on="store_trouble", target=str(script))
    said: dict[str, Any] = json.loads(out.read_text())
    assert (said["what"], said["hostname"]) == ("store_trouble", program.settings["hostname"])
    assert said["examples"][0]["reason"]


def test_guessing_is_told_to_a_webhook(make_program: MakeProgram, hooks: Hooks) -> None:
    url = f"http://127.0.0.1:{hooks.server_address[1]}/hook/in-the-path"
    settings = {
        "alert": [{"on": ["login_failed"], "threshold": "2/1m", "webhook": url, "secret": "shared"}],
        "lockout": {"delay": 0},
    }
    program = make_program(settings).add(ALICE).start()
    for _ in range(2):
        with program.smtp("submissions") as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(ALICE, "wr0ng-guess")
    wait_until(lambda: bool(hooks.bodies), "the webhook is called")
    ((signature, body),) = hooks.bodies
    assert signature == hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    said: dict[str, Any] = json.loads(body)
    assert (said["what"], said["count"], said["window"]) == ("login_failed", 2, 60)
    assert {(example["address"], example["account"]) for example in said["examples"]} == {("127.0.0.1", ALICE)}
    assert b"wr0ng-guess" not in body
    program.wait_told("alert_raised", on="login_failed")
    assert "in-the-path" not in program.log_text()


def test_the_test_command(make_program: MakeProgram, hooks: Hooks) -> None:
    url = f"http://127.0.0.1:{hooks.server_address[1]}/"
    program = make_program({"alert": [{"on": ["lockout"], "webhook": url}]})
    assert "sent" in program.command("alerts", "test")
    assert json.loads(hooks.bodies[0][1])["what"] == "test"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
def test_a_server_that_gave_root_up(open_folder: Path, hooks: Hooks) -> None:
    url = f"http://127.0.0.1:{hooks.server_address[1]}/"
    alerts = [{"on": ["login_failed"], "webhook": url}, {"on": ["login_failed"], "command": ["/bin/cat"]}]
    program = Program(open_folder / "server", {"user": "nobody", "alert": alerts}).add(ALICE).start()
    try:
        with program.smtp("submissions") as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(ALICE, "wr0ng-guess")
        wait_until(lambda: len(program.told("alert_raised")) == 2, "both are told")
        assert len(hooks.bodies) == 1
    finally:
        program.kill()
