"""What a submitter is told of an address that is better not written to."""

from dataclasses import replace

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.config.road import SuppressionSettings
from postroom.directory.model import NotLocal, Resolution, Resolved
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.envelope import Recipient
from postroom.mail.session import Client, Role
from postroom.policy.stage import AtRcpt
from postroom.policy.suppressed import suppressed_stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict
from postroom.reputation.listing import SuppressionList
from postroom.reputation.model import Origin
from postroom.reputation.noting import of_bounce

NOW = 1_800_000_000.0
RITA = Address.parse("rita@far.example")
SETTINGS = SuppressionSettings()
BOUNCE = of_bounce(
    SETTINGS, "ours.example", RITA, Cause.MAILBOX_UNKNOWN, reason="550 5.1.1 nobody", now=NOW, queue_id=1
)


async def ask(
    entry: object = BOUNCE,
    *,
    account: str = "ann@ours.example",
    sender: str | None = "ann@ours.example",
    to: Address = RITA,
    resolution: Resolution | None = None,
    at: float = NOW + 5,
) -> Verdict:
    store = MemorySuppressionStore()
    await store.put([entry])  # type: ignore[list-item] # an entry
    stage = suppressed_stage(SuppressionList(store, SETTINGS), HandClock(at))
    client = Client(1, Role.SUBMISSION, "192.0.2.1", 4711, account=account)
    path = None if sender is None else Address.parse(sender)
    assert stage.on_rcpt is not None
    return await stage.on_rcpt(AtRcpt(client, path, None, Recipient(to), resolution or NotLocal()))


async def test_the_refusal_names_cause_date_and_remedy() -> None:
    verdict = await ask()
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.status) == (550, "5.1.1")
    assert verdict.reply.lines == (
        "rita@far.example bounced on 2027-01-15 (mailbox unknown)",
        "It stands on the suppression list of ours.example",
        "To lift that: postroom suppression remove --domain ours.example rita@far.example",
    )
    assert "550 5.1.1 nobody" in verdict.reason


@pytest.mark.parametrize(
    ("origin", "cause", "says"),
    [
        (Origin.COMPLAINT, "abuse", "complained on 2027-01-15 (abuse)"),
        (Origin.COMPLAINT, "a\r\n250 ok\x1b", "complained on 2027-01-15 (a250 ok)"),
        (Origin.MANUAL, "manual", "was listed on 2027-01-15"),
    ],
)
async def test_complaints_and_what_operators_say(origin: Origin, cause: str, says: str) -> None:
    verdict = await ask(replace(BOUNCE, origin=origin, cause=cause))
    assert isinstance(verdict, Refuse)
    assert verdict.reply.status == "5.7.1"
    assert verdict.reply.lines[0] == f"rita@far.example {says}"


async def test_replies_stay_ascii_and_within_their_length() -> None:
    umlaut = Address.parse("jürgen@far.example")
    verdict = await ask(replace(BOUNCE, recipient=umlaut), to=umlaut)
    assert isinstance(verdict, Refuse)
    assert verdict.reply.text.isascii()
    longest = Address("a" * 60, ".".join(["b" * 60] * 3))
    domain = ".".join(["c" * 60] * 4)
    verdict = await ask(replace(BOUNCE, recipient=longest, sender_domain=domain), to=longest, sender=f"ann@{domain}")
    assert isinstance(verdict, Refuse)
    assert max(map(len, verdict.reply.to_bytes().split(b"\r\n"))) <= 510


async def test_others_are_not_refused() -> None:
    assert await ask(account="") is ACCEPT
    assert await ask(sender=None) is ACCEPT
    assert await ask(sender="ann@public.example") is ACCEPT
    assert await ask(to=Address.parse("kim@far.example")) is ACCEPT
    assert await ask(resolution=Resolved((), (RITA,))) is ACCEPT
    assert await ask(at=NOW + 91 * 86400) is ACCEPT
