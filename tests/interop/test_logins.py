"""Real clients log in by each mechanism that they know, and a wrong secret keeps each of them out."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from tests.interop import logins
from tests.interop.logins import ALICE, BOB, Attempt, Client
from tests.system.program import PASSWORD, Program, wait_until

ISSUER = "https://login.example"
_SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256")
_TOKENS = ("OAUTHBEARER", "XOAUTH2")
KNOWN: tuple[tuple[str, Client, str, tuple[str, ...]], ...] = (
    ("curl", logins.curl_smtp, "smtp", ("PLAIN", "LOGIN", "OAUTHBEARER", "EXTERNAL")),
    ("curl", logins.curl_pop3, "pop3", ("PLAIN", "LOGIN", "OAUTHBEARER", "EXTERNAL")),
    ("swaks", logins.swaks, "smtp", ("PLAIN", "LOGIN")),
    ("msmtp", logins.msmtp, "smtp", ("PLAIN", "LOGIN", *_SCRAM, *_TOKENS, "EXTERNAL")),
    ("mpop", logins.mpop, "pop3", ("USER", "PLAIN", "LOGIN", *_SCRAM, *_TOKENS, "EXTERNAL")),
    ("mutt", logins.mutt, "smtp", ("PLAIN", "LOGIN", *_SCRAM, "OAUTHBEARER")),
    ("s-nail", logins.s_nail, "smtp", ("PLAIN", "LOGIN", "XOAUTH2", "EXTERNAL")),
    ("smtplib", logins.python_smtplib, "smtp", ("PLAIN", "LOGIN")),
    ("poplib", logins.python_poplib, "pop3", ("USER",)),
    ("node", logins.nodemailer, "smtp", ("PLAIN", "LOGIN", "XOAUTH2")),
    ("gsasl", logins.gsasl, "smtp", ("PLAIN", *_SCRAM, "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS")),
)
CASES = [
    pytest.param(
        client,
        protocol,
        mechanism,
        id=f"{program}-{protocol}-{mechanism}",
        marks=[] if program in ("smtplib", "poplib") else [pytest.mark.needs(program)],
    )
    for program, client, protocol, mechanisms in KNOWN
    for mechanism in mechanisms
]


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": "one"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, key: ECKey) -> Iterator[tuple[Program, Path, Path]]:
    """A server that knows all mechanisms; Alice's client certificate, and that of a stranger."""
    folder = tmp_path_factory.mktemp("logins")
    program = Program(folder / "server", _settings(folder)).add(ALICE, BOB)
    (folder / "keys.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "clients.pem")
    certificates = [folder / "alice.pem", folder / "stranger.pem"]
    for address, certificate in zip((ALICE, "stranger@elsewhere.example"), certificates, strict=True):
        authority.issue_cert(address).private_key_and_cert_chain_pem.write_to_path(certificate)
    program.start()
    try:
        yield program, certificates[0], certificates[1]
    finally:
        program.stop()


def _settings(folder: Path) -> dict[str, object]:
    return {
        "tls": {"client_ca": str(folder / "clients.pem")},
        "oauth": {"issuer": ISSUER, "jwks_file": str(folder / "keys.json")},
        "lockout": {"address_failures": 0, "account_failures": 0, "delay": 0},
        "limits": {"account_messages": [], "account_recipients": [], "tell_owner": False},
    }


def token(key: ECKey, *, issuer: str = ISSUER) -> str:
    now = int(time.time())
    return jwt.encode(
        {"alg": "ES256", "kid": "one"}, {"iss": issuer, "email": ALICE, "iat": now, "exp": now + 600}, key
    )


@pytest.mark.parametrize(("client", "protocol", "mechanism"), CASES)
def test_the_right_secret_lets_in_and_a_wrong_one_does_not(
    world: tuple[Program, Path, Path], key: ECKey, tmp_path: Path, client: Client, protocol: str, mechanism: str
) -> None:
    if client is logins.nodemailer and not logins.has_nodemailer():
        pytest.skip("not installed: nodemailer")
    program, certificate, strangers = world
    right, wrong = PASSWORD, "wrong horse"
    if mechanism in _TOKENS:
        right, wrong = token(key), token(key, issuer="https://elsewhere.example")
    begun = program.log_file.stat().st_size
    assert client(Attempt(program, mechanism, right, certificate, tmp_path)), program.log_text()[begun:]

    def told(event: str) -> list[dict[str, object]]:
        return [line for line in program.log(begun) if line["event"] == event and protocol in _protocols(line)]

    wait_until(lambda: bool(told("login_succeeded")), "the log tells of it")
    assert {line["mechanism"] for line in told("login_succeeded")} == {mechanism}
    assert not told("login_failed")
    assert not client(Attempt(program, mechanism, wrong, strangers, tmp_path))
    wait_until(lambda: bool(told("login_failed")), "the log tells of the failure")
    assert len(told("login_succeeded")) == 1
    assert all(line["mechanism"] == mechanism for line in told("login_failed"))
    assert wrong not in program.log_text()


def _protocols(line: dict[str, object]) -> str:
    return "pop3" if str(line["role"]).startswith("pop3") else "smtp"
