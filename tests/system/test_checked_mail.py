"""Incoming mail checked by the real program, over a DNS server of the test's: refused, marked, held, collected."""

import asyncio
import smtplib
import time
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.checked_world import a_zone, signed
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import HOSTNAME, Program, wait_until

BOB = "bob@example.org"
FORGED = f"Authentication-Results: {HOSTNAME}; dmarc=pass header.from=bank.example\r\n".encode()


def letter(author: str, *, front: bytes = b"", body: bytes = b"text\r\n") -> bytes:
    return front + f"From: {author}\r\nTo: {BOB}\r\nSubject: hi\r\n\r\n".encode() + body


@pytest.fixture
def checking(make_program: MakeProgram, nameserver: Nameserver) -> "Checking":
    return Checking(make_program, nameserver)


class Checking:
    """A server that checks all clients, and a zone in which 127.0.0.1 sends for good.example."""

    def __init__(self, make_program: MakeProgram, nameserver: Nameserver) -> None:
        self._make_program = make_program
        self.nameserver = nameserver
        for name, types in a_zone().records.items():
            for kind, texts in types.items():
                for text in texts:
                    nameserver.zone.add(name, kind, text.replace("ip4:192.0.2.1", "ip4:127.0.0.1"))
        nameserver.zone.servfail.add("_dmarc.lame.example")

    def start(self, **mailauth: Any) -> Program:
        settings = {
            "dns": {"servers": [self.nameserver.address], "timeout": 2, "cache": 0},
            "mailauth": {"exempt_networks": [], **mailauth},
        }
        return self._make_program(settings).add(BOB).start()


def send(program: Program, content: bytes, sender: str = "ann@good.example") -> tuple[int, str]:
    """The last reply."""
    with smtplib.SMTP("127.0.0.1", program.port("mx"), timeout=30) as client:
        client.ehlo("client.example")
        client.mail(sender)
        assert client.rcpt(BOB)[0] == 250
        code, text = client.data(content)
        return code, text.decode()


def checked(program: Program, count: int) -> list[dict[str, Any]]:
    """The log's lines about checked mail, once there are so many: they are written a moment later."""
    wait_until(lambda: len(program.told("mail_checked")) == count, f"{count} checked messages in the log")
    return list(program.told("mail_checked"))


def inbox(program: Program) -> list[EmailMessage]:
    client = program.pop3(BOB)
    count = client.stat()[0]
    found = [
        BytesParser(policy=SMTP).parsebytes(b"\r\n".join(client.retr(number)[1]) + b"\r\n")
        for number in range(1, count + 1)
    ]
    client.quit()
    return found


def test_a_forger_is_refused_and_good_mail_says_so(checking: Checking) -> None:
    program = checking.start()
    code, text = send(program, letter("info@bank.example", front=FORGED))
    assert (code, text.split()[0]) == (550, "5.7.26")
    assert "DMARC fails for bank.example" in text
    assert send(program, letter("ann@good.example", front=FORGED))[0] == 250
    code, _ = send(program, asyncio.run(signed(letter("info@bank.example"), time.time())), "x@elsewhere.example")
    assert code == 250
    good, bank = inbox(program)
    (results,) = good.get_all("Authentication-Results", [])
    assert results.startswith(HOSTNAME)
    assert "spf=pass" in results
    assert "dmarc=pass" in results
    assert [name for name in good if name in ("Authentication-Results", "Received")] == [
        "Authentication-Results",
        "Received",
    ]
    (results,) = bank.get_all("Authentication-Results", [])
    assert "dkim=pass" in results
    assert "dmarc=pass" in results
    refused, *taken = checked(program, 3)
    assert (refused["action"], refused["author"], refused["address"]) == ("refuse", "bank.example", "127.0.0.1")
    assert [line["action"] for line in taken] == ["accept", "accept"]
    (line,) = program.told("message_refused")
    assert line["reason"] == "DMARC fails for bank.example, which asks for p=reject"
    explained = program.command("why", taken[0]["queue_id"])
    assert "spf=pass (good.example)" in " ".join(explained.split())
    assert "dmarc=pass (good.example)" in " ".join(explained.split())


def test_large_mail_is_checked_as_it_came(checking: Checking) -> None:
    program = checking.start()
    body = b"a line of text that is read in pieces\r\n" * 30_000
    content = asyncio.run(signed(letter("info@bank.example", front=FORGED, body=body), time.time()))
    assert send(program, content)[0] == 250
    (message,) = inbox(program)
    (results,) = message.get_all("Authentication-Results", [])
    assert "dkim=pass" in results
    assert send(program, content.replace(b"in pieces", b"in one gulp"))[0] == 550


def test_held_until_an_operator_looks(checking: Checking) -> None:
    program = checking.start(quarantine="hold")
    assert send(program, letter("info@shop.example"))[0] == 250
    assert not inbox(program)
    (line,) = checked(program, 1)
    assert line["action"] == "quarantine"
    explained = " ".join(program.command("why", line["queue_id"]).split())
    assert "held for bob@example.org until an operator releases it" in explained
    (listed,) = program.listing("queue", "list")["messages"]
    assert listed["queue_id"] == line["queue_id"]
    program.command("queue", "release", line["queue_id"])
    wait_until(lambda: len(inbox(program)) == 1, "the mail is released")
    (message,) = inbox(program)
    assert message["X-Postroom-Quarantine"] == "dmarc"


def test_a_rule_of_routing_may_go_by_it(make_program: MakeProgram, checking: Checking, tmp_path: Path) -> None:
    settings = {
        "dns": {"servers": [checking.nameserver.address], "timeout": 2},
        "mailauth": {"exempt_networks": []},
        "route": [{"name": "junk", "domains": ["example.org"], "tags": ["quarantine"], "via": "junk"}],
        "maildir": [{"name": "junk", "path": f"{tmp_path}/junk/{{domain}}/{{local}}"}],
    }
    program = make_program(settings).add(BOB).start()
    assert send(program, letter("info@shop.example"))[0] == 250
    assert send(program, letter("ann@good.example"))[0] == 250
    wait_until(lambda: len(list(tmp_path.glob("junk/*/*/new/*"))) == 1, "it is in the Maildir")
    (message,) = inbox(program)
    assert message["From"] == "ann@good.example"


@pytest.mark.parametrize(("on_temperror", "code"), [("tag", 250), ("defer", 451)])
def test_without_a_dns_nothing_is_lost(checking: Checking, on_temperror: str, code: int) -> None:
    program = checking.start(on_temperror=on_temperror, timeout=3)
    zone = checking.nameserver.zone
    zone.silent.update(zone.records)
    zone.servfail.update(zone.records)
    began = time.monotonic()
    assert send(program, letter("ann@good.example"))[0] == code
    assert time.monotonic() - began < 10
    assert len(inbox(program)) == (code == 250)
