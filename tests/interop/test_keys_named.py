"""Keys live their whole lives in a zone of BIND: put in and taken out by updates, seen by asking its server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.dkim_store import MemoryDkimStore
from tests.fakes.hand_clock import HandClock
from tests.fakes.letters import NOON
from tests.interop.named import ZONE, Named

from postroom.config.model import DnsSettings
from postroom.dns.dnspython import DnspythonResolver
from postroom.dns.update import ZoneUpdater
from postroom.dns.zoneservers import DnspythonAuthorities
from postroom.mailauth.keys.keeping import KeyKeeper
from postroom.mailauth.keys.lifecycle import signers
from postroom.mailauth.keys.model import KeyState, LifeRules
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.watching import DnsWatcher
from postroom.report.events import Report
from postroom.report.keys import DkimKeyWaits, DkimTrouble
from postroom.report.reporter import Reporter

DAY = 86400.0


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    server = Named(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.needs("named", "tsig-keygen")
async def test_two_rotations(named: Named) -> None:
    settings = DnsSettings(servers=(f"127.0.0.1:{named.port}",), timeout=5)
    resolver = DnspythonResolver(settings)
    store, clock, told = MemoryDkimStore(), HandClock(NOON), list[Report]()

    async def domains() -> list[str]:
        return [ZONE]

    keeper = KeyKeeper(
        LifeRules(wait=3600, keep=7 * DAY, rotate=30 * DAY),
        store=store,
        sealer=Sealer(),
        watcher=DnsWatcher(resolver, DnspythonAuthorities(settings, port=named.port)),
        publisher=ZoneUpdater([named.settings()], resolver),
        domains=domains,
        clock=clock,
        reporter=Reporter([told.append]),
    )
    while clock.time < NOON + 75 * DAY:
        waits = any(key.state in (KeyState.MADE, KeyState.PUBLISHED, KeyState.SEEN) for key in store.pairs.values())
        clock.advance(900 if waits else DAY / 2)
        await keeper.tick()
        for key in signers(store.pairs.values()):
            assert (await resolver.txt(key.name)).records == (key.record.encode(),)
    assert len(signers(store.pairs.values())) == 2
    gone = [key for key in store.pairs.values() if key.state is KeyState.WITHDRAWN]
    assert len(gone) >= 3
    for key in gone:
        assert (await resolver.txt(key.name)).records == ()
    assert not [report for report in told if isinstance(report, DkimKeyWaits | DkimTrouble)]
