"""The cache keeps what the DNS said as long as it said, and asks each question once at a time."""

import asyncio

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.dns.cache import FAILURE_TTL, MAX_NEGATIVE_TTL, MAX_OCTETS, CachingResolver
from postroom.dns.resolver import Answer, Existence, Family, MxRecord
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.trouble import ResolverUnavailable


class GatedResolver(ZoneResolver):
    """Answers once the gate is open."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self.gate = asyncio.Event()

    async def mx(self, domain: str) -> Answer[MxRecord]:
        await self.gate.wait()
        return await super().mx(domain)


def make_zone() -> Zone:
    return Zone.of(
        {
            "example.org": {"MX": ["10 mx.example.org"], "TXT": ["hello"]},
            "mx.example.org": {"A": ["192.0.2.1"]},
            "1.2.0.192.in-addr.arpa": {"PTR": ["mx.example.org"]},
        }
    )


def does_not_suspend(coroutine: object) -> object:
    """The coroutine's result; fails where it suspends."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)  # type: ignore[attr-defined]
    return stop.value.value


async def test_answers_are_kept_for_their_ttl() -> None:
    # RFC 1035 §3.2.1
    zone, clock = make_zone(), HandClock()
    cache = CachingResolver(ZoneResolver(zone), clock)
    first = await cache.mx("example.org")
    clock.time += zone.ttl - 1
    assert does_not_suspend(cache.mx("EXAMPLE.org.")) is first
    assert len(zone.asked) == 1
    clock.time += 1
    assert (await cache.mx("example.org")).records == first.records
    assert len(zone.asked) == 2


async def test_each_kind_of_question_is_kept_apart() -> None:
    zone = make_zone()
    cache = CachingResolver(ZoneResolver(zone), HandClock())
    for _ in range(2):
        assert (await cache.addresses("mx.example.org", Family.IPV4)).records == ("192.0.2.1",)
        assert (await cache.addresses("mx.example.org", Family.IPV6)).existence is Existence.NO_DATA
        assert (await cache.txt("example.org")).records == (b"hello",)
        assert (await cache.ptr("192.0.2.1")).records == ("mx.example.org",)
        assert (await cache.srv("example.org")).existence is Existence.NO_DATA
        assert (await cache.caa("example.org")).existence is Existence.NO_DATA
        assert (await cache.ns("example.org")).existence is Existence.NO_DATA
        assert await cache.answers_unchecked("example.org")
    assert len(zone.asked) == 7


async def test_negative_answers_are_bounded() -> None:
    # RFC 2308 §5
    zone, clock = make_zone(), HandClock()
    zone.negative_ttl = 10**9
    cache = CachingResolver(ZoneResolver(zone), clock)
    assert (await cache.mx("nowhere.example")).existence is Existence.NO_SUCH_DOMAIN
    assert (await cache.mx("nowhere.example")).existence is Existence.NO_SUCH_DOMAIN
    assert len(zone.asked) == 1
    clock.time += MAX_NEGATIVE_TTL
    await cache.mx("nowhere.example")
    assert len(zone.asked) == 2


async def test_failures_are_kept_briefly_and_recover() -> None:
    # RFC 9520 §3.2
    zone, clock = make_zone(), HandClock()
    zone.servfail.add("example.org")
    cache = CachingResolver(ZoneResolver(zone), clock)
    for _ in range(3):
        with pytest.raises(ResolverUnavailable):
            await cache.mx("example.org")
    assert len(zone.asked) == 1
    zone.servfail.clear()
    clock.time += FAILURE_TTL
    assert (await cache.mx("example.org")).records


async def test_a_ttl_of_zero_is_not_kept() -> None:
    # RFC 1035 §3.2.1
    zone = make_zone()
    zone.ttl = 0
    cache = CachingResolver(ZoneResolver(zone), HandClock())
    await cache.mx("example.org")
    await cache.mx("example.org")
    assert len(zone.asked) == 2
    assert len(cache) == 0


async def test_an_answer_that_is_too_large_is_not_kept() -> None:
    """Whoever has a domain could fill the memory with such."""
    zone = make_zone()
    zone.add("large.example", "TXT", " ".join([f'"{"x" * 250}"'] * (MAX_OCTETS // 250 + 1)))
    for _ in range(MAX_OCTETS // 64 + 1):
        zone.add("many.example", "TXT", "x")
    cache = CachingResolver(ZoneResolver(zone), HandClock())
    assert (await cache.txt("large.example")).records
    assert (await cache.txt("many.example")).records
    assert len(cache) == 0
    await cache.txt("example.org")
    assert len(cache) == 1


async def test_the_least_recently_used_goes_first() -> None:
    zone = Zone.of({f"d{n}.example": {"MX": ["10 mx.example.org"]} for n in range(4)})
    cache = CachingResolver(ZoneResolver(zone), HandClock(), size=2)
    for name in ("d0.example", "d1.example", "d0.example", "d2.example", "d0.example"):
        await cache.mx(name)
    assert len(cache) == 2
    assert [name for _, name in zone.asked] == ["d0.example", "d1.example", "d2.example"]
    cache.clear()
    assert len(cache) == 0


async def test_a_question_under_way_is_asked_once_and_survives_its_first_asker() -> None:
    zone = make_zone()
    gated = GatedResolver(zone)
    cache = CachingResolver(gated, HandClock())
    askers = [asyncio.create_task(cache.mx("example.org")) for _ in range(5)]
    await asyncio.sleep(0)
    askers[0].cancel()
    await asyncio.sleep(0)
    gated.gate.set()
    answers = await asyncio.gather(*askers[1:])
    assert {answer.records for answer in answers} == {(MxRecord(10, "mx.example.org"),)}
    assert len(zone.asked) == 1
    assert askers[0].cancelled()


async def test_a_failure_that_nobody_waits_for_is_quiet() -> None:
    zone = make_zone()
    zone.servfail.add("example.org")
    gated = GatedResolver(zone)
    cache = CachingResolver(gated, HandClock())
    asker = asyncio.create_task(cache.mx("example.org"))
    await asyncio.sleep(0)
    asker.cancel()
    gated.gate.set()
    await asyncio.gather(asker, return_exceptions=True)
    while not len(cache):
        await asyncio.sleep(0)
    with pytest.raises(ResolverUnavailable):
        await cache.mx("example.org")
    assert len(zone.asked) == 1
