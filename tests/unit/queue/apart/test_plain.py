"""Admissions cross the wire whole: every field of every value that they are made of."""

import dataclasses
import marshal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.address import Address
from postroom.mail.delivery import NO_PEER, Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Notify, Recipient, Ret
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mailbox.model import NewEntry
from postroom.net.apart.frames import WireError
from postroom.queue.apart.plain import read_admissions, write_admissions
from postroom.queue.model import Intake, Lease
from postroom.queue.reportmodel import ReportNote
from postroom.report.history import HistoryRow

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
TIME = st.floats(allow_nan=False)
YES = st.booleans()
OCTETS = st.binary(max_size=20)


def some(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(one, max_size=3).map(tuple)


def maybe(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | one


MADE: list[type] = []
"""The values whose fields have been seen."""


def made(kind: type, /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a kind, all of whose fields are named here."""
    assert set(fields) == {one.name for one in dataclasses.fields(kind) if one.init}, f"{kind.__name__} has changed"
    MADE.append(kind)
    return st.builds(kind, **fields)


ADDRESS = made(Address, local=TEXT, domain=TEXT)
RECIPIENT = made(
    Recipient, address=ADDRESS, notify=maybe(st.sampled_from([Notify(bits) for bits in range(8)])), orcpt=TEXT
)
BY = made(DeliverBy, seconds=WHOLE, mode=st.sampled_from(ByMode), trace=YES)
ENVELOPE = made(
    Envelope, reverse_path=maybe(ADDRESS), recipients=some(RECIPIENT), body=st.sampled_from(Body), smtputf8=YES,
    ret=maybe(st.sampled_from(Ret)), envid=TEXT, deliver_by=maybe(BY), hold_until=maybe(TIME), priority=WHOLE,
    require_tls=YES, hold_request=TEXT,
)  # fmt: skip
MESSAGE = made(
    Message, queue_id=WHOLE, received_at=TIME, envelope=ENVELOPE, prefix=OCTETS, content_size=WHOLE, account=TEXT,
    client=TEXT, message_id=TEXT, tags=some(TEXT),
)  # fmt: skip
PEER = made(Peer, host=TEXT, address=TEXT, port=WHOLE, tls=TEXT, policy=TEXT, source=TEXT)
REPLY = made(Reply, code=WHOLE, status=TEXT, lines=some(TEXT))
QUEUED = made(
    QueuedRecipient, number=st.integers(0, 5), recipient=RECIPIENT, state=st.sampled_from(RecipientState),
    attempts=WHOLE, next_attempt=maybe(TIME), last_attempt=maybe(TIME), last_reply=maybe(REPLY),
    last_peer=st.just(NO_PEER) | PEER, delay_told=YES, destination=TEXT, return_path=maybe(ADDRESS),
)  # fmt: skip
ROW = made(HistoryRow, queue_id=WHOLE, at=TIME, kind=TEXT, recipient=TEXT, domain=TEXT, message_id=TEXT, detail=TEXT)
ENTRY = made(NewEntry, account_id=WHOLE, recipient=TEXT, prefix=OCTETS)
LEASE = made(Lease, node=TEXT, until=TIME)
NOTE = made(ReportNote, recipients=some(TEXT), author=maybe(TEXT))
INTAKE = made(
    Intake, message=MESSAGE, content=maybe(OCTETS), queued=some(QUEUED), entries=some(ENTRY), lease=maybe(LEASE),
    history=some(ROW), returned=some(TEXT), reported=maybe(NOTE),
)  # fmt: skip

ANN = Recipient(Address("ann", "ours.example"), Notify.SUCCESS | Notify.DELAY, "rfc822;a@ours.example")
BOB = Recipient(Address("bob\ud800", "ours.example"), Notify.NEVER, "utf-8;b")
BY_THEN = DeliverBy(-5, ByMode.NOTIFY, True)
FULL_ENVELOPE = Envelope(
    Address("grüße", "a.example"), (ANN, BOB), Body.BINARY, True, Ret.HDRS, "id", BY_THEN, 1300.25, -9, True, "for;60"
)
FULL = Intake(
    Message(7, 1234.5, FULL_ENVELOPE, b"X: \xff\r\n", 12, "ann@ours.example", "192.0.2.1", "<m@a>", ("a", "b")),  # type: ignore[arg-type] # any number is as good
    b"\0content",
    (
        QueuedRecipient(
            1, BOB, RecipientState.HELD, 3, 5.5, 4.5, Reply(450, "4.0.0", ("a", "b")),
            Peer("mx", "192.0.2.9", 25, "TLSv1.3", "dane", "out"), True, "ours.example rule",
            Address("verp", "b.example"),
        ),
    ),
    (NewEntry(4, "ann@ours.example", b"Delivered-To: ann\r\n"),),
    Lease("node", 99.5),
    (HistoryRow(7, 1.5, "accepted", "ann@ours.example", "a.example", "<m@a>", '{"size":12}'),),
    ("ann@ours.example",),
    ReportNote(("dmarc@ours.example",), "b.example"),
)  # fmt: skip


def crossed(*intakes: Intake) -> tuple[Intake, ...]:
    ((number, found),) = read_admissions(memoryview(write_admissions([(1 << 40, intakes)])))
    assert number == 1 << 40
    return found


def values(one: Any) -> list[Any]:
    """A value, and all values that it is made of."""
    if isinstance(one, tuple):
        return [found for part in one for found in values(part)]
    if not dataclasses.is_dataclass(one):
        return []
    return [one, *[found for field in dataclasses.fields(one) for found in values(getattr(one, field.name))]]


@given(st.lists(INTAKE, min_size=1, max_size=2))
def test_all_of_it_survives(intakes: list[Intake]) -> None:
    assert crossed(*intakes) == tuple(intakes)


def test_a_value_with_each_field_set_survives() -> None:
    assert {type(one) for one in values(FULL)} == set(MADE)  # whatever is new in one of these is new above
    for one in values(FULL):
        for field in dataclasses.fields(one):
            assert not field.init or getattr(one, field.name) != field.default, f"{type(one).__name__}.{field.name}"
    assert crossed(FULL) == (FULL,)


@pytest.mark.parametrize("field", ["queued", "entries", "lease", "history", "returned", "reported", "content"])
def test_each_part_survives_alone(field: str) -> None:
    envelope = dataclasses.replace(FULL_ENVELOPE, deliver_by=None, hold_until=None, priority=0, require_tls=False)
    bare = Intake(dataclasses.replace(FULL.message, envelope=envelope), None)
    alone = dataclasses.replace(bare, **{field: getattr(FULL, field)})
    assert crossed(alone, bare) == (alone, bare)


@pytest.mark.parametrize(
    "change",
    [
        {"state": RecipientState.HELD},
        {"attempts": 1},
        {"last_attempt": 1.0},
        {"last_reply": Reply.of(250, "", "ok")},
        {"last_peer": Peer("mx")},
        {"delay_told": True},
    ],
    ids=str,
)
def test_a_recipient_that_is_not_fresh(change: dict[str, Any]) -> None:
    one = dataclasses.replace(FULL, queued=(QueuedRecipient(0, ANN, next_attempt=1.0, **change),))
    assert crossed(one) == (one,)


def test_a_recipient_that_was_asked_for_is_the_same_object_again() -> None:
    (found,) = crossed(dataclasses.replace(FULL, queued=(QueuedRecipient(0, ANN), QueuedRecipient(1, ANN))))
    asked = found.message.envelope.recipients
    assert found.queued[0].recipient is asked[0]
    assert found.queued[1].recipient == asked[0]


def test_wishes_are_the_members_that_they_were() -> None:
    (found,) = crossed(FULL)
    assert not found.queued[0].recipient.wants_trace  # which asks by identity


@pytest.mark.parametrize("data", [b"", b"nonsense", marshal.dumps([(1, [(2,)])]), marshal.dumps(7)])
def test_what_is_no_admission(data: bytes) -> None:
    with pytest.raises(WireError):
        read_admissions(data)
