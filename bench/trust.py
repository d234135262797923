"""Mail that is checked on the way in (SPF, DKIM, DMARC), and signed on the way out; the same for both servers."""

import asyncio
import json
import smtplib
import subprocess
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench import measure
from bench.generators import Sink, send_many
from bench.measure import ACCOUNTS, DOMAIN, LOCAL, REMOTE, Rates, Server
from bench.milters import OpenDkim, check_spf, use_milter
from bench.names import Names
from bench.postfix import Postfix
from bench.postroom import Postroom, by_sink
from bench.processes import BenchError, wait_until
from bench.replay import ReplayResult, write_letters
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key

ORIGIN = "origin.example"
SENDER = f"sender@{ORIGIN}"

_LETTERS = 500  # different ones, sent again and again: each is verified anew whoever verifies it
_PATIENCE = 300
_LINE = b"x" * 78 + b"\r\n"
_CHECKING = """
[dns]
servers = ["{address}:53"]

[mailauth]
exempt_networks = []
"""
_OUT_OF_REACH = """
[dns]
servers = ["127.0.0.1:9"]
"""
"""Nobody answers there: keys are not looked for while signing is measured."""


class Origin:
    """A domain whose mail passes everything: its letters in a file, and the name server that vouches for it."""

    def __init__(self, work: Path) -> None:
        key = SigningKey(ORIGIN, "s1", Algorithm.RSA, make_key(Algorithm.RSA))
        self.letters = work / "letters"
        write_letters(self.letters, asyncio.run(_signed_letters(key)))
        record = key_record(key)
        strings = " ".join(f'"{record[at : at + 250]}"' for at in range(0, len(record), 250))
        self.names = Names(
            work / "names",
            (
                f'{ORIGIN}. 3600 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
                f"{key.name}. 3600 IN TXT {strings}",
                f'_dmarc.{ORIGIN}. 3600 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@{ORIGIN}"',
                f"{ORIGIN}. 3600 IN A 127.0.0.1",
            ),
        )

    def send(self, port: int, recipient: str, messages: int) -> float:
        """As ``send_many``, by the client that sends what was signed."""
        command = [sys.executable, "-m", "bench.replay", "--port", str(port), "--letters", str(self.letters)]
        command += ["--sender", SENDER, "--recipient", recipient, "--messages", str(messages)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if done.returncode != 0:
            raise BenchError(f"the client of signed mail failed: {done.stderr.strip()[-500:]}")
        return ReplayResult(**json.loads(done.stdout)).seconds


def checking_server(name: str, folder: Path, origin: Origin) -> Server:
    """A server that checks what comes from strangers, loopback among them."""
    if name == "postfix":
        postfix = Postfix(folder, domain=DOMAIN, accounts=ACCOUNTS, settings={}, prefix=origin.names.prefix)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        milter = OpenDkim(folder / "opendkim")
        milter.verify(origin.names)
        check_spf(postfix, folder / "spf")
        use_milter(postfix, milter)
        return postfix
    further = _CHECKING.format(address=origin.names.address)
    return Postroom(folder, domain=DOMAIN, accounts=ACCOUNTS, road="", further=further, trusted=())


def checked(server: Server, origin: Origin, messages: int) -> Rates:
    """Until every message is in the mailbox, with what was found about it."""
    rates = measure.stored(server, messages, origin.send)
    found = server.newest(ACCOUNTS[0]).lower()
    for word in (
        b"dkim=pass",
        *((b"spf=pass", b"dmarc=pass") if server.name == "postroom" else (b"received-spf: pass",)),
    ):
        if word not in found:
            raise BenchError(f"{server.name}: no {word.decode()} in what was stored")
    return rates


def signing_server(name: str, folder: Path, sink: Sink) -> Server:
    """A server that signs what its own network sends: RSA-2048, and Postroom Ed25519 too."""
    if name == "postfix":
        postfix = Postfix(folder, domain=DOMAIN, accounts=ACCOUNTS, settings={"relayhost": f"[127.0.0.1]:{sink.port}"})
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        milter = OpenDkim(folder / "opendkim")
        key = make_key(Algorithm.RSA)
        milter.sign(DOMAIN, "s1", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        use_milter(postfix, milter)
        return postfix
    return Postroom(
        folder, domain=DOMAIN, accounts=ACCOUNTS, road=by_sink(sink.port), further=_OUT_OF_REACH, signed=True
    )


def signed(server: Server, sink: Sink, messages: int) -> Rates:
    """Until the sink has counted every message; all of them from a domain of ours. First one that stays here too, to
    look at.
    """
    wanted = 2 if server.name == "postroom" else 1
    before, taken = server.stored(), sink.count()
    with smtplib.SMTP("127.0.0.1", server.smtp_port, "origin.example", timeout=20) as client:
        client.sendmail(LOCAL, [LOCAL, REMOTE], f"From: {LOCAL}\r\nSubject: is it signed?\r\n\r\nhello\r\n")
    wait_until(lambda: server.stored() > before and sink.count() > taken, seconds=20, what="nothing came of a message")
    there = server.newest(ACCOUNTS[0]).lower().count(b"\ndkim-signature:")
    if there != wanted:
        raise BenchError(f"{server.name}: {there} signatures instead of {wanted}")
    return measure.relayed(
        server, sink, messages, lambda port, recipient, count: send_many(port, recipient, count, sender=LOCAL)
    )


async def _signed_letters(key: SigningKey) -> list[bytes]:
    """Each of 10 KiB before it was signed."""
    letters = []
    for number in range(_LETTERS):
        letter = (
            b"From: <%s>\r\nTo: <%s>\r\nSubject: load %d\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
            b"Message-ID: <%d@%s>\r\n\r\n" % (SENDER.encode(), LOCAL.encode(), number, number, ORIGIN.encode())
        )
        letter += b"letter %d\r\n" % number + _LINE * ((10240 - len(letter)) // len(_LINE))
        letters.append(await sign(letter, b"", [key], time.time()) + letter)
    return letters
