"""sendmail: the command lines that programs have used for decades."""

import asyncio
import io
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.fakes.memory_house import MemoryHouse

from postroom.admin.refusal import Refused
from postroom.cli import main, sendmail
from postroom.cli.sendmail import Call, parse
from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import RecipientState
from postroom.mail.returnpath import ReturnPaths, Sent, mark_of
from postroom.reputation.noting import of_bounce


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bob@x.example", Call(recipients=["bob@x.example"])),
        ("-t -i", Call(from_header=True, dot_ends=False)),
        ("-ti", Call(from_header=True)),
        ("-it", Call(from_header=True, dot_ends=False)),
        ("-oi -f a@b.example bob", Call(sender="a@b.example", dot_ends=False, recipients=["bob"])),
        ("-fa@b.example -oem -odb -bm -v bob", Call(sender="a@b.example", recipients=["bob"])),
        ("-r a@b.example -F Name -- -strange", Call(sender="a@b.example", name="Name", recipients=["-strange"])),
        ("-C /etc/x.toml -B 8BITMIME -N failure -R hdrs -q bob", Call(config=Path("/etc/x.toml"), recipients=["bob"])),
        ("-bs", Call(mode="s")),
        ("-f", None),
    ],
)
def test_flags(line: str, expected: Call | None) -> None:
    if expected is None:
        with pytest.raises(Refused, match="-f lacks its value"):
            parse(line.split())
    else:
        assert parse(line.split()) == expected


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    raw = io.BytesIO(b"Subject: from cron\n\nit ran\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=raw, isatty=lambda: False))
    return raw


def test_takes_the_message_in_silently(
    house: MemoryHouse, config: Path, stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sendmail.run(house, ["-C", str(config), "-oi", "-f", "", "alice@example.org"]) == 0
    (intake,) = house.store.queue.intakes
    assert intake.message.envelope.reverse_path is None
    assert capsys.readouterr() == ("", "")


def test_rules_of_routing_are_obeyed(house: MemoryHouse, config: Path, stdin: io.BytesIO) -> None:
    with config.open("a") as settings:
        settings.write(
            """
[[smarthost]]
name = "relay"
host = "relay.example"
[[route]]
name = "look first"
recipients = ["held@far.example"]
via = "hold"
[[route]]
domains = ["far.example"]
via = "relay"
"""
        )
    assert sendmail.run(house, ["-C", str(config), "-oi", "held@far.example", "bob@far.example"]) == 0
    (intake,) = house.store.queue.intakes
    assert [(one.state, one.destination) for one in intake.queued] == [
        (RecipientState.HELD, "far.example route 2"),
        (RecipientState.QUEUED, "far.example route 2"),
    ]


RITA = Address.parse("rita@far.example")


def suppress_rita(house: MemoryHouse, domain: str = "example.org") -> None:
    event = of_bounce(
        SuppressionSettings(),
        domain,
        RITA,
        Cause.MAILBOX_UNKNOWN,
        reason="550 5.1.1 nobody",
        now=time.time() - 60,
        queue_id=1,
    )
    asyncio.run(house.store.suppression.put([event]))


def test_the_suppression_list_of_the_senders_domain_counts(
    house: MemoryHouse, config: Path, stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    suppress_rita(house)
    line = ["-C", str(config), "-oi", "-f", "alice@example.org", "rita@far.example", "bob@far.example"]
    assert sendmail.run(house, line) == 0
    (intake,) = house.store.queue.intakes
    assert [str(one.recipient.address) for one in intake.queued] == ["bob@far.example"]
    assert intake.message.account == "alice@example.org"
    assert "rita@far.example bounced" in capsys.readouterr().err


def test_a_message_for_suppressed_addresses_alone_is_not_taken_in(
    house: MemoryHouse, config: Path, stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    suppress_rita(house)
    assert sendmail.run(house, ["-C", str(config), "-oi", "-f", "alice@example.org", "rita@far.example"]) == 1
    assert house.store.queue.intakes == []
    says = capsys.readouterr().err
    assert "postroom suppression remove --domain example.org rita@far.example" in says
    assert "nobody is left" in says


@pytest.mark.parametrize("sender", ["", "carl@elsewhere.example", "alice@example.org"])
def test_whom_the_list_is_not_for(house: MemoryHouse, config: Path, stdin: io.BytesIO, sender: str) -> None:
    """DSNs, other people's mail, and a domain whose list does not have the address."""
    suppress_rita(house, "elsewhere.example" if "@elsewhere" in sender else "other.example")
    assert sendmail.run(house, ["-C", str(config), "-oi", "-f", sender, "rita@far.example"]) == 0
    (intake,) = house.store.queue.intakes
    assert len(intake.queued) == 1


def test_recipients_get_return_paths(house: MemoryHouse, config: Path, stdin: io.BytesIO) -> None:
    with config.open("a") as settings:
        settings.write("[returns]\nverp = true\n")
    assert sendmail.run(house, ["-C", str(config), "-oi", "-f", "alice@example.org", "rita@far.example"]) == 0
    (intake,) = house.store.queue.intakes
    (queued,) = intake.queued
    assert queued.return_path is not None
    paths = ReturnPaths(asyncio.run(house.store.directory.secret()), 7 * 86400.0)
    assert paths.read(queued.return_path, time.time()) == Sent(intake.message.queue_id, mark_of(RITA))


def test_what_is_forwarded_gets_a_return_path(house: MemoryHouse, config: Path, stdin: io.BytesIO) -> None:
    """SRS: the mail is another's, so that its own return path would fail SPF where it is forwarded to."""
    house.store.directory.add_alias("away@example.org", "rita@far.example")
    line = ["-C", str(config), "-oi", "-f", "carl@elsewhere.example", "away@example.org"]
    assert sendmail.run(house, line) == 0
    (queued,) = house.store.queue.intakes[0].queued
    assert str(queued.return_path).startswith("SRS0=")
    assert house.store.queue.intakes[0].message.account == ""


def test_mail_to_a_return_path_reaches_the_sender(house: MemoryHouse, config: Path, stdin: io.BytesIO) -> None:
    paths = ReturnPaths(asyncio.run(house.store.directory.secret()), 7 * 86400.0)
    path = paths.srs(Address.parse("carl@elsewhere.example"), "example.org", time.time())
    assert sendmail.run(house, ["-C", str(config), "-oi", "-f", "", str(path)]) == 0
    (queued,) = house.store.queue.intakes[0].queued
    assert str(queued.recipient.address) == "carl@elsewhere.example"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-bp"], "postroom queue list"),
        (["-bs"], "not offered"),
        ([], "no recipients"),
        (["-f"], "lacks its value"),
    ],
)
def test_what_is_not_offered(
    house: MemoryHouse, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sendmail.run(house, arguments) == 1
    assert says in capsys.readouterr().err


def test_called_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], called_as="/usr/sbin/sendmail") == 1
    assert "no recipients" in capsys.readouterr().err
