"""The server's life: ready, draining, reloading, unprivileged, never beyond its ceilings."""

import os
import poplib
import pwd
import resource
import signal
import smtplib
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import HOSTNAME, PATIENCE, Program, wait_until
from tests.system.setups import added_to, content


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        return client.makefile("rb").readline()


def certificate(program: Program) -> bytes | None:
    with (
        socket.create_connection(("127.0.0.1", program.port("submissions")), timeout=PATIENCE) as raw,
        program.trust.wrap_socket(raw, server_hostname=HOSTNAME) as client,
    ):
        return client.getpeercert(binary_form=True)


def test_ready_means_that_every_port_answers(make_program: MakeProgram) -> None:
    program = make_program().start()
    for role in ("mx", "submission"):
        assert greeting(program.port(role)).startswith(b"220 " + HOSTNAME.encode())
    assert greeting(program.port("pop3")).startswith(b"+OK")
    program.smtp("submissions").quit()
    poplib.POP3_SSL("127.0.0.1", program.port("pop3s"), context=program.trust, timeout=PATIENCE).quit()
    with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/healthz", timeout=PATIENCE) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/metrics", timeout=PATIENCE) as answer:
        assert b"postroom_sessions_total" in answer.read()
    assert program.stop() == 0


def test_sigterm_lets_a_transaction_finish_and_tells_idle_sessions(make_program: MakeProgram) -> None:
    program = make_program().add("bob@example.net").start()
    sent = content("drained")
    idle = program.smtp()
    busy = program.smtp()
    busy.mail("alice@elsewhere.example")
    busy.rcpt("bob@example.net")
    assert busy.docmd("DATA")[0] == 354
    busy.send(sent[:40])
    program.signal(signal.SIGTERM)
    assert idle.getreply()[0] == 421
    program.wait_told("server_draining")
    with pytest.raises(ConnectionRefusedError):
        greeting(program.port("mx"))
    busy.send(sent[40:].replace(b"\r\n.", b"\r\n..") + b".\r\n")
    assert busy.getreply()[0] == 250
    idle.close()
    busy.close()
    assert program.wait() == 0
    program.start()
    (received,) = program.inbox("bob@example.net")
    added_to(received, sent)


def test_a_drain_ends_although_a_client_does_not(make_program: MakeProgram) -> None:
    program = make_program({"connections": {"drain_timeout": 1}}).start()
    stuck = program.smtp()
    stuck.docmd("NOOP")
    with socket.create_connection(("127.0.0.1", program.port("submissions"))):  # never begins its handshake
        assert program.stop() == 0
    stuck.close()


def test_sighup_takes_a_new_certificate_into_use(make_program: MakeProgram) -> None:
    program = make_program().start()
    before = certificate(program)
    renewed = program.write_certificate()
    assert certificate(program) == before
    program.signal(signal.SIGHUP)
    program.wait_told("settings_reloaded")
    assert certificate(program) == renewed != before


def test_settings_that_are_wrong_are_not_reloaded(make_program: MakeProgram) -> None:
    program = make_program().start()
    program.settings_file.write_text(program.settings_file.read_text() + "\n[smtp]\nmax_sise = 5\n")
    program.signal(signal.SIGHUP)
    assert "max_sise" in program.wait_told("settings_not_reloaded")["trouble"]
    assert greeting(program.port("mx")).startswith(b"220 ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
def test_root_becomes_the_user_of_the_settings(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    program = Program(open_folder / "server", {"user": "nobody"})
    program.add("alice@example.org").start()
    try:
        if all(folder.stat().st_mode & 0o005 == 0o005 for folder in Path(resource.__file__).parents):
            # Commands become the owner of the store as well: where Python is closed to that user they cannot run.
            assert "alice@example.org" in program.command("user", "list")
        status = Path(f"/proc/{program.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert "0" not in fields["Groups"].split()
        with program.smtp() as client:
            client.sendmail("x@elsewhere.example", ["alice@example.org"], content("unprivileged"))
        assert len(program.inbox("alice@example.org")) == 1
        program.write_certificate()  # a reload reads the key again, as the user that the server has become
        os.chown(open_folder / "server" / "key.pem", nobody.pw_uid, nobody.pw_gid)
        program.signal(signal.SIGHUP)
        program.wait_told("settings_reloaded")
        assert program.stop() == 0
    finally:
        program.kill()


def test_sessions_beyond_the_total_are_turned_away(make_program: MakeProgram) -> None:
    program = make_program({"connections": {"total": 3}}).start()
    clients = [program.smtp() for _ in range(3)]
    assert greeting(program.port("mx")).startswith(b"421 ")
    program.wait_told("session_refused", reason="total")
    clients.pop().quit()
    wait_until(lambda: greeting(program.port("mx")).startswith(b"220 "), "a place is free again")
    for client in clients:
        client.quit()


def test_sessions_of_one_address_are_limited(make_program: MakeProgram) -> None:
    program = make_program({"connections": {"per_address": 2, "unlimited_networks": []}}).start()
    clients = [program.smtp() for _ in range(2)]
    assert greeting(program.port("mx")).startswith(b"421 ")
    program.wait_told("session_refused", reason="address")
    for client in clients:
        client.quit()


def test_out_of_file_descriptors_is_a_pause_and_not_an_end(make_program: MakeProgram) -> None:
    program = make_program().start()
    program.smtp().quit()
    used = len(os.listdir(f"/proc/{program.pid}/fd"))
    soft, hard = resource.prlimit(program.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (used + 4, hard))
    clients = [socket.create_connection(("127.0.0.1", program.port("mx"))) for _ in range(20)]
    program.wait_told("listener_paused")
    for client in clients:
        client.close()
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (soft, hard))

    def serves() -> bool:
        try:
            client = program.smtp()
        except (smtplib.SMTPException, OSError):
            return False
        client.quit()
        return True

    wait_until(serves, "it accepts again")


def test_a_client_that_begins_its_handshake_at_once_is_heard(make_program: MakeProgram) -> None:
    """The first octets of the handshake may come before the server has turned to the connection."""
    program = make_program().start()
    for role in ("submissions", "pop3s") * 20:
        address = ("127.0.0.1", program.port(role))
        with (
            socket.create_connection(address, timeout=PATIENCE) as raw,
            program.trust.wrap_socket(raw, server_hostname=HOSTNAME) as client,
        ):
            assert client.recv(3) in (b"220", b"+OK")


def test_a_client_that_cannot_do_tls_does_not_hurt(make_program: MakeProgram) -> None:
    program = make_program({"connections": {"tls_timeout": 1}}).start()
    with socket.create_connection(("127.0.0.1", program.port("submissions")), timeout=PATIENCE) as client:
        client.sendall(b"EHLO client.example\r\n")
        assert b"250" not in client.makefile("rb").read()
    program.wait_told("tls_failed", role="submissions")
    with pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("127.0.0.1", program.port("submissions"), context=ssl.create_default_context())
    program.smtp("submissions").quit()
