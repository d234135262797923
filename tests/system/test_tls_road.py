"""The program obeys what the DNS says of the far end's TLS, and says so."""

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from tests.fakes.chains import Issuer, der, make_leaf, make_root
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import wait_until
from tests.system.setups import by_mx, content
from tests.system.sink import Sink

ALICE, REMOTE = "alice@example.org", "someone@remote.example"


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


def ee_record(certificate: x509.Certificate) -> str:
    return f"3 0 1 {hashlib.sha256(der(certificate)).hexdigest()}"


def test_dane_is_obeyed_and_told(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink, root: Issuer, tmp_path: Path
) -> None:
    sink.behaviour.starttls = root.server_context("mx.remote.example", folder=tmp_path)
    (path,) = tmp_path.glob("mx.remote.example.*.pem")
    shown = x509.load_pem_x509_certificate(path.read_bytes())
    name = f"_{sink.port}._tcp.mx.remote.example"
    nameserver.zone.add(name, "TLSA", ee_record(make_leaf(root, "mx.remote.example")))
    nameserver.zone.secure.update({"remote.example", "mx.remote.example", name})
    settings = by_mx(nameserver, sink)
    settings["outbound"]["tls"] = True
    settings["dns"]["cache"] = 0  # so that a mended record counts at once
    program = make_program(settings).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("dane"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: "(policy: dane)" in program.command("why", "dane@example.org"), "the attempt is told")
    story = program.command("why", "dane@example.org")
    assert "deferred" in story
    assert "no TLSA record of mx.remote.example is of its certificates" in story
    assert not sink.arrived

    nameserver.zone.records[name] = {"TLSA": (ee_record(shown),)}
    wait_until(lambda: bool(sink.arrived), "it went on once the record is right")
    wait_until(lambda: not program.queue(), "the queue is empty")
    assert "relayed" in program.command("why", "dane@example.org")


def test_what_was_learnt_outlives_the_process(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink, root: Issuer, tmp_path: Path
) -> None:
    sink.behaviour.starttls = root.server_context("mx.remote.example", folder=tmp_path)
    settings = by_mx(nameserver, sink)
    settings["outbound"]["tls"] = True
    settings["tlsrpt"] = {"enabled": True}
    program = make_program(settings).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("first"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(sink.arrived), "the far end has it")
    assert program.stop() == 0
    program.start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("second"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.arrived) == 2, "the far end has both")
    assert "policy: opportunistic" in program.command("why", "second@example.org")
