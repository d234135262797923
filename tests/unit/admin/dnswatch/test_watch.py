"""The watch over a real inspector, a zone that changes, and virtual time."""

from collections.abc import Collection

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.dns_inspector import MemoryInspector, MemoryPolicies
from tests.fakes.dns_watch_store import MemoryDnsWatchStore

from postroom.admin.dnsfaults.model import Fetched
from postroom.admin.dnsrecords.facts import gather
from postroom.admin.dnsrecords.making import records_for
from postroom.admin.dnsrecords.model import DkimRecord, Way
from postroom.admin.dnswatch.comparing import has_doubts
from postroom.admin.dnswatch.watch import AT_ONCE, CONFIRM, FIRST, OF_KEYS, DnsWatch
from postroom.config.model import Settings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.mail.trouble import StoreUnavailable
from postroom.report.events import Report
from postroom.report.reporter import Reporter
from postroom.report.zones import DnsBroken, DnsLooked, DnsMended

HOST, DOMAIN, ADDRESS = "mx.postroom.net", "postroom.net", "8.8.8.8"
HOUR = 3600.0


class Dkim:
    async def to_publish(self, domain: str) -> list[DkimRecord]:
        return [DkimRecord(f"s1._domainkey.{domain}", "v=DKIM1; k=ed25519; p=" + "A" * 43 + "=", "active")]


class Bench:
    """A zone where all is well, and who watches it."""

    def __init__(self, store: MemoryDnsWatchStore | None = None, **settings: object) -> None:
        publish = {"public_addresses": [ADDRESS]}
        self.settings = Settings.model_validate({"hostname": HOST, "publish": publish, **settings})
        self.clock = ManualClock()
        self.store = store or MemoryDnsWatchStore()
        self.told: list[Report] = []
        self.domains: list[str] = [DOMAIN]
        self.zone = Zone()
        for domain in (DOMAIN, "second.net"):
            for each in records_for(domain, gather(self.settings), []).records:
                if each.way is not Way.CHOOSE and each.record.data not in self.zone.records.get(
                    each.record.name, {}
                ).get(each.record.kind, ()):
                    self.zone.add(each.record.name, each.record.kind, each.record.data)
        self.policies = MemoryPolicies(
            {name: Fetched(StsPolicy(name, StsMode.TESTING, (HOST,), "", 9e9)) for name in (DOMAIN, "second.net")}
        )
        self.open()

    def open(self) -> None:
        """As a new process would."""
        inspector = MemoryInspector(self.settings, ZoneResolver(self.zone), Dkim(), self.policies, list)
        self.watch = DnsWatch(
            inspector,
            self.store,
            domains=self._domains,
            every=HOUR,
            clock=self.clock,
            reporter=Reporter([self.told.append]),
            left=OF_KEYS,
        )

    async def _domains(self) -> Collection[str]:
        return self.domains

    async def after(self, seconds: float) -> list[Report]:
        """Let time pass minute by minute; what is told of faults meanwhile."""
        self.told.clear()
        for _ in range(int(seconds // 60)):
            await self.clock.pass_time(60)
            await self.watch.tick()
        return [each for each in self.told if isinstance(each, DnsBroken | DnsMended)]

    def looks(self) -> int:
        return len([each for each in self.told if isinstance(each, DnsLooked)])

    def forge(self, *texts: str) -> None:
        self.zone.records[DOMAIN]["TXT"] = texts


async def test_what_breaks_is_told_once_and_again_when_it_is_right() -> None:
    bench = Bench()
    right = bench.zone.records[DOMAIN]["TXT"]
    assert await bench.after(2 * HOUR) == []
    bench.forge("v=spf1 -all", "v=spf1 +all")
    (broken,) = await bench.after(HOUR + CONFIRM)
    assert isinstance(broken, DnsBroken)
    assert (broken.domain, broken.fault, broken.level) == (DOMAIN, "spf-several", "error")
    assert broken.consequence
    assert broken.remedy.startswith("keep one")
    assert await bench.after(5 * HOUR) == []
    bench.forge(*right)
    (mended,) = await bench.after(HOUR + 2 * CONFIRM)
    assert isinstance(mended, DnsMended)
    assert (mended.fault, mended.subject) == ("spf-several", DOMAIN)


async def test_a_flap_is_no_alarm() -> None:
    bench = Bench()
    await bench.after(2 * HOUR)
    right = bench.zone.records[DOMAIN]["TXT"]
    bench.forge()
    for _ in range(70):
        assert await bench.after(60) == []
        if has_doubts(bench.store.known[DOMAIN]):
            break
    assert has_doubts(bench.store.known[DOMAIN])
    bench.forge(*right)
    assert await bench.after(3 * HOUR) == []


async def test_a_restart_does_not_forget() -> None:
    """Neither what was right: it breaks while the server is down; nor what was told."""
    bench = Bench()
    await bench.after(2 * HOUR)
    bench.forge("v=spf1 -all", "v=spf1 +all")
    bench.open()
    (broken,) = await bench.after(2 * HOUR)
    assert isinstance(broken, DnsBroken)
    bench.open()
    assert await bench.after(2 * HOUR) == []


async def test_looks_are_spaced() -> None:
    bench = Bench()
    await bench.after(FIRST - 1)
    assert not bench.zone.asked
    await bench.after(6 * HOUR)
    assert 5 <= bench.looks() <= 7
    bench.open()
    await bench.after(30 * 60)  # restarts are no reason to look again
    assert bench.looks() <= 1


async def test_what_is_wrong_is_counted() -> None:
    bench = Bench()
    bench.forge("v=spf1 -all", "v=spf1 +all")
    await bench.after(HOUR)
    looked = [each for each in bench.told if isinstance(each, DnsLooked)][-1]
    assert looked == DnsLooked(domains=2, errors=1, warnings=looked.warnings)


async def test_keys_are_watched_elsewhere() -> None:
    bench = Bench()
    await bench.after(2 * HOUR)
    assert not [fault for each in bench.store.known.values() for fault in each.faults if "dkim" in fault.fault]


async def test_domains_come_and_go() -> None:
    bench = Bench()
    await bench.after(HOUR)
    bench.domains = [DOMAIN, "second.net"]
    await bench.after(HOUR)
    assert set(bench.store.known) == {"", DOMAIN, "second.net"}
    bench.domains = ["second.net"]
    await bench.after(120)
    assert set(bench.store.known) == {"", "second.net"}


async def test_many_domains_take_turns() -> None:
    bench = Bench()
    bench.domains = [f"d{number}.missing.net" for number in range(3 * AT_ONCE)]
    await bench.after(60)
    assert len(bench.store.known) == AT_ONCE
    await bench.after(240)
    assert len(bench.store.known) == 3 * AT_ONCE + 1


async def test_a_store_that_fails_loses_nothing() -> None:
    bench = Bench()
    await bench.after(2 * HOUR)
    bench.forge("v=spf1 -all", "v=spf1 +all")
    bench.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await bench.after(2 * HOUR)
    bench.store.unavailable = False
    assert len(await bench.after(2 * HOUR)) == 1


async def test_a_clock_that_was_set_back_does_not_stop_it() -> None:
    bench = Bench()
    await bench.after(HOUR)
    bench.store.known = {
        name: type(each)(each.domain, each.looked_at + 1e7, each.faults) for name, each in bench.store.known.items()
    }
    bench.open()
    await bench.after(180)
    assert bench.looks() == 1
    await bench.watch.close()
