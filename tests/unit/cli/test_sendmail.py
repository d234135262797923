"""sendmail: the command lines that programs have used for decades."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.fakes.memory_house import MemoryHouse

from postroom.admin.refusal import Refused
from postroom.cli import main, sendmail
from postroom.cli.sendmail import Call, parse
from postroom.mail.delivery import RecipientState


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
