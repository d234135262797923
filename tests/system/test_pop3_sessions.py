"""Collection: one session at a time, names that last, nothing deleted without QUIT."""

import poplib

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import Program
from tests.system.setups import content

BOB = "bob@example.net"


def send(program: Program, *names: str) -> None:
    with program.smtp() as client:
        for name in names:
            client.sendmail("x@elsewhere.example", [BOB], content(name))


def uidl(program: Program) -> list[bytes]:
    client = program.pop3(BOB)
    try:
        return [line.split()[1] for line in client.uidl()[1]]
    finally:
        client.quit()


def test_a_mailbox_is_open_to_one_session_at_a_time(make_program: MakeProgram) -> None:
    program = make_program().add(BOB).start()
    first = program.pop3(BOB)
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        program.pop3(BOB)
    send(program, "meanwhile")  # mail goes on arriving
    assert first.stat()[0] == 0  # what was there at login is what the session sees
    first.quit()
    second = program.pop3(BOB)
    assert second.stat()[0] == 1
    second.quit()


def test_a_session_that_is_lost_frees_its_mailbox_and_deletes_nothing(make_program: MakeProgram) -> None:
    program = make_program().add(BOB).start()
    send(program, "one", "two")
    client = program.pop3(BOB)
    client.dele(1)
    client.close()
    program.wait_told("mailbox_closed")
    assert len(program.inbox(BOB)) == 2


def test_names_of_messages_last(make_program: MakeProgram) -> None:
    program = make_program().add(BOB).start()
    send(program, "one", "two", "three")
    before = uidl(program)
    assert len(set(before)) == 3
    client = program.pop3(BOB)
    client.dele(2)
    client.quit()
    program.stop()
    program.start()
    send(program, "four")
    after = uidl(program)
    assert after[:2] == [before[0], before[2]]
    assert len(after) == 3
    assert after[2] not in before
    program.kill()
    program.start()
    assert uidl(program) == after
