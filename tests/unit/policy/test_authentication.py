"""The checks of a message, over real methods and a zone: what is found, told, counted, and how long it may take."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.fakes.checked_world import HOST, KeepingTally, a_zone, make_checks, methods_over, signed
from tests.fakes.clock import settle
from tests.fakes.hand_clock import HandClock

from postroom.directory.model import NotLocal
from postroom.dns.zone import Zone
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import find_body, glance
from postroom.mail.message import QueueId
from postroom.mail.session import Client, Role
from postroom.mailauth.content import Content
from postroom.mailauth.model import Policy, Result
from postroom.policy.authentication import MailChecks, Methods
from postroom.policy.chain import Chain
from postroom.policy.stage import AtMessage, AtRcpt
from postroom.policy.verdict import ACCEPT, Accept, Defer, Refuse, Verdict
from postroom.report.checking import MailChecked

NOW = 1_800_000_000.0
CLIENT = Client(7, Role.MX, "192.0.2.1", 25, "client.example", esmtp=True)
ANN = Address.parse("ann@good.example")
BOB = Recipient(Address.parse("bob@local.example"))
GOOD = b"From: ann@good.example\r\nTo: bob@local.example\r\nSubject: hi\r\n\r\nHello\r\n"
BANK = GOOD.replace(b"ann@good", b"info@bank")


class Desk:
    """Checks with everything that they tell, and one question after the other."""

    def __init__(self, zone: Zone | None = None, methods: Methods | None = None, **settings: Any) -> None:
        self.clock = HandClock(NOW)
        self.told: list[MailChecked] = []
        self.tally = KeepingTally()
        self.zone = zone or a_zone()
        self.checks: MailChecks = make_checks(
            self.clock, self.told.append, zone=self.zone, tally=self.tally, methods=methods, **settings
        )

    def chain(self, role: Role = Role.MX) -> Chain:
        stage = self.checks.stage(role)
        return Chain([] if stage is None else [stage])

    async def ask(
        self,
        content: bytes,
        sender: Address | None = ANN,
        client: Client = CLIENT,
        pieces: Content | None = None,
        recipients: Sequence[Recipient] = (BOB,),
    ) -> Verdict:
        """RCPT, the end of content, the end of the transaction."""
        chain = self.chain(client.role)
        for recipient in recipients:
            assert await chain.on_rcpt(AtRcpt(client, sender, None, recipient, NotLocal())) is ACCEPT
        end, _ = find_body(content)
        envelope = Envelope(sender, tuple(recipients))
        given = content if pieces is None else pieces
        moment = AtMessage(client, envelope, len(content), content, glance(content), QueueId(5), content[:end], given)
        verdict = await chain.on_message(moment)
        chain.on_end(client, accepted=isinstance(verdict, Accept))
        return verdict


def field_of(verdict: Verdict) -> str:
    """Our Authentication-Results, unfolded."""
    assert isinstance(verdict, Accept)
    return verdict.fields.decode().replace("\r\n ", " ").replace("\r\n\t", " ")


async def test_a_good_message() -> None:
    desk = Desk()
    verdict = await desk.ask(GOOD)
    field = field_of(verdict)
    assert field.startswith(f"Authentication-Results: {HOST}; spf=pass")
    assert "dkim=none" in field
    assert "dmarc=pass" in field
    assert isinstance(verdict, Accept)
    assert (verdict.tags, verdict.hold) == ((), "")
    assert verdict.facts["checked"] == {
        "results": [
            ["spf", "pass", "good.example"],
            ["helo", "none", "client.example"],
            ["dmarc", "pass", "good.example"],
        ],
        "action": "accept",
    }
    (told,) = desk.told
    assert (told.action, told.reason, told.author, told.queue_id) == ("accept", "", "good.example", 5)
    ((noted, disposition, overrides),) = desk.tally.noted
    assert noted.dmarc is not None
    assert (noted.dmarc.result, disposition, overrides) == (Result.PASS, Policy.NONE, ())
    assert desk.tally.said[0]["envelope_to"] == {"local.example"}


async def test_a_signature_makes_up_for_spf() -> None:
    """RFC 9989 §7.1."""
    desk = Desk(on_spf_fail="refuse")
    sender = Address.parse("bounce@bank.example")
    verdict = await desk.ask(await signed(BANK, NOW), sender)
    assert "spf=fail" in field_of(verdict)
    assert "dkim=pass" in field_of(verdict)
    assert "dmarc=pass" in field_of(verdict)
    assert desk.told[0].action == "accept"


async def test_a_broken_signature_is_none() -> None:
    """RFC 6376 §6.1: a message with a signature that fails is treated as one without."""
    desk = Desk()
    verdict = await desk.ask((await signed(BANK, NOW)).replace(b"Hello", b"Hallo"))
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status == "5.7.26"
    assert "DKIM fail for bank.example" in verdict.reply.text


async def test_a_signature_that_cannot_be_read_is_named_as_that() -> None:
    verdict = await Desk().ask(b"DKIM-Signature: v=1; a=rsa-sha256; b=abc; bh=xyz\r\n" + BANK)
    assert isinstance(verdict, Refuse)
    assert verdict.reply.lines[1].endswith("; a DKIM signature that cannot be read")


async def test_content_in_pieces() -> None:
    body = b"text that is long enough\r\n" * 20_000
    content = await signed(BANK + body, NOW)
    asked = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        for at in range(0, len(content), 65_536):
            yield content[at : at + 65_536]

    assert "dmarc=pass" in field_of(await Desk().ask(content[:65_536], pieces=pieces))
    assert asked >= 1


async def test_a_refusal_is_told_and_counted() -> None:
    desk = Desk()
    verdict = await desk.ask(BANK)
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.status) == (550, "5.7.26")
    assert verdict.reason == "DMARC fails for bank.example, which asks for p=reject"
    (told,) = desk.told
    assert (told.action, told.reason) == ("refuse", verdict.reason)
    ((_, disposition, overrides),) = desk.tally.noted
    assert (disposition, overrides) == (Policy.REJECT, ())


async def test_what_softened_it_is_told_and_counted() -> None:
    desk = Desk(trusted_forwarders=["192.0.2.0/24"])
    assert isinstance(await desk.ask(BANK), Accept)
    ((_, disposition, (override,)),) = desk.tally.noted
    assert (disposition, override.kind.value) == (Policy.NONE, "trusted_forwarder")
    assert "192.0.2" not in override.comment
    assert (desk.told[0].action, desk.told[0].leniency) == ("tag", "trusted_forwarder")


@pytest.mark.parametrize(("how", "hold"), [("tag", False), ("hold", True)])
async def test_quarantine(how: str, hold: bool) -> None:
    desk = Desk(quarantine=how)
    verdict = await desk.ask(GOOD.replace(b"good.", b"shop."))
    assert isinstance(verdict, Accept)
    assert verdict.fields.endswith(b"\r\nX-Postroom-Quarantine: dmarc\r\n")
    assert verdict.tags == ("quarantine",)
    assert bool(verdict.hold) is hold
    assert desk.tally.noted[0][1] is Policy.QUARANTINE
    assert verdict.facts["checked"]["why"] == "DMARC fails for shop.example, which asks for p=quarantine"


async def test_what_is_to_come_again_is_not_counted() -> None:
    desk = Desk(on_temperror="defer")
    verdict = await desk.ask(GOOD.replace(b"good.", b"lame."))
    assert isinstance(verdict, Defer)
    assert (verdict.reply.code, verdict.reply.status) == (451, "4.4.3")
    assert not desk.tally.noted
    assert desk.told[0].action == "defer"


# Who is checked.


@pytest.mark.parametrize(
    ("client", "checked"),
    [
        (CLIENT, True),
        (Client(1, Role.MX, "127.0.0.1", 25), False),
        (Client(1, Role.MX, "::1", 25), False),
        (Client(1, Role.MX, "192.0.2.1", 25, account="ann@local.example"), False),
        (Client(1, Role.LMTP, "192.0.2.1", 25), False),
        (Client(1, Role.SUBMISSION, "192.0.2.1", 25), False),
    ],
)
def test_who_is_checked(client: Client, checked: bool) -> None:
    assert Desk().checks.checks(client) is checked


def test_roles_that_are_not_checked_have_no_stage() -> None:
    desk = Desk()
    assert [role.value for role in Role if desk.checks.stage(role) is not None] == ["mx"]
    assert Desk(roles=[]).checks.stage(Role.MX) is None
    assert Desk(spf=False, dkim=False, dmarc=False).checks.stage(Role.MX) is None


async def test_who_is_not_checked_costs_nothing() -> None:
    desk = Desk()
    assert await desk.ask(BANK, client=Client(1, Role.MX, "127.0.0.1", 25)) is ACCEPT
    assert not desk.told
    assert not desk.zone.asked


async def test_behind_lmtp_spf_is_asked_of_whom_the_proxy_names() -> None:
    desk = Desk(roles=["lmtp"])
    plain = Client(1, Role.LMTP, "192.0.2.1", 25, "client.example")
    assert "spf=" not in field_of(await desk.ask(BANK, client=plain))  # and so nothing is refused
    assert (desk.told[0].action, desk.told[0].leniency) == ("tag", "local_policy")
    named = Client(1, Role.LMTP, "192.0.2.1", 25, "client.example", proxy="10.0.0.1")
    assert isinstance(await desk.ask(BANK, client=named), Refuse)


async def test_methods_that_are_off() -> None:
    assert "dkim=pass" in field_of(await Desk(spf=False, dmarc=False).ask(await signed(BANK, NOW)))
    desk = Desk(dkim=False, dmarc=False, on_spf_fail="refuse")
    verdict = await desk.ask(await signed(BANK, NOW), Address.parse("x@bank.example"))
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status == "5.7.23"


async def test_the_null_sender_is_the_host_that_says_helo() -> None:
    """RFC 7208 §2.4."""
    client = Client(7, Role.MX, "192.0.2.1", 25, "good.example", esmtp=True)
    assert "dmarc=pass" in field_of(await Desk().ask(GOOD, None, client))


# Time.


class Slow:
    """Methods that do not come to an end: those named."""

    def __init__(self, desk: Desk, *names: str) -> None:
        self._real = methods_over(desk.zone, desk.clock)
        self._slow = set(names)
        self.cancelled = 0

    def methods(self) -> Methods:
        real, pick = self._real, self._slow
        return Methods(
            spf=self if "spf" in pick else real.spf,
            signatures=self if "dkim" in pick else real.signatures,
            dmarc=self if "dmarc" in pick else real.dmarc,
            write=real.write,
            without_forged=real.without_forged,
        )

    async def check(self, *_: object) -> Any:
        return await self._never()

    async def evaluate(self, *_: object) -> Any:
        return await self._never()

    async def _never(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def slow_desk(*names: str, **settings: Any) -> tuple[Desk, Slow]:
    plain = Desk()
    slow = Slow(plain, *names)
    return Desk(zone=plain.zone, methods=slow.methods(), timeout=0.03, **settings), slow


async def test_slow_spf_is_not_known() -> None:
    desk, slow = slow_desk("spf")
    # RFC 9989 §5.3.6: SPF might have passed for the author.
    verdict = await desk.ask(BANK, Address.parse("x@bank.example"))
    assert "spf=temperror" in field_of(verdict)
    assert "dmarc=temperror" in field_of(verdict)
    await settle()
    assert slow.cancelled == 1


async def test_a_forgers_slow_spf_does_not_help_him() -> None:
    desk, _ = slow_desk("spf")
    verdict = await desk.ask(BANK, Address.parse("x@evil.example"))
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status == "5.7.26"


async def test_slow_keys_are_not_known() -> None:
    desk, _ = slow_desk("dkim")
    verdict = await desk.ask(await signed(BANK, NOW))
    assert "dkim=temperror" in field_of(verdict)
    assert "dmarc=temperror" in field_of(verdict)


async def test_a_forgers_slow_keys_do_not_help_him() -> None:
    desk, _ = slow_desk("dkim")
    forged = b"DKIM-Signature: v=1; a=rsa-sha256; s=x; d=evil.example; h=from; bh=; b=\r\n" + BANK
    assert isinstance(await desk.ask(forged), Refuse)


async def test_slow_dmarc() -> None:
    desk, _ = slow_desk("dmarc")
    assert "dmarc=temperror" in field_of(await desk.ask(BANK))
    desk, _ = slow_desk("dmarc", on_temperror="defer")
    verdict = await desk.ask(BANK)
    assert isinstance(verdict, Defer)
    assert "bank.example" in verdict.reply.text


@pytest.mark.parametrize("on_temperror", ["tag", "defer"])
async def test_without_a_dns_nothing_is_lost(on_temperror: str) -> None:
    """Every question fails: the mail is taken, or comes again; never refused."""
    zone = a_zone()
    zone.servfail.update(zone.records)
    for content in (GOOD, BANK, await signed(BANK, NOW)):
        verdict = await Desk(zone, on_temperror=on_temperror, on_spf_fail="refuse").ask(content)
        assert isinstance(verdict, Accept if on_temperror == "tag" else Defer)


async def test_spf_is_asked_while_the_content_comes() -> None:
    desk = Desk()
    chain = desk.chain()
    await chain.on_rcpt(AtRcpt(CLIENT, ANN, None, BOB, NotLocal()))
    await settle()
    assert ("TXT", "good.example") in desk.zone.asked
    before = len(desk.zone.asked)
    await chain.on_rcpt(AtRcpt(CLIENT, ANN, None, BOB, NotLocal()))
    await settle()
    assert len(desk.zone.asked) == before
    chain.on_end(CLIENT, accepted=False)


async def test_a_transaction_that_ends_early_asks_no_more() -> None:
    desk, slow = slow_desk("spf")
    chain = desk.chain()
    await chain.on_rcpt(AtRcpt(CLIENT, ANN, None, BOB, NotLocal()))
    await settle()
    chain.on_end(CLIENT, accepted=False)
    await settle()
    assert slow.cancelled == 1


async def test_a_bug_of_ours_is_not_the_peers() -> None:
    """It reaches the session, which answers 451; nothing goes on in the background."""
    desk, slow = slow_desk("spf")

    class Broken:
        async def check(self, _: Content) -> Any:
            raise ZeroDivisionError

    methods = Slow(desk, "spf")
    real = methods.methods()
    broken = Methods(
        spf=real.spf, signatures=Broken(), dmarc=real.dmarc, write=real.write, without_forged=real.without_forged
    )
    with pytest.raises(ZeroDivisionError):
        await Desk(methods=broken, timeout=0.03).ask(BANK)
    await settle()
    assert (slow.cancelled, methods.cancelled) == (0, 1)


# What strangers say.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no field at all",
        b"From: a\r\n\r\n",
        b"From: \x00\xff@\xfe\r\n\r\n",
        b"From: (" * 2000 + b"\r\n\r\n",
        b"From: a@b.example\r\n" + b"DKIM-Signature: v=1; d=x\r\n" * 2000 + b"\r\n",
        b"List-Id: <" + b"a" * 9000 + b">\r\nFrom: x@bank.example\r\n\r\n",
        b"From: " + b"a@b.example, " * 3000 + b"\r\n\r\n",
    ],
)
async def test_hostile_headers(content: bytes) -> None:
    desk = Desk(on_list="tag", trusted_sealers=["x.example"], on_several_authors="tag")
    verdict = await desk.ask(content)
    if isinstance(verdict, Accept):
        assert verdict.fields.count(b"\r\n") == len(verdict.fields.splitlines())
        assert verdict.fields.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").count(b"\r\n") <= 2
        assert max(len(line) for line in verdict.fields.split(b"\r\n")) <= 998
    else:
        assert all(len(line) < 500 for line in verdict.reply.lines)
        assert verdict.reply.text.isprintable()


async def test_a_long_explanation_is_cut() -> None:
    """RFC 7208 §6.2: it is a stranger's text; RFC 5321 §4.5.3.1.5: a line has 512 octets."""
    zone = a_zone()
    zone.add("ill.example", "TXT", "v=spf1 -all exp=why.ill.example")
    zone.add("why.ill.example", "TXT", "x" * 250)
    content = GOOD.replace(b"ann@good", b"x@ill")
    verdict = await Desk(zone, on_spf_fail="refuse").ask(content, Address.parse("x@ill.example"))
    assert isinstance(verdict, Refuse)
    assert verdict.reply.lines[1] == f"The domain ill.example explains: {'x' * 200}"
    assert all(len(line) < 512 for line in verdict.reply.to_bytes().split(b"\r\n"))
