"""A forger's own servers answer late or never: what he claims of others is judged by the others' DNS all the same."""

import asyncio
from typing import Any

import pytest
from tests.fakes.checked_world import HOST, a_zone, make_checks, signed
from tests.fakes.dkim_signer import record, seal
from tests.fakes.hand_clock import HandClock

from postroom.directory.model import NotLocal
from postroom.dns.resolver import Answer
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import find_body, glance
from postroom.mail.message import QueueId
from postroom.mail.session import Client, Role
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dmarc.evaluating import DmarcEvaluator
from postroom.mailauth.results import without_forged, write_results
from postroom.mailauth.spf import SpfChecker
from postroom.policy.authentication import Methods
from postroom.policy.chain import Chain
from postroom.policy.stage import AtMessage, AtRcpt
from postroom.policy.verdict import Accept, Refuse, Verdict

NOW = 1_800_000_000.0
TIMEOUT = 0.9
BOB = Recipient(Address.parse("bob@local.example"))
BANK = b"From: info@bank.example\r\nTo: bob@local.example\r\n\r\nHello\r\n"


class SilentResolver(ZoneResolver):
    """Nothing at or below slow.example is ever answered."""

    async def txt(self, name: str) -> Answer[bytes]:
        if name == "slow.example" or name.endswith(".slow.example"):
            await asyncio.get_running_loop().create_future()
        return await super().txt(name)


def silent_methods(zone: Zone, clock: HandClock, timeout: float) -> Methods:
    """The real methods, with the bounds that a node gives them."""
    resolver = SilentResolver(zone)
    return Methods(
        spf=SpfChecker(resolver, hostname=HOST, clock=clock, helo_seconds=timeout / 6),
        signatures=SignatureChecker(resolver, clock, seconds=timeout / 2),
        dmarc=DmarcEvaluator(resolver, seconds=timeout / 4),
        write=write_results,
        without_forged=without_forged,
    )


async def judge(content: bytes, sender: str, helo: str = "client.example", zone: Zone | None = None) -> Verdict:
    """What is done with a message from an address that speaks for nobody."""
    clock, told = HandClock(NOW), list[Any]()
    zone = zone or a_zone()
    methods = silent_methods(zone, clock, TIMEOUT)
    checks = make_checks(clock, told.append, zone=zone, methods=methods, timeout=TIMEOUT)
    stage = checks.stage(Role.MX)
    assert stage is not None
    chain = Chain([stage])
    client = Client(7, Role.MX, "198.51.100.9", 25, helo, esmtp=True)
    path = Address.parse(sender)
    await chain.on_rcpt(AtRcpt(client, path, None, BOB, NotLocal()))
    end, _ = find_body(content)
    moment = AtMessage(
        client, Envelope(path, (BOB,)), len(content), content, glance(content), QueueId(5), content[:end], content
    )
    verdict = await chain.on_message(moment)
    chain.on_end(client, accepted=isinstance(verdict, Accept))
    return verdict


async def test_a_slow_helo_name_does_not_keep_spf_from_failing() -> None:
    assert isinstance(await judge(BANK, "info@bank.example", helo="slow.example"), Refuse)


async def test_the_null_sender_is_asked_as_long_as_any() -> None:
    """Then HELO is who sends (RFC 7208 §2.4)."""
    assert isinstance(await judge(BANK, "x@plain.example", helo="client.example"), Refuse)


async def test_a_slow_key_does_not_keep_other_signatures_from_failing() -> None:
    broken = (await signed(BANK, NOW)).replace(b"Hello", b"Hallo")
    slow = b"DKIM-Signature: v=1; a=rsa-sha256; s=x; d=slow.example; h=from; bh=eA==; b=eA==\r\n"
    for forged in (slow + broken, slow * 9 + broken, broken):
        verdict = await judge(forged, "x@plain.example")
        assert isinstance(verdict, Refuse)
        assert verdict.reply.status == "5.7.26"


async def test_slow_seals_do_not_keep_signatures_from_failing() -> None:
    """The newest set is true, so that the keys of all the others are asked for, some at a time."""
    zone = a_zone()
    zone.add("sel._domainkey.forger.example", "TXT", record())
    sealed = (await signed(BANK, NOW)).replace(b"Hello", b"Hallo")
    for number in range(30):
        sealed = seal(sealed, domain=f"d{number}.slow.example")
    sealed = seal(sealed, domain="forger.example")
    verdict = await judge(sealed, "x@plain.example", zone=zone)
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status == "5.7.26"


@pytest.mark.parametrize("authors", ["info@bank.example, x@slow.example", "x@slow.example, info@bank.example"])
async def test_a_second_author_does_not_hide_the_first(authors: str) -> None:
    """RFC 9989 §11.5: the strictest policy of those that fail."""
    content = BANK.replace(b"info@bank.example", authors.encode())
    assert isinstance(await judge(content, "x@plain.example"), Refuse)


async def test_an_author_alone_whose_domain_is_silent_is_not_refused() -> None:
    verdict = await judge(BANK.replace(b"info@bank.example", b"x@slow.example"), "x@plain.example")
    assert isinstance(verdict, Accept)
    assert b"dmarc=temperror" in verdict.fields
