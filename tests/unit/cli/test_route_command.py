"""route: where mail for an address goes, and why."""

from pathlib import Path

import pytest
from tests.fakes.memory_house import MemoryHouse
from tests.unit.cli.conftest import Run

RULES = """
[[smarthost]]
name = "bulk"
host = "bulk.example"
user = "u"
password = "secret"
[[smarthost]]
name = "spare"
host = "192.0.2.77"
port = 2525
tls = "implicit"
[[smarthost]]
name = "dovecot"
host = "/run/lmtp"
protocol = "lmtp"
tls = "none"
[[maildir]]
name = "boxes"
path = "/var/mail/{domain}/{local}"
[[command]]
name = "robot"
command = ["/bin/sh", "-c", "true", "{recipient}"]
[[schedule]]
name = "slow"
first_retry = "1h"
[[route]]
name = "newsletter"
senders = ["@news.example.org"]
headers = { List-Id = "*news*" }
via = ["bulk", "spare"]
schedule = "slow"
[[route]]
name = "trap"
tags = ["suspicious"]
via = "hold"
[[route]]
recipients = ["robot@example.org"]
via = "robot"
[[route]]
recipients = ["carl@example.org"]
via = "boxes"
"""


@pytest.fixture
def ruled(config: Path, house: MemoryHouse) -> None:
    config.write_text(config.read_text() + RULES)
    config.chmod(0o600)
    house.store.directory.add_account("robot@example.org")
    house.store.directory.add_account("carl@example.org")
    for name, kind, text in (
        ("far.example", "MX", "20 b.far.example"),
        ("far.example", "MX", "10 a.far.example"),
        ("a.far.example", "A", "192.0.2.10"),
        ("a.far.example", "AAAA", "2001:db8::10"),
        ("bulk.example", "A", "192.0.2.66"),
        ("null.example", "MX", "0 ."),
    ):
        house.zone.add(name, kind, text)


pytestmark = pytest.mark.usefixtures("ruled")


def test_to_the_world(run: Run) -> None:
    ended = run("route", "bob@far.example")
    assert ended.code == 0
    lines = [line.strip() for line in ended.out.splitlines()]
    assert lines[0] == "bob@far.example from postmaster@mx.example.org"
    assert lines[1] == "bob@far.example: to the MX hosts of the domain"
    assert lines[2].startswith("rule newsletter: no, postmaster@mx.example.org is no sender of it")
    assert lines[4] == "rule route 3: no, bob@far.example is no recipient of it"
    assert lines[6:] == [
        "no rule matches",
        "a.far.example [2001:db8::10] port 25, TLS opportunistic",
        "a.far.example [192.0.2.10] port 25, TLS opportunistic",
        "the mail server b.far.example has no address",
    ]


def test_by_a_rule(run: Run) -> None:
    ended = run("route", "bob@far.example", "--sender", "x@news.example.org", "--header", "List-Id=The News", "--json")
    (way,) = ended.json["ways"]
    assert (way["kind"], way["rule"], way["schedule"]) == ("smarthost", "newsletter", "slow")
    assert way["rules"] == [{"name": "newsletter", "matches": True, "why_not": ""}]
    assert [(host["relay"], host["address"], host["port"], host["tls"]) for host in way["hosts"]] == [
        ("bulk", "192.0.2.66", 587, "required"),
        ("spare", "192.0.2.77", 2525, "implicit"),
    ]
    assert "secret" not in ended.out
    assert ended.json["tags"] == ["header:List-Id=*news*"]
    told = run("route", "bob@far.example", "--header", "List-Id=The News", "--tag", "red").out.splitlines()[0]
    assert told.endswith(", tagged red")


def test_what_is_held(run: Run) -> None:
    ended = run("route", "bob@far.example", "--tag", "suspicious")
    assert ended.code == 0
    assert "it is held" in ended.out
    assert "rule trap: matches" in ended.out


def test_who_is_read_by_the_server(run: Run) -> None:
    ended = run("route", "dmarc-reports@example.org")
    assert ended.code == 0
    assert "read by this server, which keeps what it reports" in ended.out
    assert run("route", "dmarc-reports@example.org", "--json").json["ways"] == []


def test_who_lives_here(run: Run) -> None:
    ended = run("route", "info@example.org", "--json")
    assert ended.json["ours"]
    assert [(way["address"], way["kind"]) for way in ended.json["ways"]] == [
        ("alice@example.org", "mailbox"),
        ("bob@example.org", "mailbox"),
    ]
    # what leaves the house by a rule for everything does not take them
    assert "is ours, and the rule names neither" in ended.json["ways"][0]["rules"][0]["why_not"]


def test_who_forwards(run: Run, house: MemoryHouse) -> None:
    house.store.directory.add_account("dora@example.org", forwards=["d@far.example"])
    ended = run("route", "dora@example.org", "--json")
    assert [(way["address"], way["kind"]) for way in ended.json["ways"]] == [
        ("dora@example.org", "mailbox"),
        ("d@far.example", "mx"),
    ]


@pytest.mark.parametrize(
    ("address", "kind", "place"),
    [
        ("robot@example.org", "command", "/bin/sh -c true robot@example.org"),
        ("Carl@example.org", "maildir", "/var/mail/example.org/carl"),
    ],
)
def test_our_own_taken_elsewhere(run: Run, address: str, kind: str, place: str) -> None:
    (way,) = run("route", address, "--json").json["ways"]
    assert (way["kind"], way["place"]) == (kind, place)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("x@null.example", "556 5.1.10"),
        ("x@nowhere.example", "550 5.1.2"),
        ("nobody@example.org", "refused: 550 5.1.1"),
    ],
)
def test_what_cannot_go_is_told(run: Run, address: str, words: str) -> None:
    ended = run("route", address)
    assert ended.code == 1
    assert words in ended.out


def test_a_dns_that_does_not_answer(run: Run, house: MemoryHouse) -> None:
    house.zone.servfail.add("far.example")
    ended = run("route", "bob@far.example")
    assert ended.code == 1
    assert "it cannot go now" in ended.out
    assert "451 4.4.3" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["bob@far.example", "--sender", "nonsense"],
        ["bob@far.example", "--client", "nonsense"],
        ["bob@far.example", "--header", "nonsense"],
        ["bob@far.example", "--account", "nonsense"],
    ],
)
def test_what_makes_no_sense(run: Run, words: list[str]) -> None:
    ended = run("route", *words)
    assert ended.code == 1
    assert ended.err.startswith("postroom: ")
