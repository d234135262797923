"""OpenDKIM verifies what we sign, and we verify what it signs: over a thousand odd messages each way.

It runs in its test mode, many messages to a process, with the keys from a file instead of the DNS.
"""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from tests.fakes.dkim_signer import ED25519, RSA
from tests.fakes.odd_mail import odd_message

from postroom.clock import SystemClock
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, write_key

pytestmark = pytest.mark.needs("opendkim")

MESSAGES = 1000
AT_ONCE = 125
KEYS = [
    SigningKey("example.org", "r1", Algorithm.RSA, RSA),
    SigningKey("example.org", "e1", Algorithm.ED25519, ED25519),
]
RSA_FORMS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]
ED25519_FORMS = ["relaxed/simple", "relaxed/relaxed"] * 2
"""Its Ed25519 signatures of simple headers do not verify with itself either: they are folded after they are hashed."""
SIGNED = [
    (number, key, form)
    for number, (key, form) in enumerate(
        [*[(KEYS[0], form) for form in RSA_FORMS], *[(KEYS[1], form) for form in ED25519_FORMS]]
    )
]

_INSERTED = re.compile(r"^### INSHEADER: idx=\d+ hname='([^']*)' hvalue='(.*?)'\n", re.MULTILINE | re.DOTALL)


class OpenDkim:
    """OpenDKIM in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        records = "".join(f"{key.name} {key_record(key)}\n" for key in KEYS)
        (folder / "records").write_text(records)
        for key in KEYS:
            path = folder / f"{key.selector}.pem"
            path.touch(0o600)
            path.write_bytes(write_key(key.private))

    def verify(self, messages: Sequence[bytes]) -> list[list[str]]:
        """The results for the signatures of each message, from top to bottom."""
        told = self._run(messages, Mode="v", TestDNSData=f"file:{self._folder}/records")
        return [re.findall(r"\bdkim=(\w+)", text) for name, text in _INSERTED.findall(told)]

    def sign(self, messages: Sequence[bytes], key: SigningKey, form: str) -> list[bytes]:
        """The DKIM-Signature field for each message."""
        told = self._run(
            messages,
            Mode="s",
            Domain=key.domain,
            Selector=key.selector,
            KeyFile=f"{self._folder}/{key.selector}.pem",
            SignatureAlgorithm=key.algorithm.value,
            Canonicalization=form,
            OversignHeaders="From,Subject,Reply-To",
            InternalHosts="0.0.0.0/0",
            RequireSafeKeys="no",
        )
        fields = [f"{name}: {text}\n" for name, text in _INSERTED.findall(told)]
        return [field.replace("\n", "\r\n").encode() for field in fields]

    def _run(self, messages: Sequence[bytes], **settings: str) -> str:
        config = self._folder / "opendkim.conf"
        lines = {**settings, "Syslog": "no", "FixCRLF": "yes"}
        config.write_text("".join(f"{name} {text}\n" for name, text in lines.items()))
        names = [f"message{number}" for number in range(len(messages))]
        for name, message in zip(names, messages, strict=True):
            (self._folder / name).write_bytes(message)
        program = shutil.which("opendkim", path="/usr/bin:/usr/sbin:/usr/local/sbin")
        assert program
        command = [program, "-x", str(config), "-t", ",".join(names), "-v", "-v"]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, timeout=60, check=True)
        return done.stdout.decode("latin-1").replace("\r", "") + "\n"


@pytest.fixture
def opendkim(tmp_path: Path) -> OpenDkim:
    return OpenDkim(tmp_path)


def mail(number: int) -> list[bytes]:
    """So many odd messages, the same each time."""
    return [odd_message(Random(number * 100_000 + seed)) for seed in range(AT_ONCE)]


def sent(message: bytes) -> bytes:
    """What arrives of it: DATA ends every line. OpenDKIM adds no CRLF to a last line, as RFC 6376 §3.4 says."""
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def as_milters_see(message: bytes) -> bytes:
    """One space after each colon: its test mode takes it for granted, as milters do, and hashes it (simple)."""
    header, end, body = message.partition(b"\r\n\r\n")
    return re.sub(rb"^([!-9;-~]+):(?:\r\n(?=[ \t]))?[ \t]*", rb"\1: ", header, flags=re.MULTILINE) + end + body


@pytest.mark.parametrize("number", range(MESSAGES // AT_ONCE))
def test_it_verifies_what_we_sign(opendkim: OpenDkim, number: int) -> None:
    messages = mail(number)
    now = time.time()

    async def signed() -> list[bytes]:
        return [await sign(message, b"", KEYS, now) + message for message in messages]

    whole = [sent(message) for message in asyncio.run(signed())]
    assert opendkim.verify(whole) == [["pass", "pass"]] * AT_ONCE
    changed = [message.replace(b"joe@", b"jim@") for message in whole]
    assert opendkim.verify(changed) == [["fail", "fail"]] * AT_ONCE


@pytest.mark.parametrize(
    ("number", "key", "form"), SIGNED, ids=[f"{key.selector}-{form}-{number}" for number, key, form in SIGNED]
)
def test_we_verify_what_it_signs(opendkim: OpenDkim, number: int, key: SigningKey, form: str) -> None:
    messages = [as_milters_see(sent(message)) for message in mail(100 + number)]
    fields = opendkim.sign(messages, key, form)
    assert all(f"c={form};".encode() in field for field in fields)
    signed = [field + message for field, message in zip(fields, messages, strict=True)]
    zone = Zone.of({key.name: {"TXT": [f'"{key_record(key)}"']} for key in KEYS})
    checker = SignatureChecker(ZoneResolver(zone), SystemClock())

    async def found(message: bytes) -> str:
        (check,) = (await checker.check(message)).dkim
        return check.reason or check.result.value

    async def all_found() -> list[str]:
        return [await found(message) for message in signed] + [await found(message[:-2]) for message in signed]

    assert asyncio.run(all_found()) == ["pass"] * 2 * AT_ONCE
