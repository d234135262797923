"""Reports of others about our mail: they come by SMTP to addresses without an account, and are told by commands."""

import gzip
import json
import smtplib
import time
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.fakes import reported_mail as samples
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until

ALICE = "alice@example.org"
DMARC, TLS = "dmarc-reports@example.org", "tls-reports@example.org"
YEARS = "9000d"
"""The samples are of a day to come: their age does not matter."""


def bring(program: Program, content: bytes, to: str = DMARC, sender: str = "") -> None:
    with program.smtp() as client:
        client.sendmail(sender, [to], content)


def listed(program: Program, kind: str) -> list[Any]:
    found: list[Any] = program.listing("reports", "list", "--kind", kind)
    return found


def left_over(program: Program) -> list[int]:
    """Rows of what is in the store only as long as it is read."""
    database = apsw.Connection(str(program.folder / "data" / "postroom.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [database.execute(f"SELECT count(*) FROM {name}").get for name in ("message", "chunk", "reported")]
    finally:
        database.close()


def test_who_sends_as_us(make_program: MakeProgram) -> None:
    program = make_program({"source": [{"name": "out", "ipv4": "192.0.2.10"}]}).add(ALICE).start()
    bring(program, samples.mail(samples.zipped(samples.PLAIN_FORM.encode())), sender="noreply@big.example")
    bring(program, samples.mixed(gzip.compress(samples.ENTERPRISE_FORM.encode())))
    bring(program, samples.mail(samples.NEW_FORM.encode(), "text/xml", name="report.xml"))
    bring(program, samples.tls_mail(), TLS)
    bring(program, samples.FAILURE)
    bring(program, samples.COMPLAINT)
    bring(program, b"Subject: buy\r\n\r\nnow\r\n", sender="spammer@evil.example")
    wait_until(lambda: len(listed(program, "dmarc")) == 3, "three DMARC reports are read")
    wait_until(lambda: program.told("report_unreadable") != [], "the spam is told")

    view = program.listing("reports", "dmarc", "example.org", "--since", YEARS)
    assert (view["passed"], view["failed"], view["reporters"]) == (167, 5, 3)
    parts = {part["name"]: part for part in view["parts"]}
    assert parts["192.0.2.10"]["is_ours"]
    assert parts["192.0.2.10"]["passed"] == 160
    assert list(parts["198.51.100.7"]["why"]) == [
        "SPF passed for bounce.example.net, which is not aligned with news.example.org; no DKIM signature; "
        "let through (a local policy of the receiver)"
    ]
    shown = program.command("reports", "dmarc", "example.org", "--since", YEARS)
    assert "97.1 % of 172 messages passed; failing sources: 198.51.100.7 (3), 198.51.100.200 (2)" in shown

    (tls,) = [one for one in program.listing("reports", "--since", YEARS) if one["kind"] == "tls"]
    assert (tls["passed"], tls["failed"]) == (326, 3)
    (failure,) = program.listing("reports", "failures", "example.org", "--since", YEARS)
    assert failure["report"]["failure"] == "signature"
    (complaint,) = program.listing("reports", "complaints", "--since", YEARS)
    assert complaint["report"]["recipient"] == "user@isp.example"
    (unreadable,) = listed(program, "unreadable")
    assert unreadable["report"]["reason"] == "there is no report in it"
    life = program.command("why", DMARC)
    assert "could not be read as a report: there is no report in it" in life
    assert "read as a complaint report of isp.example about example.org" in life
    assert program.inbox(ALICE) == []
    assert program.queue() == []  # and nothing bounced


def test_no_report_is_lost_or_doubled_by_a_kill(make_program: MakeProgram) -> None:
    program = make_program({"smtp": {"max_size": "20MiB"}}).add(ALICE).start()
    rows = "".join(
        samples.PLAIN_FORM[samples.PLAIN_FORM.index("<record>") : samples.PLAIN_FORM.index("</feedback>")]
        for _ in range(2000)
    )
    large = samples.PLAIN_FORM.replace("</feedback>", f"<!-- {'x' * 1000} -->{rows}</feedback>").encode()
    bring(program, samples.mail(large, "text/xml", name="report.xml"))  # chunks that no mailbox keeps
    bring(program, samples.mail(gzip.compress(samples.ENTERPRISE_FORM.encode()), "application/gzip", name="r.xml.gz"))
    program.kill()
    program.start()
    wait_until(lambda: len(listed(program, "dmarc")) == 2, "both are read")
    wait_until(lambda: left_over(program) == [0, 0, 0], "nothing is left over")
    bring(program, samples.mail(gzip.compress(samples.ENTERPRISE_FORM.encode()), "application/gzip", name="r.xml.gz"))
    wait_until(lambda: program.told("report_received")[-1]["outcome"] == "known", "the second copy is known")
    assert len(listed(program, "dmarc")) == 2


def test_whoever_has_the_address_gets_the_mail_too(make_program: MakeProgram) -> None:
    program = make_program({"reports": {"keep_in": ALICE}}).add(ALICE)
    program.command("alias", "add", TLS, ALICE)
    program.start()
    bring(program, samples.tls_mail(), TLS)
    bring(program, samples.mail(samples.zipped(samples.TERSE_FORM.encode())))
    wait_until(lambda: len(program.inbox(ALICE)) == 2, "Alice has both")
    wait_until(lambda: {one["kind"] for one in program.listing("reports", "list")} == {"dmarc", "tls"}, "both are read")


def test_where_reports_are_off_the_address_is_unknown(make_program: MakeProgram) -> None:
    program = make_program({"reports": {"enabled": False}}).add(ALICE).start()
    with program.smtp() as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("a@b.example", [DMARC], b"Subject: x\r\n\r\n")


def test_files_are_imported_while_no_server_runs(make_program: MakeProgram, tmp_path: Path) -> None:
    program = make_program().add(ALICE)
    files = {
        "a.xml": samples.PLAIN_FORM.encode(),
        "b.zip": samples.zipped(samples.TERSE_FORM.encode(), "x.xml", samples.NEW_FORM.encode()),
        "c.eml": samples.tls_mail(),
        "d.json": json.dumps(samples.TLS_FORM).encode(),
        "e.gz": b"\x1f\x8bnothing",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    words = ["reports", "import", *[str(tmp_path / name) for name in files], "--json"]
    outcomes = json.loads(program.command(*words, code=1))
    assert [one["outcome"] for one in outcomes] == ["new", "new", "new", "new", "known", "unreadable"]


def test_a_bomb_and_a_huge_attachment_cost_little(make_program: MakeProgram) -> None:
    program = make_program({"smtp": {"max_size": "200MiB"}}).add(ALICE).start()
    bring(program, samples.mail(samples.zipped(samples.PLAIN_FORM.encode())))
    wait_until(lambda: len(listed(program, "dmarc")) == 1, "the server is warm")
    before = program.rss()
    bomb = samples.zipped(samples.PLAIN_FORM.replace("<record>", " " * (256 << 20) + "<record>", 1).encode())
    bring(program, samples.mail(bomb))
    wait_until(lambda: len(program.told("report_unreadable")) == 1, "the bomb is told")
    assert "expands" in program.told("report_unreadable")[0]["reason"]
    with program.smtp() as client:  # 150 MiB, in pieces: nobody here holds it
        client.mail("")
        client.rcpt(DMARC)
        client.putcmd("DATA")
        client.getreply()
        client.send(b'Content-Type: application/gzip; name="r.gz"\r\nContent-Transfer-Encoding: base64\r\n\r\n')
        for _ in range(150):
            client.send((b"A" * 76 + b"\r\n") * ((1 << 20) // 78))
        client.send(b".\r\n")
        assert client.getreply()[0] == 250
    started = time.monotonic()
    wait_until(lambda: len(program.told("report_unreadable")) == 2, "the huge one is told")
    assert "larger than" in program.told("report_unreadable")[1]["reason"]
    assert time.monotonic() - started < 15
    assert program.rss() - before < 120 << 20
    wait_until(lambda: left_over(program) == [0, 0, 0], "nothing is left over")
