"""A message's life in sentences: who, when, what was said, and what comes next."""

import json

import pytest
from tests.fakes.memory_house import MemoryHistory
from tests.fakes.queue_store import MemoryQueueStore

from postroom.admin.history import tell_life
from postroom.admin.moments import local
from postroom.admin.refusal import Refused
from postroom.config.model import QueueSettings
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import ByMode, DeliverBy, Envelope, Recipient
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.queue.model import Intake
from postroom.queue.schedules import Schedules
from postroom.report.history import HistoryRow

ID = QueueId(1 << 50)
NOW = 1_800_000_000.0


async def say(kind: str, recipient: str = "", detail: object = None, message_id: str = "") -> str:
    text = detail if isinstance(detail, str) else json.dumps(detail or {})
    history = MemoryHistory([HistoryRow(ID, NOW, kind, recipient, "", message_id, text)])
    life = await tell_life(history, MemoryQueueStore(), ID, now=NOW, schedules=Schedules(QueueSettings()))
    assert life.standing == ()
    assert life.queued is None
    return life.moments[0].text


ATTEMPT = {
    "host": "mx.b.example",
    "address": "192.0.2.25",
    "tls": "TLSv1.3 X",
    "reply": "451 4.7.1 Wait",
    "attempt": 2,
    "seconds": 1.26,
}


async def test_accepted_with_special_wishes() -> None:
    detail = {"from": "a@b.example", "to": ["c@d.example"], "size": 9}
    wishes = {"hold_until": NOW + 60, "deliver_by": NOW + 120, "mode": "R", "priority": -4, "require_tls": True}
    text = await say("accepted", "c@d.example", {**detail, **wishes})
    assert text.endswith(
        f", not to be released before {local(NOW + 60)}, to be delivered by {local(NOW + 120)}, else returned,"
        " priority -4, only over TLS"
    )
    text = await say("accepted", "c@d.example", {**detail, "deliver_by": NOW + 120, "mode": "N"})
    assert text.endswith("else told of the delay")


async def test_what_was_checked() -> None:
    checked = {
        "results": [
            ["spf", "pass", "list.example"],
            ["dkim", "fail", "bank.example"],
            ["dmarc", "fail", "bank.example"],
        ],
        "action": "tag",
        "why": "DMARC fails for bank.example, which asks for p=reject; 192.0.2.9 forwards to us",
    }
    row = HistoryRow(ID, NOW, "accepted", detail=json.dumps({"from": "", "to": ["c@d.example"], "checked": checked}))
    life = await tell_life(MemoryHistory([row]), MemoryQueueStore(), ID, now=NOW, schedules=Schedules(QueueSettings()))
    accepted, moment = life.moments
    assert (accepted.kind, moment.kind, moment.detail) == ("accepted", "checked", checked)
    assert moment.text == (
        "checked: spf=pass (list.example), dkim=fail (bank.example), dmarc=fail (bank.example); "
        "taken in all the same, with the results in its header, because "
        "DMARC fails for bank.example, which asks for p=reject; 192.0.2.9 forwards to us"
    )
    held = await say("held", "c@d.example", {"quarantine": "DMARC fails"})
    assert held == "held for c@d.example until an operator releases it, because DMARC fails"


async def test_what_came_back() -> None:
    detail = {"by": "verp", "returned": show_queue_id(ID), "cause": "mailbox_unknown", "reply": "550 5.1.1 nobody"}
    assert await say("bounced", "b@b.example", {**detail, "host": "mx.b.example"}) == (
        "came back for b@b.example by mx.b.example: mailbox unknown: 550 5.1.1 nobody; "
        f"message {show_queue_id(ID)}, known by its return path"
    )
    assert (await say("delayed", "b@b.example", detail)).startswith("is delayed, as was reported for b@b.example")
    assert await say("complained", "b@b.example", {"by": "message_id", "type": "abuse"}) == (
        "b@b.example complained (abuse); message , known by its Message-ID"
    )


async def standing_of(queued: QueuedRecipient, **asks: object) -> str:
    message = Message(ID, NOW - 60, Envelope(None, (queued.recipient,), **asks), b"", 1)  # type: ignore[arg-type]
    queue = MemoryQueueStore()
    await queue.take_in([Intake(message, b"x", (queued,))])
    life = await tell_life(MemoryHistory([]), queue, ID, now=NOW, schedules=Schedules(QueueSettings()))
    return life.standing[0].text


async def test_held_back_by_its_sender() -> None:
    bob = Recipient(Address("b", "b.example"))
    text = await standing_of(QueuedRecipient(0, bob, next_attempt=NOW + 60), hold_until=NOW + 60)
    assert "is held back by its sender until" in text
    assert f"postroom queue release {show_queue_id(ID)}" in text
    text = await standing_of(QueuedRecipient(0, bob, next_attempt=NOW), hold_until=NOW + 60)  # released early
    assert "waits for its first attempt, due now" in text


async def test_given_up_at_the_deadline() -> None:
    bob = Recipient(Address("b", "b.example"))
    waiting = QueuedRecipient(0, bob, RecipientState.DEFERRED, attempts=1, next_attempt=NOW + 5)
    text = await standing_of(waiting, deliver_by=DeliverBy(90, ByMode.RETURN))
    assert f"given up at {local(NOW + 30)}" in text


async def test_accepted_from_a_client() -> None:
    text = await say(
        "accepted",
        "",
        {
            "from": "a@example.org",
            "to": ["b@b.example", "c@c.example"],
            "recipients": 30,
            "size": 3 << 20,
            "client": "192.0.2.7",
            "helo": "laptop",
            "protocol": "ESMTPSA",
            "tls": "TLSv1.3 AES",
            "account": "a@example.org",
        },
        "<m@x>",
    )
    assert text == (
        "accepted from <a@example.org> for b@b.example, c@c.example and 28 others, 3.0 MiB, from client 192.0.2.7"
        " (laptop) by ESMTPSA, TLSv1.3 AES, logged in as a@example.org, Message-ID <m@x>"
    )


async def test_accepted_without_tls_and_of_our_own() -> None:
    assert (await say("accepted", "", {"client": "192.0.2.7"})) == (
        "accepted from <> for nobody, 0 B, from client 192.0.2.7 by SMTP, without TLS"
    )
    assert (await say("accepted", "", {"to": ["b@b.example"]})).endswith("made on this server")


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        ("placed", {}, "placed in the mailbox of b@b.example"),
        (
            "placed",
            {"attempt": 1, "seconds": 0.0, "reply": "250 2.0.0 discarded"},
            "delivered for b@b.example: 250 2.0.0 discarded; attempt 1, 0.0 s",
        ),
        (
            "put_off",
            {"reply": "451 4.4.5 not tried: day 1 of warm-up", "why": "day 1 of warm-up"},
            "put off for b@b.example: 451 4.4.5 not tried: day 1 of warm-up",
        ),
        ("placed", {"for": "team@b.example"}, "placed in the mailbox of b@b.example (asked for as team@b.example)"),
        (
            "relayed",
            {**ATTEMPT, "reply": "250 2.0.0 OK"},
            "relayed for b@b.example at mx.b.example [192.0.2.25], TLSv1.3 X: 250 2.0.0 OK; attempt 2, 1.3 s",
        ),
        (
            "deferred",
            {"address": "192.0.2.25", "reply": "421 4.4.2 gone", "why": "reset", "ambiguous": True},
            "deferred for b@b.example at 192.0.2.25: 421 4.4.2 gone (reset) - the connection was lost after the content"
            " was sent, so the peer may have the message already",
        ),
        ("failed", {"reply": "550 5.1.1 No"}, "failed for b@b.example for good: 550 5.1.1 No"),
        ("expired", ATTEMPT, "given up for b@b.example: too old at mx.b.example"),
        ("removed", {}, "removed for b@b.example by an operator"),
        ("held", {}, "held for b@b.example by an operator"),
        ("released", {}, "released from hold for b@b.example by an operator"),
        ("retried", {}, "made due at once for b@b.example by an operator"),
        ("recovered", {}, "taken up again for b@b.example: the node"),
        ("dsn", {"action": "failed", "queue_id": "X"}, "told the sender b@b.example (failed) with message X"),
        ("dsn", {"action": "failed", "trouble": "gone"}, "could not tell the sender b@b.example (failed): gone"),
        ("novelty", {}, "novelty for b@b.example"),
        ("novelty", "not json", "novelty for b@b.example"),
        ("novelty", "[1]", "novelty for b@b.example"),
    ],
)
async def test_sentences(kind: str, detail: object, expected: str) -> None:
    assert (await say(kind, "b@b.example", detail)).startswith(expected)


async def test_deferred_says_when_next() -> None:
    text = await say("deferred", "b@b.example", {**ATTEMPT, "next_attempt": NOW + 300})
    assert "; next attempt 2027-01-" in text


async def test_unknown() -> None:
    with pytest.raises(Refused):
        await tell_life(MemoryHistory(), MemoryQueueStore(), ID, now=NOW, schedules=Schedules(QueueSettings()))


async def standing(state: RecipientState, *, sender: Address | None = None, **facts: object) -> str:
    recipient = Recipient(Address("b", "b.example"))
    queued = QueuedRecipient(0, recipient, state, **facts)  # type: ignore[arg-type]  # by name
    message = Message(ID, NOW - 100, Envelope(sender, (recipient,)), b"", 1)
    queue = MemoryQueueStore()
    other = QueuedRecipient(1, Recipient(Address("c", "c.example")))  # a message leaves the queue when all are settled
    await queue.take_in([Intake(message, b"", (queued, other))])
    life = await tell_life(MemoryHistory(), queue, ID, now=NOW, schedules=Schedules(QueueSettings()))
    return life.standing[0].text


async def test_standing() -> None:
    assert await standing(RecipientState.QUEUED) == "b@b.example waits for its first attempt"
    assert await standing(RecipientState.LEASED) == "b@b.example is being attempted now (attempt 1)"
    assert "nothing more will be tried" in await standing(RecipientState.FAILED)
    waiting = await standing(RecipientState.DEFERRED, attempts=1, next_attempt=NOW + 3700)
    assert "(in 1 h 1 min) after 1 attempt; it is given up at 2027-01-" in waiting


async def test_mail_of_the_null_sender_is_given_up_sooner() -> None:
    own = await standing(RecipientState.DEFERRED, attempts=1)
    others = await standing(RecipientState.DEFERRED, attempts=1, sender=Address("a", "a.example"))
    assert own.partition("given up at ")[2] < others.partition("given up at ")[2]
