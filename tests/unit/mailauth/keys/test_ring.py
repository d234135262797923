"""The keys that sign, in memory."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.dkim_store import MemoryDkimStore
from tests.fakes.letters import NOON

from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.keys.model import ED25519, RSA, KeyPair, KeyState, Order, name_of
from postroom.mailauth.keys.ring import KeyRing
from postroom.mailauth.keys.sealing import Sealer, new_secret, open_sealer
from postroom.mailauth.keys.store import NewKey
from postroom.report.events import Report
from postroom.report.keys import DkimTrouble
from postroom.report.reporter import Reporter

ACTIVE = KeyPair("example.org", "r1", RSA, "v=DKIM1; p=A", NOON, KeyState.ACTIVE, sights=2, active_at=NOON)
OTHER = replace(ACTIVE, selector="e1", algorithm=ED25519)


class World:
    """A ring over a store; what signs is its selector and its private half."""

    def __init__(self, sealer: Sealer | None = None) -> None:
        self.store = MemoryDkimStore()
        self.told: list[Report] = []
        self.loads = 0
        self.ring = KeyRing(self.store, sealer or Sealer(), self._load, Reporter([self.told.append]))

    def _load(self, pair: KeyPair, private: bytes) -> str:
        self.loads += 1
        if private == b"broken":
            raise ValueError("no key")
        return f"{pair.selector} {private.decode()}"

    async def put(self, *pairs: KeyPair, private: bytes = b"private", sealer: Sealer | None = None) -> None:
        for pair in pairs:
            await self.store.bring(NewKey(pair, (sealer or Sealer()).seal(name_of(pair), private)))


async def test_what_may_sign_is_taken_up_and_what_changed_within_one_refresh() -> None:
    world = World()
    assert await world.ring.refresh()
    assert not await world.ring.refresh(), "nothing changed"
    assert world.ring.keys_for("example.org") == ()
    await world.put(ACTIVE, OTHER, replace(ACTIVE, selector="r2", state=KeyState.SEEN, active_at=None))
    await world.ring.refresh()
    assert world.ring.keys_for("example.org") == ("r1 private", "e1 private")
    assert len(world.ring) == 2
    assert world.ring.knows("example.org", "r1")
    assert not world.ring.knows("example.org", "r2")
    await world.store.save([replace(ACTIVE, sights=0)])
    await world.ring.refresh()
    assert world.ring.keys_for("example.org") == ("e1 private",)
    assert world.loads == 2, "each was opened once"


async def test_what_is_below_is_signed_by_what_is_above() -> None:
    world = World()
    await world.put(ACTIVE, replace(OTHER, domain="sub.example.org"))
    await world.ring.refresh()
    ring = world.ring
    assert ring.keys_for("a.b.example.org") == ("r1 private",)
    assert ring.keys_for("a.sub.example.org") == ("e1 private",)
    for stranger in ("org", "", "notexample.org", "example.org.evil.example", "[192.0.2.1]", "x." * 200 + "org"):
        assert ring.keys_for(stranger) == ()


async def test_a_top_level_domain_is_nobodys_parent() -> None:
    world = World()
    await world.put(replace(ACTIVE, domain="example", order=Order.SIGN))
    await world.ring.refresh()
    assert world.ring.keys_for("example") == ("r1 private",)
    assert world.ring.keys_for("bank.example") == ()


async def test_what_cannot_be_opened_is_told_once_and_the_others_sign(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).write_bytes(new_secret())
    right, wrong = open_sealer(tmp_path / "right"), open_sealer(tmp_path / "wrong")
    world = World(right)
    await world.put(ACTIVE, sealer=wrong)
    await world.put(OTHER, sealer=right)
    await world.put(replace(ACTIVE, domain="b.example"), private=b"broken")
    await world.ring.refresh()
    assert world.ring.keys_for("example.org") == ("e1 private",)
    assert world.ring.keys_for("b.example") == ()
    told = [report for report in world.told if isinstance(report, DkimTrouble)]
    assert sorted(report.domain for report in told) == ["b.example", "example.org"]
    assert any("encrypt --old" in report.reason for report in told)
    assert not any("broken" in report.reason for report in told)
    await world.put(replace(ACTIVE, domain="c.example"))
    await world.ring.refresh()
    assert len(world.told) == 2
    await world.store.reseal([(name_of(ACTIVE), right.seal(name_of(ACTIVE), b"private"))])
    await world.ring.refresh()
    assert len(world.ring.keys_for("example.org")) == 2


async def test_while_the_store_is_away_everything_stays() -> None:
    world = World()
    await world.put(ACTIVE)
    await world.ring.refresh()
    world.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await world.ring.refresh()
    assert world.ring.keys_for("example.org") == ("r1 private",)
