"""Return paths at the door: who gets one, and where mail to one leads."""

from dataclasses import replace

import pytest
from tests.fakes.house import House, account
from tests.fakes.memory_house import MemoryHistory

from postroom.config.road import ReturnsSettings
from postroom.directory.model import Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.message import Message
from postroom.mail.returnpath import Forwarded, ReturnPaths, Sent, mark_of
from postroom.mail.session import Client, Role
from postroom.queue.returning import Returns

DAY = 86400.0
ANN = "ann@home.example"
OUT = Resolved((), (Address.parse("rita@far.example"),))
BOTH = Resolved((account(1, ANN),), (Address.parse("rita@far.example"),))
PATHS = ReturnPaths(b"s" * 32, 14 * DAY)


async def is_local(domain: str) -> bool:
    return domain in ("home.example", "back.example")


class Door:
    """A house whose door knows return paths."""

    def __init__(self, **settings: object) -> None:
        self.house = House()
        self.house.resolutions |= {"team@home.example": OUT, "list@home.example": BOTH}
        self.returns = Returns(
            settings=ReturnsSettings(**settings),
            paths=PATHS,
            resolve=self.house.resolve,
            is_local=is_local,
            history=MemoryHistory(self.house.store.history),
            clock=self.house.clock,
        )
        self.house.open()
        self.house.door._returns = self.returns

    async def paths(self, *to: str, **fields: object) -> list[Address | None]:
        """The return paths of the queued recipients."""
        await self.house.send(*to, **fields)
        return [one.return_path for one in self.house.store.intakes[-1].queued]

    def read(self, path: Address | None) -> object:
        assert path is not None
        return PATHS.read(path, self.house.clock.now())

    async def resolve(self, address: Address | str) -> Resolution:
        return await self.returns.resolve(Address.parse(address) if isinstance(address, str) else address)


@pytest.mark.parametrize("asked", ["team@home.example", "list@home.example"])
async def test_what_is_forwarded_comes_back_to_us(asked: str) -> None:
    door = Door()
    (path,) = await door.paths(asked, sender="Sam@sender.example")
    assert path is not None
    assert path.domain == "home.example"
    assert door.read(path) == Forwarded(Address.parse("Sam@sender.example"))
    assert await door.resolve(path) == Resolved((), (Address.parse("Sam@sender.example"),))


async def test_our_own_domain_may_send_from_here_as_it_is() -> None:
    door = Door()
    assert await door.paths("team@home.example", sender=ANN) == [None]
    assert await door.paths("team@home.example", sender=None) == [None]
    assert await door.paths("rita@far.example", sender="sam@sender.example") == [None]


async def test_srs_can_be_off_and_can_have_a_domain() -> None:
    assert await Door(srs=False).paths("team@home.example", sender="sam@sender.example") == [None]
    (path,) = await Door(domain="back.example").paths("team@home.example", sender="sam@sender.example")
    assert path is not None
    assert path.domain == "back.example"
    # What is not ours would never come back
    assert await Door(domain="typo.example").paths("team@home.example", sender="sam@sender.example") == [None]


async def test_a_sender_too_long_for_srs_gets_a_token() -> None:
    door = Door()
    sender = f"{'bounce' * 9}@sender.example"
    (path,) = await door.paths("team@home.example", sender=sender)
    assert isinstance(door.read(path), Sent)
    assert path is not None
    assert await door.resolve(path) == Resolved((), (Address.parse(sender),))


async def test_each_recipient_of_a_submitted_message_has_a_token() -> None:
    door = Door(verp=True)
    two, one = await door.paths("bob@far.example", "list@home.example", "ben@home.example", sender=ANN, account=ANN)
    queue_id = door.house.store.intakes[-1].message.queue_id
    assert door.read(one) == Sent(queue_id, mark_of(Address.parse("rita@far.example")))
    assert door.read(two) == Sent(queue_id, mark_of(Address.parse("bob@far.example")))
    assert await door.resolve(one or "") == Resolved((account(1, ANN),))


async def test_tokens_are_for_what_accounts_submit_and_only_when_asked_for() -> None:
    assert await Door(verp=True).paths("rita@far.example", sender=ANN) == [None]
    assert await Door(verp=True).paths("rita@far.example", sender=None, account=ANN) == [None]
    assert await Door().paths("rita@far.example", sender=ANN, account=ANN) == [None]


async def test_mail_that_is_held_back_has_a_return_path_that_lasts() -> None:
    door = Door(verp=True)
    until = door.house.clock.now() + 30 * DAY
    (path,) = await door.paths("rita@far.example", sender=ANN, account=ANN, asks={"hold_until": until})
    assert path is not None
    assert isinstance(PATHS.read(path, until + 13 * DAY), Sent)


async def test_return_paths_that_are_not_good_lead_nowhere_and_say_so() -> None:
    door = Door(verp=True)
    (path,) = await door.paths("rita@far.example", sender=ANN, account=ANN)
    assert path is not None
    forged = replace(path, local=path.local[:-1] + ("a" if path.local[-1] != "a" else "b"))
    found = await door.resolve(forged)
    assert isinstance(found, Unknown)
    assert "not made here" in found.told
    await door.house.clock.pass_time(16 * DAY)
    found = await door.resolve(path)
    assert isinstance(found, Unknown)
    assert "expired" in found.told


async def test_a_token_of_a_message_that_is_forgotten() -> None:
    door = Door(verp=True)
    (path,) = await door.paths("rita@far.example", sender=ANN, account=ANN)
    door.house.store.history.clear()
    found = await door.resolve(path or "")
    assert isinstance(found, Unknown)
    assert "expired" in found.told


async def test_return_paths_of_others_and_ordinary_addresses_are_the_directorys() -> None:
    door = Door()
    (path,) = await door.paths("team@home.example", sender="sam@sender.example")
    assert path is not None
    elsewhere = replace(path, domain="other.example")
    assert not (await door.resolve(elsewhere)).is_ours
    assert await door.resolve("team@home.example") == OUT
    assert await door.resolve("b-side@home.example") == Unknown()
    assert await door.resolve("postmaster") == await door.house.resolve(Address.parse("postmaster"))


async def test_a_reply_to_a_forward_is_forwarded_itself_with_a_return_path() -> None:
    door = Door()
    (path,) = await door.paths("team@home.example", sender="sam@sender.example")
    door.house.door._resolve = door.returns.resolve
    (back,) = await door.paths(str(path), sender="rita@far.example")
    assert door.read(back) == Forwarded(Address.parse("rita@far.example"))
    assert door.house.store.intakes[-1].queued[0].recipient.address == Address.parse("sam@sender.example")


CLIENT = Client(1, Role.MX, "192.0.2.1", 4711)


async def noted(door: Door, *to: str, **fields: object) -> tuple[str, ...]:
    message: Message = await door.house.send(*to, **{"client": CLIENT, **fields})
    (intake,) = [one for one in door.house.store.intakes if one.message.queue_id == message.queue_id]
    return intake.returned


async def test_what_may_be_a_bounce_is_noted() -> None:
    door = Door(verp=True, complaints=("fbl@home.example",))
    door.house.resolutions["fbl@home.example"] = Resolved((account(3, "fbl@home.example"),))
    (path,) = await door.paths("rita@far.example", sender=ANN, account=ANN)
    door.house.door._resolve = door.returns.resolve
    assert await noted(door, ANN, sender=None) == (ANN,)
    assert await noted(door, str(path), sender="odd@far.example") == (str(path),)
    assert await noted(door, ANN, "FBL@home.example", sender="fbl@isp.example") == ("FBL@home.example",)
    many = await noted(door, *[f"{n}.{ANN}" for n in range(30)], ANN, sender=None)
    assert len(many) == 20


async def test_nearly_all_mail_is_not() -> None:
    door = Door(complaints=("fbl@home.example",))
    assert await noted(door, ANN, sender="sam@sender.example") == ()
    assert await noted(door, ANN, sender=None, account="ben@home.example") == ()  # an MDN
    assert await noted(door, ANN, sender=None, client=None) == ()  # made here
    assert await noted(door, "rita@far.example", sender=None) == ()
