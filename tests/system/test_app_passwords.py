"""App passwords beside a running server: taken for what they are for, and of no use once they are removed."""

import poplib
import smtplib

from tests.system.fixtures import MakeProgram
from tests.system.program import PASSWORD, Program, wait_until

ALICE = "alice@example.org"


def may_submit(program: Program, password: str) -> bool:
    try:
        with program.smtp("submissions") as client:
            client.login(ALICE, password)
    except smtplib.SMTPAuthenticationError:
        return False
    return True


def test_made_used_and_removed(make_program: MakeProgram) -> None:
    program = make_program({"lockout": {"exempt_networks": ["127.0.0.0/8"]}}).add(ALICE).start()
    phone = program.listing("user", "app-password", "add", ALICE, "--label", "phone")["password"]
    mailer = program.listing("user", "app-password", "add", ALICE, "--label", "mailer", "--protocol", "pop3")[
        "password"
    ]
    wait_until(lambda: may_submit(program, phone), "the new app password is known")
    assert not may_submit(program, mailer)
    program.pop3(ALICE, mailer).quit()
    assert may_submit(program, PASSWORD)
    program.command("user", "set", ALICE, "--app-passwords-only")
    wait_until(lambda: not may_submit(program, PASSWORD), "her own password is refused")
    assert may_submit(program, phone)
    rows = program.listing("user", "app-password", "list", ALICE)
    assert [(row["label"], bool(row["last_used"])) for row in rows] == [("phone", True), ("mailer", True)]
    program.command("user", "app-password", "remove", ALICE, "--label", "phone")
    wait_until(lambda: not may_submit(program, phone), "the app password is of no use")
    program.pop3(ALICE, mailer).quit()
    program.command("user", "app-password", "remove", ALICE, "--label", "mailer")
    wait_until(lambda: not may_collect(program, mailer), "the other is of no use either")
    log = program.log_text()
    assert not any(secret in log for secret in (phone, mailer, PASSWORD))


def may_collect(program: Program, password: str) -> bool:
    try:
        program.pop3(ALICE, password).quit()
    except poplib.error_proto:
        return False
    return True
