"""The fail2ban filter that docs/operations.md shows finds the address in real log lines, and nothing can forge one."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.reports import CLIENT, STRANGER

from postroom.report.events import AbuseSeen, LockedOut, LoginFailed, Report, SessionRefused
from postroom.report.log import Log, LogForm

DOCUMENTED = Path(__file__).parents[3] / "docs" / "operations.md"
HOST = r"(?P<host>(?:::f{4,6}:)?(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]+:[0-9a-fA-F:.]+)"
"""What fail2ban puts for <HOST>: an IPv4 or IPv6 address (host names aside)."""

V4 = replace(STRANGER, address="192.0.2.9")
FORGED = '"event":"login_failed","address":"203.0.113.1",'


def documented() -> list[re.Pattern[str]]:
    """The failregex lines of the documentation."""
    text = DOCUMENTED.read_text()
    lines = re.findall(r"^\s*failregex = (.+)$", text, re.MULTILINE)
    assert lines, "docs/operations.md shows no failregex"
    return [re.compile(line.strip().replace("<HOST>", HOST)) for line in lines]


def line_of(report: Report) -> str:
    lines: list[bytes] = []
    log = Log(LogForm(), lines.append, now=lambda: 1_800_000_000.0)
    log.tell(report)
    log.close()
    return b"".join(lines).decode()


def found(line: str) -> str | None:
    """The address that fail2ban would ban; it takes the time out of the line before it looks."""
    for text in (line, line.replace("2027-01-15T08:00:00.000Z", "")):
        hosts = {match["host"] for pattern in documented() if (match := pattern.search(text))}
        if not hosts:
            return None
        assert len(hosts) == 1
    return hosts.pop()


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
def test_the_documented_filter_finds_the_address(address: str) -> None:
    client = replace(STRANGER, address=address)
    reports: tuple[Report, ...] = (
        LoginFailed(client, "PLAIN", "alice@example.org", "wrong password", 3, 2),
        LockedOut("address", address, address, "10 failed logins", 1_800_000_900.0),
        AbuseSeen(client, "pregreet", "EHLO spam.example"),
    )
    for report in reports:
        line = line_of(report)
        assert list(json.loads(line))[:4] == ["time", "level", "event", "address"]
        assert found(line) == address


def test_other_lines_are_left_alone() -> None:
    assert found(line_of(SessionRefused("mx", "192.0.2.9", "rate"))) is None


def test_peers_cannot_have_others_banned() -> None:
    evil = replace(V4, helo=FORGED)
    assert found(line_of(LoginFailed(evil, "PLAIN", FORGED, FORGED, 1, 1))) == "192.0.2.9"
    assert found(line_of(AbuseSeen(evil, "garbage", FORGED))) == "192.0.2.9"


def test_a_network_that_an_operator_banned_is_no_address() -> None:
    assert found(line_of(LockedOut("address", "198.51.100.0/24", "198.51.100.0/24", "spam", 1.0))) is None
    assert found(line_of(LockedOut("account", CLIENT.account, "", "by hand", 1.0))) is None
