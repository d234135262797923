"""Limits and lockout in the running server: over real sockets, beside real commands, and after kill -9."""

import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.program import Program, wait_until
from tests.system.setups import content

ALICE, BOB = "alice@example.org", "bob@example.org"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    settings = {
        "limits": {"account_messages": ["3/1h"], "warn_at": 0.6, "exempt_networks": []},
        "lockout": {"address_failures": 3, "account_failures": 0, "delay": 0, "ban": "1h"},
        "delivery": {"postmaster": BOB},
    }
    server = Program(tmp_path, settings).add(ALICE, BOB)
    yield server
    server.kill()


def send(program: Program, times: int = 1) -> tuple[int, bytes] | None:
    """Messages from Alice to Bob; the refusal, or None."""
    with program.submission(ALICE) as client:
        for number in range(times):
            try:
                client.sendmail(ALICE, [BOB], content(f"m{number}"))
            except smtplib.SMTPSenderRefused as refusal:
                error = refusal.smtp_error
                return refusal.smtp_code, error if isinstance(error, bytes) else error.encode()
    return None


def fail_login(program: Program) -> None:
    with program.smtp("submissions") as client:
        client.user, client.password = ALICE, "not the password"
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.auth("PLAIN", client.auth_plain)  # login() would try each mechanism


def is_turned_away(program: Program) -> bool:
    try:
        with program.smtp():
            return False
    except (smtplib.SMTPException, OSError):
        return True


def test_a_limit_is_told_survives_kill_and_is_changed_beside_the_server(program: Program) -> None:
    program.start()
    assert send(program, 3) is None
    refusal = send(program)
    assert refusal is not None
    code, text = refusal
    assert code == 450
    assert text.startswith(b"4.7.1 The limit of 3 messages per hour for your account is reached, try again in ")
    assert program.wait_told("limit_near", scope="account_messages", subject=ALICE)
    assert program.wait_told("limit_reached", scope="account_messages", subject=ALICE, address="127.0.0.1")

    # The owner and the operator hear of it: at 60 %, and at the limit.
    wait_until(lambda: len(program.inbox(ALICE)) == 2, "Alice has two notices")
    wait_until(lambda: len(program.inbox(BOB)) == 3 + 2, "Bob has her messages and two notices")
    assert all(b"Auto-Submitted: auto-generated\r\n" in notice for notice in program.inbox(ALICE))

    def is_written() -> bool:
        messages, _ = program.listing("limits", "show", ALICE)["limits"]
        return bool(messages["rates"][0]["used"] == 3)

    wait_until(is_written, "what is used up is in the store")
    program.kill()
    assert is_written()  # also while the server is down
    program.start()
    assert send(program) is not None

    program.command("limits", "set", ALICE, "--messages", "none")
    began = time.monotonic()
    wait_until(lambda: send(program) is None, "the account is not limited any more")
    assert time.monotonic() - began < 5  # a second, and what the logins above take
    assert not program.told("internal_error")
    assert program.stop() == 0


def test_a_ban_survives_kill_and_is_lifted_beside_the_server(program: Program) -> None:
    program.start()
    for _ in range(3):
        fail_login(program)
    assert program.wait_told("locked_out", address="127.0.0.1", scope="address", reason="3 failed logins")
    assert is_turned_away(program)
    assert program.wait_told("session_refused", address="127.0.0.1", reason="banned")
    wait_until(lambda: bool(program.listing("bans", "list")), "the ban is in the store")
    program.kill()
    (ban,) = program.listing("bans", "list")
    assert (ban["subject"], ban["reason"], ban["failures"]) == ("127.0.0.1", "3 failed logins", 3)
    program.start()
    assert is_turned_away(program)

    program.command("bans", "lift", "127.0.0.1")
    wait_until(lambda: not is_turned_away(program), "the address gets in", 5)
    assert program.wait_told("lockout_lifted", subject="127.0.0.1")
    program.command("bans", "add", "127.0.0.0/8", "--reason", "spam")
    wait_until(lambda: is_turned_away(program), "the network is shut out", 5)
    assert not program.told("internal_error")
    assert program.stop() == 0
