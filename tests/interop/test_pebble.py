"""Certificates from an ACME authority (RFC 8555), which fetches the challenges from the running server."""

import json
import os
import shutil
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.interop.authority import EAB_KEY, Pebble
from tests.system.fixtures import MakeProgram
from tests.system.program import HOSTNAME, PATIENCE, ROLES, Program, to_toml, wait_until

pytestmark = pytest.mark.needs("pebble")

MakePebble = Callable[..., Pebble]


@pytest.fixture
def make_pebble(tmp_path: Path) -> Iterator[MakePebble]:
    made: list[Pebble] = []

    def make(*, life: int = 0, eab: bool = False) -> Pebble:
        made.append(Pebble(tmp_path / f"pebble{len(made)}", life, eab=eab))
        return made[-1]

    yield make
    for each in made:
        each.close()


def server_of(make_program: MakeProgram, settings: dict[str, Any]) -> Program:
    """A server without a certificate of its own."""
    program = make_program(settings)
    del program.settings["tls"]
    program.settings_file.write_text(to_toml(program.settings))
    return program


def shown(program: Program, role: str = "submissions") -> x509.Certificate:
    """The certificate that a new session is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", program.port(role)), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=HOSTNAME) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def spki_digest(certificate: x509.Certificate) -> str:
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(info).hexdigest()


def test_issued_used_and_renewed_while_sessions_stay(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    program = server_of(make_program, pebble.settings(contact="me@example.org")).start()
    told = program.wait_told("certificate_renewed")
    assert told["names"] == [HOSTNAME]
    # A client that trusts the authority alone, and looks at the name, is content. RFC 8555 §7.4
    trust = pebble.root()
    session = smtplib.SMTP_SSL(timeout=PATIENCE, context=trust)
    session._host = HOSTNAME  # type: ignore[attr-defined]  # what smtplib checks the certificate for
    session.connect("127.0.0.1", program.port("submissions"))
    first = shown(program)
    assert not is_self_signed(first)
    stored = program.folder / "data" / "acme"
    assert stored.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in stored.iterdir()} == {0o600}

    assert program.command("certificate", "renew") == f"renewed {HOSTNAME}\n"

    second = shown(program)
    assert second.serial_number != first.serial_number
    assert second.public_key() == first.public_key(), "the key stays, and TLSA records with it"
    assert session.noop()[0] == 250, "a session opened before the renewal stays usable after it"
    session.quit()
    (listed,) = program.listing("certificate", "list")
    assert (listed["source"], listed["names"], listed["trouble"]) == ("acme", [HOSTNAME], "")
    assert listed["serial"] == f"{second.serial_number:x}"
    assert len(list(stored.glob("account-*.json"))) == 1
    assert pebble.log().count("Issued certificate serial") == 2
    assert "There are now 2 accounts" not in pebble.log()
    found = program.command("check", "--json", code=None)
    assert any("acme: renewed" in finding["what"] for finding in json.loads(found))


def test_a_new_key_is_known_before_it_is_used(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    """RFC 7671 §8.1: its TLSA record can be published first."""
    pebble = make_pebble().start()
    program = server_of(make_program, pebble.settings(keep_key=False)).start()
    program.wait_told("certificate_renewed")
    first = shown(program)

    def tlsa() -> list[str]:
        records = json.loads(program.command("dns", "example.org", "--json"))["records"]
        return [record["data"] for record in records if record["kind"] == "TLSA"]

    now, following = tlsa()
    assert now.split()[-1] == spki_digest(first)
    program.command("certificate", "renew")
    second = shown(program)
    assert following.split()[-1] == spki_digest(second) != spki_digest(first)
    assert tlsa()[0] == following


def test_a_restart_asks_nobody(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    program = server_of(make_program, pebble.settings()).start()
    program.wait_told("certificate_renewed")
    before = shown(program)
    program.stop()
    pebble.stop()  # who asks now, fails
    program.start()
    assert shown(program).serial_number == before.serial_number
    assert not program.told("certificate_trouble")
    assert len(program.told("certificate_renewed")) == 1


def test_renewed_in_time_by_itself(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble(life=15).start()  # seconds: renewed with a third of them left
    program = server_of(make_program, pebble.settings()).start()
    program.wait_told("certificate_renewed")
    first = shown(program)
    wait_until(lambda: len(program.told("certificate_renewed")) > 1, "the certificate is renewed")
    assert shown(program).serial_number != first.serial_number
    assert time.time() < first.not_valid_after_utc.timestamp(), "before the old one ended"


def test_the_authority_cannot_be_reached(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble()
    program = server_of(make_program, pebble.settings()).start()
    told = program.wait_told("certificate_trouble")
    assert "cannot be reached: Connection refused" in told["reason"]
    assert told["next_try"] >= time.time() + 3500, "an hour at least"
    assert is_self_signed(shown(program)), "until there is one, another stands in"
    with program.smtp("mx") as client:
        assert client.has_extn("starttls")
    assert "Connection refused" in program.command("check", code=1)

    program.stop()
    program.start()  # does not bring the next try forward
    assert len(program.told("certificate_trouble")) == 1

    pebble.start()
    program.command("certificate", "renew")
    assert not is_self_signed(shown(program))


def test_the_web_port_answers_too(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    settings = pebble.settings(port=0) | {"web": {"address": "127.0.0.1", "port": pebble.challenge_port}}
    program = server_of(make_program, settings).start()
    program.wait_told("certificate_renewed")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ca_file": ""}, "name its authority in ca_file"),
        ({"directory": "/roots/0"}, "does not speak ACME as expected"),
        ({"domains": ["elsewhere.example.org"]}, "could not confirm elsewhere.example.org"),
        ({"domains": ["blocked.example.org"]}, "refused: "),
    ],
    ids=["its certificate is not trusted", "it is none", "the name leads elsewhere", "the name is refused"],
)
def test_what_goes_wrong_is_told(
    make_program: MakeProgram, make_pebble: MakePebble, change: dict[str, Any], reason: str
) -> None:
    pebble = make_pebble().start()
    settings = pebble.settings(**change)
    acme = settings["acme"]
    if acme["directory"].startswith("/"):
        acme["directory"] = pebble.directory.removesuffix("/dir") + acme["directory"]
    if not acme["ca_file"]:
        del acme["ca_file"]
    told = server_of(make_program, settings).start().wait_told("certificate_trouble")
    assert reason in told["reason"]
    assert told["next_try"] >= time.time() + 3500


def test_an_authority_that_binds_accounts(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble(eab=True).start()  # RFC 8555 §7.3.4
    program = server_of(make_program, pebble.settings()).start()
    assert "asks for an external account binding" in program.wait_told("certificate_trouble")["reason"]
    program.stop()

    key = program.folder / "eab.key"
    for text, reason in (("no key!", "not a key in base64url"), ("d3Jvbmc" * 9, "refused")):
        key.write_text(text)
        key.chmod(0o600)
        program.settings["acme"] |= {"eab_kid": "kid-1", "eab_key_file": "eab.key"}
        program.settings_file.write_text(to_toml(program.settings))
        before = len(program.told("certificate_trouble"))
        program.start()
        program.command("certificate", "renew", code=1)
        wait_until(lambda before=before: len(program.told("certificate_trouble")) > before, reason)  # type: ignore[misc]
        assert reason in program.told("certificate_trouble")[-1]["reason"]
        assert text not in program.log_text()
        program.stop()

    key.write_text(EAB_KEY + "\n")
    program.start()
    program.command("certificate", "renew")
    assert not is_self_signed(shown(program))


def test_the_authority_forgot_us(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    program = server_of(make_program, pebble.settings()).start()
    program.wait_told("certificate_renewed")
    pebble.stop()
    pebble.start()  # with an empty memory
    program.command("certificate", "renew")
    assert len(program.told("certificate_renewed")) == 2


def test_all_roles_show_it(make_program: MakeProgram, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    program = server_of(make_program, pebble.settings()).start()
    program.wait_told("certificate_renewed")
    assert set(ROLES) <= {line.partition(" ")[0] for line in program.told("server_ready")[0]["listeners"]}
    assert shown(program, "pop3s").serial_number == shown(program, "submissions").serial_number


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
def test_a_server_that_gave_root_up(open_folder: Path, make_pebble: MakePebble) -> None:
    pebble = make_pebble().start()
    shutil.copy(pebble.ca_file, open_folder / "authority.pem")
    settings = pebble.settings(ca_file=str(open_folder / "authority.pem")) | {"user": "nobody"}
    program = Program(open_folder / "server", settings)
    del program.settings["tls"]
    program.settings_file.write_text(to_toml(program.settings))
    try:
        program.start().wait_told("certificate_renewed")
        assert not is_self_signed(shown(program))
        stored = program.folder / "data" / "acme"
        assert {path.owner() for path in (stored, *stored.iterdir())} == {"nobody"}
        program.command("certificate", "renew")
        assert {path.owner() for path in (stored, *stored.iterdir())} == {"nobody"}
        program.stop()
        program.start()
        assert not program.told("certificate_trouble")
        assert not program.told("internal_error")
    finally:
        program.kill()
