"""queue, why and stats: what waits, why, and what an operator does about it."""

import asyncio
import json
from dataclasses import replace

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.mail.address import Address
from postroom.mail.delivery import Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import ByMode, DeliverBy, Envelope, Recipient
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.reply import Reply
from postroom.queue.model import Intake, Lease, PauseKind, QueueAction
from postroom.report.history import HistoryRow

FIRST, SECOND, THIRD = QueueId(1 << 40), QueueId(2 << 40), QueueId(3 << 40)
A, B, C = show_queue_id(FIRST), show_queue_id(SECOND), show_queue_id(THIRD)
BUSY = Reply.of(451, "4.7.1", "Greylisted, try later")


def put(
    house: MemoryHouse, queue_id: QueueId, sender: str | None, *recipients: QueuedRecipient, **asks: object
) -> None:
    reverse_path = None if sender is None else Address.parse(sender)
    envelope = Envelope(reverse_path, tuple(one.recipient for one in recipients), **asks)  # type: ignore[arg-type]
    message = Message(queue_id, NOW - 7200, envelope, b"", 2048, "alice@example.org", "192.0.2.7", f"<{queue_id}@x>")
    history = [
        HistoryRow(queue_id, NOW - 7200, "accepted", "", "example.org", message.message_id),
        *(
            HistoryRow(queue_id, NOW - 60, "deferred", str(one.recipient.address), one.recipient.address.domain)
            for one in recipients
            if one.attempts
        ),
    ]
    asyncio.run(house.store.queue.take_in([Intake(message, b"x", recipients, history=tuple(history))]))


def waiting(
    number: int, address: str, state: RecipientState = RecipientState.QUEUED, **facts: object
) -> QueuedRecipient:
    return QueuedRecipient(number, Recipient(Address.parse(address)), state, **facts)  # type: ignore[arg-type]  # by name


@pytest.fixture
def full_queue(house: MemoryHouse) -> MemoryHouse:
    put(
        house,
        FIRST,
        "alice@example.org",
        waiting(
            0,
            "x@slow.example",
            RecipientState.DEFERRED,
            attempts=3,
            next_attempt=NOW + 900,
            last_attempt=NOW - 60,
            last_reply=BUSY,
            last_peer=Peer("mx.slow.example", "192.0.2.25", 25),
        ),
        waiting(1, "y@fast.example", next_attempt=NOW),
    )
    put(house, SECOND, None, waiting(0, "z@slow.example", RecipientState.HELD))
    put(house, THIRD, "bob@example.org", waiting(0, "w@fast.example", next_attempt=NOW))
    return house


class TestWishes:
    """What DELIVERBY, FUTURERELEASE, MT-PRIORITY and REQUIRETLS asked for is shown where it was asked for."""

    def test_shown(self, run: Run, house: MemoryHouse) -> None:
        by = DeliverBy(7200 + 7200, ByMode.RETURN)
        asks: dict[str, object] = {"deliver_by": by, "hold_until": NOW + 900, "priority": 4, "require_tls": True}
        put(house, FIRST, "alice@example.org", waiting(0, "y@fast.example", next_attempt=NOW + 900), **asks)
        out = run("queue", "show", A).out
        assert "released at   2027-01-15T08:15:00.000Z" in out
        assert "deliver by    2027-01-15T10:00:00.000Z, else return" in out
        assert "priority      4" in out
        assert "requires      TLS" in out
        shown = run("queue", "show", A, "--json").json
        (listed,) = run("queue", "list", "--json").json["messages"]
        assert shown == listed
        assert shown["released_at"] == "2027-01-15T08:15:00.000Z"
        assert (shown["deliver_by"], shown["deliver_by_mode"]) == ("2027-01-15T10:00:00.000Z", "return")
        assert (shown["priority"], shown["require_tls"]) == (4, True)
        assert run("why", A, "--json").json["messages"][0]["queued"] == shown
        assert "is held back by its sender until" in run("why", A).out

    def test_not_shown_where_nothing_was_asked_for(self, run: Run, full_queue: MemoryHouse) -> None:
        out = run("queue", "show", A).out
        assert not any(word in out for word in ("released", "deliver by", "priority", "requires"))
        shown = run("queue", "show", A, "--json").json
        assert (shown["released_at"], shown["deliver_by"], shown["deliver_by_mode"]) == (None, None, "")


class TestList:
    def test_says_last_reply_and_next_time(self, run: Run, full_queue: MemoryHouse) -> None:
        out = run("queue", "list").out
        line = next(line for line in out.splitlines() if "x@slow.example" in line)
        assert A in line
        assert "451 4.7.1 Greylisted, try later" in line
        assert "2027-01-15 08:15:00" in line
        assert "<>" in out

    def test_json_shape(self, run: Run, full_queue: MemoryHouse) -> None:
        found = run("queue", "list", A, "--json").json
        assert found["more"] is False
        (message,) = found["messages"]
        assert message["sender"] == "alice@example.org"
        assert message["recipients"][0] == {
            "address": "x@slow.example",
            "state": "deferred",
            "attempts": 3,
            "next_attempt": "2027-01-15T08:15:00.000Z",
            "last_attempt": "2027-01-15T07:59:00.000Z",
            "last_reply": "451 4.7.1 Greylisted, try later",
            "host": "mx.slow.example",
            "destination": "slow.example",
            "return_path": "",
            "paused": "",
        }

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ((), [A, B, C]),
            ((B, C.upper()), [B, C]),
            (("--domain", "SLOW.example"), [A, B]),
            (("--sender", ""), [B]),
            (("--sender", "bob@example.org"), [C]),
            (("--recipient", "w@fast.example"), [C]),
            (("--state", "held", "--state", "DEFERRED"), [A, B]),
            (("--destination", "slow.example"), [A, B]),
            (("--older", "1h"), [A, B, C]),
            (("--older", "3h"), []),
            (("--reply", "greylisted"), [A]),
            (("--host", "mx.slow.example"), [A]),
            (("--account", "alice@example.org", "--sender", "bob@example.org"), [C]),
            (("--tag", "news"), []),
            (("--priority", "0", "--domain", "fast.example"), [A, C]),
            (("--priority", "3"), []),
        ],
    )
    def test_filters(self, run: Run, full_queue: MemoryHouse, words: tuple[str, ...], expected: list[str]) -> None:
        messages = run("queue", "list", *words, "--json").json["messages"]
        assert [message["queue_id"] for message in messages] == expected

    def test_limit(self, run: Run, full_queue: MemoryHouse) -> None:
        found = run("queue", "list", "--limit", "2", "--json").json
        assert (len(found["messages"]), found["more"]) == (2, True)
        assert "there are more than 2" in run("queue", "list", "--limit", "2").out

    def test_empty(self, run: Run) -> None:
        assert run("queue", "list").out == "the queue is empty\n"
        assert "nothing in the queue matches" in run("queue", "list", "--state", "held").out

    @pytest.mark.parametrize(
        "words", [("nonsense",), ("--state", "failed"), ("--sender", "x"), ("--domain", "-"), ("--older", "x")]
    )
    def test_bad_filters(self, run: Run, words: tuple[str, ...]) -> None:
        ended = run("queue", "list", *words)
        assert ended.code == 1
        assert "remedy:" in ended.err


class TestShow:
    def test_show(self, run: Run, full_queue: MemoryHouse) -> None:
        out = run("queue", "show", A).out
        assert "submitted by  alice@example.org" in out
        assert "last reply    mx.slow.example: 451 4.7.1 Greylisted, try later" in out
        assert run("queue", "show", A, "--json").json["queue_id"] == A

    def test_not_there(self, run: Run, full_queue: MemoryHouse) -> None:
        gone = show_queue_id(QueueId(9))
        assert f"remedy: postroom why {gone}" in run("queue", "show", gone).err
        assert "is not a queue id" in run("queue", "show", "nonsense").err


class TestAct:
    @pytest.mark.parametrize("verb", ["retry", "hold", "release", "remove", "bounce", "expire"])
    def test_everything_only_if_asked_for(self, run: Run, full_queue: MemoryHouse, verb: str) -> None:
        ended = run("queue", verb)
        assert ended.code == 2
        assert len(full_queue.store.queue.recipients()) == 4
        assert run("queue", verb, A, "--all").code == 2

    def test_hold_and_release(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "hold", "--domain", "fast.example").out == "2 recipients held\n"
        assert run("queue", "release", "--all").out == "3 recipients released\n"
        states = {one.state for one in full_queue.store.queue.recipients()}
        assert RecipientState.HELD not in states

    def test_retry(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "retry", "--state", "deferred").out == "1 recipient due now\n"
        assert full_queue.store.queue.messages[FIRST].recipients[0].next_attempt == NOW

    def test_remove(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "remove", A).out == "2 recipients removed\n"
        assert FIRST not in full_queue.store.queue.messages
        again = run("queue", "remove", A)
        assert again.code == 1
        assert f"nothing to remove under {A}" in again.err

    def test_a_filter_that_meets_nothing_is_no_error(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "remove", "--recipient", "no@body.example").out == "0 recipients removed\n"


class TestFate:
    def test_redirect(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "redirect", "--all").code == 2  # to whom?
        out = run("queue", "redirect", "--domain", "slow.example", "--to", "new@other.example").out
        assert out == "2 recipients redirected to new@other.example\n"
        (one, held) = [one for one in full_queue.store.queue.recipients() if one.recipient.address.local == "new"]
        assert (one.recipient.orcpt, one.attempts) == ("rfc822;x@slow.example", 0)
        assert held.state is RecipientState.HELD
        assert "redirected for x@slow.example to" in run("why", A).out or "redirected" in run("why", A).out

    def test_bounce_tells_the_sender(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "bounce", C, "--text", "we do not  write to them").out == "1 recipient failed\n"
        queue = full_queue.store.queue
        assert THIRD not in queue.messages
        dsn = queue.settlements[-1].dsn
        assert dsn is not None
        assert dsn.message.envelope.reverse_path is None
        assert dsn.message.envelope.recipients[0].address == Address("bob", "example.org")
        assert b"Action: failed" in (dsn.content or b"")
        assert b"550 5.7.1 we do not write to them" in (dsn.content or b"")
        assert "failed for w@fast.example for good: 550 5.7.1 we do not write to them (bounced by" in run("why", C).out

    def test_expire_keeps_what_was_said_last(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "expire", "--reply", "greylisted").out == "1 recipient expired\n"
        settlement = full_queue.store.queue.settlements[-1]
        (stands,) = settlement.recipients
        assert (stands.state, stands.attempts, stands.last_reply) == (RecipientState.EXPIRED, 3, BUSY)
        assert settlement.dsn is not None
        out = run("why", A).out
        assert "given up for x@slow.example: 451 4.7.1 Greylisted, try later (expired by" in out.replace(
            " at mx.slow.example [192.0.2.25]", ""
        )

    def test_what_is_held_can_be_bounced_and_the_null_sender_is_not_told(
        self, run: Run, full_queue: MemoryHouse
    ) -> None:
        assert run("queue", "bounce", "--state", "held").out == "1 recipient failed\n"
        assert full_queue.store.queue.settlements[-1].dsn is None

    def test_what_a_server_has_in_hand_is_left(self, run: Run, full_queue: MemoryHouse) -> None:
        stored = full_queue.store.queue.messages[THIRD]
        stored.recipients[0] = waiting(0, "w@fast.example", RecipientState.LEASED, attempts=1)
        stored.leases[0] = Lease("node1", NOW + 100)
        out = run("queue", "expire", C).out
        assert out.startswith("0 recipients expired\n1 left: a server has them in hand")
        assert stored.leases[0].node == "node1"


class TestPauses:
    def test_pause_list_and_resume(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "pauses").out == "nothing is paused\n"
        out = run("queue", "pause", "--domain", "SLOW.example", "--for", "2h", "--reason", "they asked").out
        assert out == "paused domain slow.example until 2027-01-15T10:00:00.000Z\n"
        (listed,) = run("queue", "pauses", "--json").json
        assert (listed["kind"], listed["subject"], listed["reason"]) == ("domain", "slow.example", "they asked")
        assert (listed["since"], listed["until"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T10:00:00.000Z")
        shown = run("queue", "show", A, "--json").json["recipients"]
        assert [one["paused"] for one in shown] == ["domain slow.example", ""]
        assert "domain slow.example is paused" in run("queue", "list").out
        assert "domain slow.example is paused until 2027-01-15 10:00:00 +0000 (they asked)" in run("why", A).out
        assert run("queue", "resume", "--domain", "slow.example").out == "resumed domain slow.example\n"
        assert full_queue.store.queue.actions[-1][0] is QueueAction.RESUME
        again = run("queue", "resume", "--domain", "slow.example")
        assert again.code == 1
        assert "remedy: postroom queue pauses" in again.err

    @pytest.mark.parametrize(
        ("words", "kind", "subject"),
        [
            (("--site", "MX.slow.example"), PauseKind.SITE, "mx.slow.example"),
            (("--sender", "Bob@Example.org"), PauseKind.SENDER, "bob@example.org"),
            (("--sender", "@example.org"), PauseKind.SENDER, "example.org"),
            (("--sender", "example.org"), PauseKind.SENDER, "example.org"),
            (("--sender", ""), PauseKind.SENDER, ""),
        ],
    )
    def test_subjects(
        self, run: Run, full_queue: MemoryHouse, words: tuple[str, ...], kind: PauseKind, subject: str
    ) -> None:
        assert "until postroom queue resume" in run("queue", "pause", *words).out
        assert list(full_queue.store.queue.pauses) == [(kind, subject)]
        assert run("queue", "pauses").code == 0
        assert run("queue", "resume", *words).code == 0

    @pytest.mark.parametrize(
        "words", [(), ("--domain", "a.example", "--site", "x"), ("--sender", "a b"), ("--site", "x", "--for", "soon")]
    )
    def test_one_thing_at_a_time(self, run: Run, full_queue: MemoryHouse, words: tuple[str, ...]) -> None:
        assert run("queue", "pause", *words).code == 1
        assert full_queue.store.queue.pauses == {}


class TestFlush:
    def test_all_or_some(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("queue", "flush", "--domain", "slow.example").out == "1 recipient due now\n"
        assert run("queue", "flush").out == "3 recipients due now\n"
        assert full_queue.store.queue.flushes == 2


class TestRoad:
    def test_way_return_path_and_tags_are_shown(self, run: Run, house: MemoryHouse) -> None:
        one = waiting(
            0,
            "y@fast.example",
            next_attempt=NOW,
            destination="fast.example smart",
            return_path=Address("bounce+1", "example.org"),
        )
        put(house, FIRST, "alice@example.org", one)
        stored = house.store.queue.messages[FIRST]
        stored.message = replace(stored.message, tags=("news",))
        out = run("queue", "show", A).out
        assert "goes by       smart, to fast.example" in out
        assert "return path   <bounce+1@example.org>" in out
        assert "tags          news" in out
        shown = run("queue", "show", A, "--json").json
        assert shown["tags"] == ["news"]
        assert shown["recipients"][0]["destination"] == "fast.example smart"
        assert shown["recipients"][0]["return_path"] == "bounce+1@example.org"


class TestWhy:
    def test_by_id(self, run: Run, full_queue: MemoryHouse) -> None:
        out = run("why", A).out
        assert out.startswith(f"message {A}\n")
        assert "accepted from" in out
        assert "now: x@slow.example waits, next at" in out
        assert "(in 15 min) after 3 attempts because of 451 4.7.1 Greylisted, try later" in out
        assert "now: y@fast.example waits for its first attempt, due now" in out

    def test_held_says_how_to_release(self, run: Run, full_queue: MemoryHouse) -> None:
        assert f"will not be tried until postroom queue release {B}" in run("why", B).out

    def test_leased(self, run: Run, full_queue: MemoryHouse) -> None:
        stored = full_queue.store.queue.messages[THIRD]
        stored.recipients[0] = waiting(0, "w@fast.example", RecipientState.LEASED, attempts=1)
        stored.leases[0] = Lease("node1", NOW + 100)
        assert "w@fast.example is being attempted now by node node1 (attempt 2)" in run("why", C).out

    @pytest.mark.parametrize("text", [f"<{FIRST}@x>", f"{FIRST}@x", "y@fast.example", "Y@FAST.example"])
    def test_by_message_id_or_recipient(self, run: Run, full_queue: MemoryHouse, text: str) -> None:
        found = run("why", text, "--json")
        assert [life["queue_id"] for life in found.json["messages"]] == [A]

    def test_many_newest_first(self, run: Run, full_queue: MemoryHouse) -> None:
        for number in range(20):
            row = HistoryRow(100 + number, NOW, "placed", "bob@example.org", "example.org")
            full_queue.store.history.rows.append(row)
        out = run("why", "bob@example.org", "--limit", "2").out
        assert out.index(show_queue_id(119)) < out.index(show_queue_id(118)) < out.index("18 older:")
        assert "now: it has left the queue" in out
        assert len(run("why", "bob@example.org", "--json").json["others"]) == 17

    def test_unknown(self, run: Run, full_queue: MemoryHouse) -> None:
        for text in (show_queue_id(7), "nobody@nowhere.example", "postmaster", "gibberish"):
            ended = run("why", text)
            assert ended.code == 1
            assert "nothing is known of" in ended.err

    def test_json_has_facts_and_words(self, run: Run, full_queue: MemoryHouse) -> None:
        (life,) = run("why", A, "--json").json["messages"]
        assert life["moments"][0]["kind"] == "accepted"
        assert life["standing"][0]["state"] == "deferred"
        assert life["queued"]["queue_id"] == A


class TestStats:
    def test_by_domain(self, run: Run, full_queue: MemoryHouse) -> None:
        out = run("stats").out
        assert out.splitlines()[0] == "since 2027-01-14T08:00:00.000Z"
        assert "example.org" in out
        found = run("stats", "--json").json
        assert found["totals"]["accepted"] == 3
        assert found["domains"][0] == {"domain": "example.org", "counts": {"accepted": 3}}

    def test_since(self, run: Run, full_queue: MemoryHouse) -> None:
        assert run("stats", "--since", "5m", "--json").json["totals"]["accepted"] == 0
        full_queue.store.history.rows.clear()
        assert "nothing happened since" in run("stats").out
        assert "not a duration" in run("stats", "--since", "yesterday").err

    def test_null_sender_and_unknown_kinds_have_names(self, run: Run, house: MemoryHouse) -> None:
        house.store.history.rows += [HistoryRow(1, NOW, "accepted"), HistoryRow(1, NOW, "teleported", "", "x.example")]
        out = run("stats").out
        assert "(null sender)" in out
        assert "teleported" in out

    def test_what_stood_in_the_way_and_what_came_back(self, run: Run, house: MemoryHouse) -> None:
        there = "far.example"

        def row(number: int, kind: str, **detail: object) -> HistoryRow:
            return HistoryRow(number, NOW, kind, f"rita@{there}", there, detail=json.dumps(detail))

        house.store.history.rows += [HistoryRow(n, NOW, "accepted", domain="example.org") for n in range(1, 5)]
        house.store.history.rows += [row(n, "relayed") for n in range(1, 5)]
        house.store.history.rows += [
            row(1, "deferred", cause="greylisted"),
            row(1, "failed", cause="reputation"),
            row(2, "failed", cause="from the future"),
            row(3, "bounced", cause="mailbox_unknown"),
            row(4, "complained", type="abuse"),
        ]
        found = run("stats", "--json").json
        names = {"sender_domain": "example.org", "recipient_domain": there}
        causes = [
            ("bounced", "mailbox_unknown", "recipient"),
            ("deferred", "greylisted", "them"),
            ("failed", "other", "them"),
            ("failed", "reputation", "us"),
        ]
        expected = [{**names, "outcome": o, "cause": c, "blame": b, "count": 1} for o, c, b in causes]
        assert sorted(found["causes"], key=str) == sorted(expected, key=str)
        assert found["senders"] == [
            {
                "sender_domain": "example.org",
                "relayed": 4,
                "bounced": 1,
                "complained": 1,
                "bounce_rate": 0.25,
                "complaint_rate": 0.25,
            }
        ]
        out = run("stats").out
        for text in ("greylisted", "them", "reputation", "us", "complaint rate", "25.00%"):
            assert text in out
