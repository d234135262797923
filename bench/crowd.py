"""A long queue, and what it costs the others: a million deferred recipients; half a million for a site that is dead.

The queue is written straight into the store, as the server's own code would have left it there.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import apsw

from bench.generators import Sink, send_many
from bench.measure import LOCAL, REMOTE
from bench.postroom import Postroom, past_a_dead_site
from bench.processes import BenchError, cpu_of, family, memory_of, peak_of, reset_peak
from postroom.mail.address import Address
from postroom.mail.delivery import Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueIds
from postroom.mail.reply import Reply
from postroom.queue.model import Intake
from postroom.report.history import HistoryRow
from postroom.storage.sqlite.store import SqliteStore

DEAD = "dead.example"
_LATER = Reply.of(451, "4.7.1", "greylisted, try again later")
_PEER = Peer("mx.somewhere.example", "192.0.2.25", 25, "TLSv1.3 TLS_AES_256_GCM_SHA384")
_BODY = b"Subject: waiting\r\n\r\n" + b"x" * 400
_PREFIX = b"Received: from somewhere by here\r\n" * 4
_AT_ONCE = 2000
_PATIENCE = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a long queue costs: seconds until the server is ready, octets of memory, and rates (messages a second) and
    CPU (milliseconds a message) of inbound mail with the queue, beside those of an empty one.
    """

    recipients: int
    ready_seconds: float
    idle_memory: int
    peak_memory: int
    rate: float
    empty_rate: float
    cpu: float
    empty_cpu: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """Seconds from the intake of a message to its relay, while others for a dead site are due, and while none are."""

    recipients: int
    p50: float
    p99: float
    longest: float
    alone_p50: float
    alone_p99: float
    alone_longest: float


def fill(database: Path, recipients: int, *, domains: int, dead: bool) -> None:
    """Deferred recipients that are due in hours; or ``dead``: all for one domain, and due."""
    asyncio.run(_fill(database, recipients, domains, dead=dead))


async def _fill(database: Path, recipients: int, domains: int, *, dead: bool) -> None:
    store = await SqliteStore.open(database)
    now = time.time()
    moment = [now - 20_000.0]
    ids = QueueIds(lambda: moment[0], 1)
    chance = random.Random(1)
    try:
        for start in range(0, recipients, _AT_ONCE):
            intakes = []
            for number in range(start, min(start + _AT_ONCE, recipients)):
                moment[0] += 0.01
                domain = DEAD if dead else f"d{number % domains}.example"
                due = now - 60 if dead else now + 3600 + chance.random() * 4 * 3600
                intakes.append(_waiting(ids, number, domain, due, now))
            await store.queue.take_in(intakes)
    finally:
        await store.close()


def _waiting(ids: QueueIds, number: int, domain: str, due: float, now: float) -> Intake:
    one = Recipient(Address(f"user{number}", domain))
    envelope = Envelope(Address("sender", "origin.example"), (one,))
    message = Message(
        ids.next(), now - 3600, envelope, _PREFIX, len(_BODY), "", "192.0.2.1", f"<{number}@origin.example>"
    )
    queued = QueuedRecipient(
        0,
        one,
        RecipientState.DEFERRED,
        attempts=3,
        next_attempt=due,
        last_attempt=now - 60,
        last_reply=_LATER,
        last_peer=_PEER,
        destination=domain,
    )
    name = str(one.address)
    rows = (
        HistoryRow(
            message.queue_id, now - 3600, "accepted", name, "origin.example", message.message_id, '{"size":600}'
        ),
        HistoryRow(message.queue_id, now - 60, "deferred", name, domain, "", '{"reply":"451 4.7.1 greylisted"}'),
    )
    return Intake(message, _BODY, (queued,), history=rows)


def million(crowded: Postroom, empty: Postroom, recipients: int, messages: int, rounds: int) -> Crowd:
    """Both run; they are asked in turns."""
    ready = crowded.restart()
    whole = family(_pid(crowded))
    idle = memory_of(whole).rss
    rates: dict[str, list[float]] = {"crowded": [], "empty": []}
    costs: dict[str, list[float]] = {"crowded": [], "empty": []}
    for pid in whole:
        reset_peak(pid)
    for _ in range(rounds):
        for name, server in (("empty", empty), ("crowded", crowded)):
            cpu = cpu_of(_pid(server))
            rates[name].append(messages / send_many(server.smtp_port, LOCAL, messages))
            costs[name].append((cpu_of(_pid(server)) - cpu) / messages * 1000)
    middle = statistics.median
    return Crowd(
        recipients, ready, idle, sum(map(peak_of, whole)), middle(rates["crowded"]), middle(rates["empty"]),
        middle(costs["crowded"]), middle(costs["empty"]),
    )  # fmt: skip


def backlog(crowded: Postroom, empty: Postroom, recipients: int, rate: float, seconds: float) -> Backlog:
    """The same paced load for a site that works, with and without the backlog."""
    alone = _times(empty, rate, seconds)
    beside = _times(crowded, rate, seconds)
    return Backlog(recipients, *_shown(beside), *_shown(alone))


def _times(server: Postroom, rate: float, seconds: float) -> list[float]:
    """Seconds from intake to relay of each message, as the history tells."""
    command = [sys.executable, "-m", "bench.load", "--port", str(server.smtp_port), "--recipient", REMOTE]
    wanted = max(1, int(rate * seconds))
    command += ["--rate", f"{rate:.1f}", "--messages", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode != 0 or json.loads(done.stdout)["failed"]:
        raise BenchError(f"the load failed: {(done.stdout + done.stderr).strip()[-500:]}")
    deadline = time.monotonic() + _PATIENCE
    while len(times := _told(server.database)) < wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(times)} of {wanted} messages were relayed")
        time.sleep(0.2)
    return times


def _told(database: Path) -> list[float]:
    store = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        store.set_busy_timeout(10_000)
        rows = store.execute(
            """SELECT r.at - a.at FROM history AS r JOIN history AS a USING (queue_id)
            WHERE r.kind = 'relayed' AND a.kind = 'accepted' AND r.domain = ?""",
            (REMOTE.partition("@")[2],),
        )
        return [float(row[0]) for row in rows]
    finally:
        store.close()


def _shown(times: list[float]) -> tuple[float, float, float]:
    ordered = sorted(times)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1]


def _pid(server: Postroom) -> int:
    if server.pid is None:
        raise BenchError("the server is not running any more")
    return server.pid


def crowd(folder: Path, sink: Sink, *, domain: str, accounts: tuple[str, ...], recipients: int, dead: bool) -> Postroom:
    """A server that has so many recipients in its queue when it starts."""
    return Postroom(
        folder,
        domain=domain,
        accounts=accounts,
        road=past_a_dead_site(sink.port),
        prepare=lambda database: fill(database, recipients, domains=5000, dead=dead),
    )
