"""Who may come in: ceilings by address, by prefix and in total; rates; bans."""

from ipaddress import IPv4Network

import pytest
from tests.fakes.clock import ManualClock

from postroom.config.guard import FloodSettings
from postroom.config.model import ConnectionSettings
from postroom.config.section import read_rate
from postroom.net.gate import Gate, Refusal
from postroom.net.turnaway import busy_line

NO_RATE = FloodSettings(connection_rate=())


def test_it_counts_by_address_by_prefix_and_in_total() -> None:
    settings = ConnectionSettings(total=4, per_address=1, unlimited_networks=(IPv4Network("192.0.2.0/24"),))
    gate = Gate(settings, NO_RATE)
    assert gate.admit("2001:db8::1") is None
    assert gate.admit("2001:db8::ffff:2") == Refusal("address")
    assert gate.admit("2001:db8:0:1::1") is None
    assert gate.admit("192.0.2.1") is None
    assert gate.admit("192.0.2.1") is None
    assert gate.admit("198.51.100.1") == Refusal("total")
    gate.release("2001:db8::1")
    assert gate.admit("198.51.100.1") is None
    gate.release("198.51.100.1")
    assert gate.admit("2001:db8::ffff:2") is None
    for address in ("2001:db8::ffff:2", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.1"):
        gate.release(address)
    assert gate.open == 0


def test_clients_still_to_be_announced_count_in_total() -> None:
    gate = Gate(ConnectionSettings(total=2), NO_RATE)
    assert gate.hold() is None
    assert gate.admit("192.0.2.1") is None
    assert gate.hold() == Refusal("total")
    gate.let_go()
    assert gate.admit("192.0.2.1") is None


async def test_a_rate_holds_by_address_and_prefix_and_passes() -> None:
    clock = ManualClock()
    flood = FloodSettings(connection_rate=(read_rate("2/1m"),), exempt_networks=(IPv4Network("198.51.100.0/24"),))
    gate = Gate(ConnectionSettings(), flood, clock)
    for address in ("2001:db8::1", "2001:db8::2"):
        assert gate.admit(address) is None
        gate.release(address)
    refused = gate.admit("2001:db8::3")
    assert refused is not None
    assert refused.reason == "rate"
    assert refused.wait == pytest.approx(30)
    assert gate.open == 0
    assert gate.admit("2001:db8:0:1::1") is None
    assert all(gate.admit("198.51.100.1") is None for _ in range(50))
    await clock.pass_time(31)
    assert gate.admit("2001:db8::3") is None


async def test_a_refused_connection_uses_up_nothing() -> None:
    clock = ManualClock()
    gate = Gate(ConnectionSettings(), FloodSettings(connection_rate=(read_rate("1/1m"),)), clock)
    assert gate.admit("192.0.2.1") is None
    assert all(gate.admit("192.0.2.1") is not None for _ in range(1000))
    await clock.pass_time(60)
    assert gate.admit("192.0.2.1") is None


async def test_bans_end() -> None:
    clock = ManualClock()
    gate = Gate(ConnectionSettings(), NO_RATE, clock)
    end = clock.now() + 90
    gate.banned = lambda address: end if address == "192.0.2.1" and clock.now() < end else None
    assert gate.admit("192.0.2.1") == Refusal("banned", 90)
    assert gate.admit("192.0.2.2") is None
    await clock.pass_time(91)
    assert gate.admit("192.0.2.1") is None


@pytest.mark.parametrize(
    ("wait", "shown"),
    [
        (None, ""),
        (0.0, ", in 1 seconds"),
        (59.5, ", in 60 seconds"),
        (900, ", in 15 minutes"),
        (86399, ", in 24 hours"),
    ],
)
def test_when_to_come_back_is_said(wait: float | None, shown: str) -> None:
    """RFC 5321 §3.8: 421 and the connection is closed."""
    line = busy_line(b"421 4.7.0 mx.example.org try again later\r\n", Refusal("rate", wait))
    assert line == f"421 4.7.0 mx.example.org try again later{shown}\r\n".encode()
