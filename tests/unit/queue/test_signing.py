"""Which mail is ours, by whose key it is signed, and that what was signed verifies as it leaves (RFC 6376)."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.house import House, account
from tests.fakes.letters import NOON

from postroom.directory.model import Account, NotLocal, Resolution, Resolved
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.notice import Action, RecipientReport
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.content import Content
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key
from postroom.mailauth.keys.record import zone_text
from postroom.mailauth.model import Result
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.model import Draft
from postroom.queue.signing import KeySigner, Signed

ANN = "ann@home.example"
BODY = b"Subject: hi\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@home.example>\r\n\r\nHello\r\n"
AWAY: tuple[Resolution, ...] = (NotLocal(),)
HERE: tuple[Resolution, ...] = (Resolved((account(2, "ben@home.example"),)),)
RSA = make_key(Algorithm.RSA)


def key(domain: str, selector: str = "e1") -> SigningKey:
    return SigningKey(domain, selector, Algorithm.ED25519, make_key(Algorithm.ED25519))


@dataclass
class DictRing:
    """Keys by domain, as a server has them."""

    by_domain: dict[str, tuple[SigningKey, ...]] = field(default_factory=dict)

    def keys_for(self, domain: str) -> tuple[SigningKey, ...]:
        while domain and domain not in self.by_domain:
            domain = domain.partition(".")[2]
        return self.by_domain.get(domain, ())

    def knows(self, domain: str, selector: str) -> bool:
        return any(each.selector == selector for each in self.by_domain.get(domain, ()))


@dataclass
class People:
    """Who may send as what: an account as itself, and what is listed."""

    may: set[tuple[str, str]] = field(default_factory=set)
    known: tuple[str, ...] = (ANN, "eve@tenant.example")

    async def account(self, name: str) -> Account | None:
        return account(1, name) if name in self.known else None

    async def may_send_as(self, who: Account, address: Address) -> bool:
        return address == who.address or (str(who.address), str(address)) in self.may


@dataclass
class Chunks:
    """Large content; ``unavailable``: the store is down."""

    pieces: Sequence[bytes] = ()
    unavailable: bool = False

    async def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if self.unavailable:
                raise StoreUnavailable("down")
            yield piece


class Desk:
    """A signer with everything that it asks within reach."""

    def __init__(self) -> None:
        rsa = SigningKey("home.example", "r1", Algorithm.RSA, RSA)
        self.ring = DictRing({"home.example": (rsa, key("home.example")), "tenant.example": (key("tenant.example"),)})
        self.people = People()
        self.chunks = Chunks()
        self.clock = HandClock(NOON)
        self.signer = KeySigner(
            self.ring,
            sign=sign,
            accounts=self.people,
            is_trusted=lambda address: address.startswith("10."),
            contents=self.chunks,
            clock=self.clock,
        )

    async def verify(self, content: Content) -> list[tuple[Result, str, str]]:
        zone = Zone()
        for keys in self.ring.by_domain.values():
            for each in keys:
                zone.add(each.name, "TXT", zone_text(key_record(each)))
        found = await SignatureChecker(ZoneResolver(zone), self.clock).check(content)
        return [(check.result, check.domain, check.selector) for check in found.dkim]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def submitted(sender: str = ANN, login: str = ANN, *, fields: bytes = b"", prefix: bytes = b"Received: x\r\n") -> Draft:
    """A message that an account submits to somebody elsewhere."""
    client = Client(1, Role.SUBMISSION, "192.0.2.7", 999, "laptop", True, None, login)
    content = fields + (f"From: {sender}\r\n".encode() if sender else b"") + BODY
    envelope = Envelope(Address.parse(login) if login else None, (Recipient(Address.parse("bob@far.example")),))
    return Draft(QueueId(7), NOON, envelope, content, prefix=prefix, resolutions=AWAY, account=login, client=client)


def relayed(
    address: str, *, resolutions: tuple[Resolution, ...] = AWAY, role: Role = Role.MX, sender: str = ANN
) -> Draft:
    client = Client(1, role, address, 999, "lan", True)
    return replace(submitted(sender), client=client, account="", resolutions=resolutions)


def own(sender: str = "postmaster@mx.home.example", *, fields: bytes = b"") -> Draft:
    return replace(submitted(sender, fields=fields), client=None, account="", prefix=b"")


def domains(signed: Signed) -> list[str]:
    return sorted({name.partition("._domainkey.")[2] for name in signed.by})


async def test_what_an_account_submits_is_signed_by_every_key_and_verifies(desk: Desk) -> None:
    draft = submitted()
    signed = await desk.signer.fields(draft)
    assert signed.by == ("r1._domainkey.home.example", "e1._domainkey.home.example")
    assert signed.fields.count(b"DKIM-Signature:") == 2
    assert await desk.verify(signed.fields + draft.prefix + (draft.content or b"")) == [
        (Result.PASS, "home.example", "r1"),
        (Result.PASS, "home.example", "e1"),
    ]


async def test_fields_that_we_added_in_the_prefix_are_signed_too(desk: Desk) -> None:
    draft = replace(submitted(""), prefix=b"Received: x\r\nFrom: ann@home.example\r\n")
    signed = await desk.signer.fields(draft)
    assert domains(signed) == ["home.example"]
    whole = signed.fields + draft.prefix + (draft.content or b"")
    assert {result for result, _, _ in await desk.verify(whole)} == {Result.PASS}
    forged = whole.replace(b"From: ann@", b"From: eve@")
    assert {result for result, _, _ in await desk.verify(forged)} == {Result.FAIL}


async def test_content_that_streams_from_the_store_is_read_back(desk: Desk) -> None:
    content = b"From: ann@home.example\r\n" + BODY + b"y" * 70 + b"\r\n" + b"x" * 200_000 + b"\r\n"
    pieces = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
    desk.chunks.pieces = pieces
    draft = replace(submitted(), content=None, content_size=len(content), content_start=pieces[0])
    signed = await desk.signer.fields(draft)
    assert len(signed.by) == 2
    assert {result for result, _, _ in await desk.verify(signed.fields + draft.prefix + content)} == {Result.PASS}


async def test_a_store_that_fails_is_told_and_nothing_goes_unsigned(desk: Desk) -> None:
    desk.chunks = Chunks([b"x"], unavailable=True)
    desk.signer._contents = desk.chunks
    with pytest.raises(StoreUnavailable):
        await desk.signer.fields(
            replace(submitted(), content=None, content_size=9, content_start=b"From: ann@home.example\r\n\r\nx")
        )


class TestWhose:
    async def test_nobody_gets_the_signature_of_a_domain_that_is_not_theirs(self, desk: Desk) -> None:
        """Two customers on one server: Eve may write From: ann@home.example, but it is signed as Eve's."""
        assert domains(await desk.signer.fields(submitted(ANN, "eve@tenant.example"))) == ["tenant.example"]
        both = f"eve@tenant.example, {ANN}"
        assert domains(await desk.signer.fields(submitted(both, "eve@tenant.example"))) == ["tenant.example"]
        assert domains(await desk.signer.fields(submitted(f"{ANN}, broken", "eve@tenant.example"))) == [
            "tenant.example"
        ]

    async def test_an_alias_of_another_domain_signs_as_that_domain(self, desk: Desk) -> None:
        desk.people.may.add(("eve@tenant.example", "sales@home.example"))
        assert domains(await desk.signer.fields(submitted("sales@home.example", "eve@tenant.example"))) == [
            "home.example"
        ]

    async def test_a_foreign_author_is_signed_as_the_account(self, desk: Desk) -> None:
        assert domains(await desk.signer.fields(submitted("me@gmail.example"))) == ["home.example"]

    async def test_the_key_of_a_parent_signs_for_what_is_below(self, desk: Desk) -> None:
        desk.people.may.add((ANN, "ann@lists.home.example"))
        assert domains(await desk.signer.fields(submitted("ann@lists.home.example"))) == ["home.example"]
        desk.ring.by_domain["lists.home.example"] = (key("lists.home.example"),)
        assert domains(await desk.signer.fields(submitted("ann@lists.home.example"))) == ["lists.home.example"]

    @pytest.mark.parametrize("fields", [b"From: eve@home.example\r\n", b"FROM : eve@home.example\r\n"])
    async def test_two_authors_fields_are_not_signed(self, desk: Desk, fields: bytes) -> None:
        signed = await desk.signer.fields(submitted(fields=fields))
        assert signed == Signed(why_not="it has 2 From fields")

    async def test_a_second_one_behind_what_is_at_hand_is_seen(self, desk: Desk) -> None:
        """The beginning of large content is 64 KiB, a header may be longer."""
        filler = b"X-Filler: x\r\n" * 6000
        content = b"From: ann@home.example\r\n" + filler + b"From: eve@tenant.example\r\n" + BODY
        desk.chunks.pieces = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
        draft = replace(submitted(), content=None, content_size=len(content), content_start=content[:65_536])
        assert await desk.signer.fields(draft) == Signed(why_not="it has more than one From field")

    async def test_an_empty_group_is_signed_as_the_account(self, desk: Desk) -> None:
        assert domains(await desk.signer.fields(submitted("Nobody:;"))) == ["home.example"]

    async def test_without_a_key_it_says_why(self, desk: Desk) -> None:
        del desk.ring.by_domain["home.example"]
        signed = await desk.signer.fields(submitted())
        assert signed.why_not == "no key of home.example or above signs now: see postroom dkim list"
        desk.ring.by_domain.clear()
        assert await desk.signer.fields(submitted()) == signed


class TestOurs:
    async def test_strangers_mail_is_not(self, desk: Desk) -> None:
        """Not even on its way through an alias to somebody elsewhere, and with our own domain in From."""
        forwarded = (Resolved((), (Address.parse("x@far.example"),)),)
        for resolutions in (AWAY, HERE, forwarded):
            assert await desk.signer.fields(relayed("192.0.2.9", resolutions=resolutions)) == Signed()

    async def test_what_our_machines_relay_is(self, desk: Desk) -> None:
        assert domains(await desk.signer.fields(relayed("10.0.0.5"))) == ["home.example"]
        assert domains(await desk.signer.fields(relayed("10.0.0.5", sender="root@web1.home.example"))) == [
            "home.example"
        ]
        assert (await desk.signer.fields(relayed("10.0.0.5", sender="x@far.example"))).fields == b""

    async def test_what_a_gateway_of_ours_brings_in_is_not(self, desk: Desk) -> None:
        assert await desk.signer.fields(relayed("10.0.0.5", resolutions=HERE)) == Signed()

    async def test_what_comes_by_lmtp_is_not(self, desk: Desk) -> None:
        assert await desk.signer.fields(relayed("10.0.0.5", role=Role.LMTP)) == Signed()

    async def test_what_this_server_writes_is(self, desk: Desk) -> None:
        assert domains(await desk.signer.fields(own())) == ["home.example"]

    async def test_what_a_program_here_only_passes_on_is_not(self, desk: Desk) -> None:
        assert await desk.signer.fields(own(ANN, fields=b"Received: from elsewhere\r\n")) == Signed()

    async def test_what_went_through_a_filter_and_came_back_is_not_signed_twice(self, desk: Desk) -> None:
        draft = relayed("10.0.0.5")
        first = await desk.signer.fields(draft)
        again = replace(draft, content=first.fields + (draft.content or b""))
        assert await desk.signer.fields(again) == Signed(why_not="it bears a signature of ours already")

    @pytest.mark.parametrize(
        "other",
        [
            b"DKIM-Signature: v=1; d=far.example; s=r1; b=x\r\n",
            b"DKIM-Signature: v=1; d=home.example; s=retired; b=x\r\n",
            b"DKIM-Signature: broken\r\n",
        ],
    )
    async def test_signatures_of_others_and_old_ones_do_not_keep_us_from_it(self, desk: Desk, other: bytes) -> None:
        assert len((await desk.signer.fields(submitted(fields=other))).by) == 2

    async def test_a_header_too_long_goes_unsigned_and_says_so(self, desk: Desk) -> None:
        signed = await desk.signer.fields(submitted(fields=b"X-Long: y\r\n" * 200_000))
        assert signed.fields == b""
        assert signed.why_not


async def test_at_the_door_signatures_stand_in_front_and_the_history_tells(desk: Desk) -> None:
    house = House()
    house.open()
    door = IntakeDoor(
        admission=house.admission,
        resolve=house.resolve,
        dsns=house.dsns,
        clock=house.clock,
        reporter=house.reporter,
        signer=desk.signer,
    )
    draft = replace(submitted(), resolutions=(), queue_id=house.ids.next())
    message = await door.accept(draft)
    assert message.prefix.startswith(b"DKIM-Signature: ")
    assert message.prefix.endswith(draft.prefix)
    detail = json.loads(house.store.history[0].detail)
    assert detail["signed"] == ["r1._domainkey.home.example", "e1._domainkey.home.example"]
    assert detail["size"] == message.size
    whole = message.prefix + (draft.content or b"")
    assert {result for result, _, _ in await desk.verify(whole)} == {Result.PASS}
    desk.ring.by_domain.pop("home.example")
    await door.accept(replace(draft, queue_id=house.ids.next()))
    rows = [row for row in house.store.history if row.kind == "accepted"]
    assert "no key of home.example" in json.loads(rows[-1].detail)["unsigned"]


async def test_a_dsn_is_signed_by_the_key_of_the_host_or_what_is_above_it(desk: Desk) -> None:
    house = House()
    maker = DsnMaker(
        hostname="mx.home.example",
        contents=house.store,
        resolve=house.resolve,
        ids=house.ids,
        clock=house.clock,
        reporter=house.reporter,
        signer=desk.signer,
    )
    recipient = Recipient(Address.parse("bob@far.example"))
    message = Message(QueueId(3), NOON, Envelope(Address.parse(ANN), (recipient,)), b"", len(BODY))
    report = RecipientReport(recipient, Action.FAILED, Reply.of(550, "5.1.1", "no such user"), last_attempt=NOON)
    dsn = await maker.make(message, [report], BODY)
    assert dsn is not None
    assert dsn.message.prefix.startswith(b"DKIM-Signature: ")
    verified = await desk.verify(dsn.message.prefix + (dsn.content or b""))
    assert [(result, domain) for result, domain, _ in verified] == [(Result.PASS, "home.example")] * 2
