"""Takes in a message from this machine: by the one door, straight into the store, whether a server runs or not.

This is the sound way for ``sendmail``: on return the message is on disk, and a running server finds it within its poll
time. Over the mx port it would need a server that runs and a hole in its relay rules.
"""

import secrets
from collections.abc import Collection

from postroom.cli.house import OpenStore
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.dns.zone import Zone, ZoneResolver
from postroom.inbound.tagging import tagger_for
from postroom.inbound.trace import Tracer
from postroom.mail.envelope import Envelope
from postroom.mail.headers import glance, show_date
from postroom.mail.message import Message, QueueId, QueueIds, show_queue_id
from postroom.outbound.route import MailRouter
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.model import CHUNK_SIZE, INLINE_LIMIT, ContentChunk, Draft, Lease, LeasedMessage
from postroom.queue.store import QueueStore
from postroom.queue.ways import Ways
from postroom.report.reporter import Reporter

FIRST_COMMAND_NODE = 512
"""Queue ids made by commands use node numbers from here to 1023, so that no server's id is met."""


class _NotHere:
    """The ready list of a process that carries no mail: everything stays in the store for a server."""

    def reserve(self, destinations: Collection[str], recipients: int, octets: int) -> Lease | None:
        """No place."""
        return None

    def release(self, recipients: int, octets: int) -> None:
        """Nothing was reserved."""

    def offer(self, leased: LeasedMessage, lease: Lease) -> None:
        """Nothing was reserved."""

    def wake(self) -> None:
        """The server polls."""


async def submit(store: OpenStore, settings: Settings, envelope: Envelope, content: bytes, login: str) -> Message:
    """On return the message is safe. ``login`` is the user of this machine who sends it. Raises StoreUnavailable."""
    clock = SystemClock()
    ids = command_ids(clock)
    directory = Directory(store.directory, settings.delivery, clock)
    reporter = Reporter()
    ways = _ways(settings, directory, clock)
    dsns = DsnMaker(
        hostname=settings.hostname,
        contents=store.queue,
        resolve=directory.resolve,
        ids=ids,
        clock=clock,
        reporter=reporter,
        ways=ways,
    )
    door = IntakeDoor(
        store=store.queue,
        ready=_NotHere(),
        resolve=directory.resolve,
        dsns=dsns,
        clock=clock,
        reporter=reporter,
        ways=ways,
    )
    queue_id, now = ids.next(), clock.now()
    seen = glance(content)
    added, message_id = Tracer(settings.hostname).completed(seen, content, queue_id, now)
    inline = len(content) <= INLINE_LIMIT
    draft = Draft(
        queue_id=queue_id,
        received_at=now,
        envelope=envelope,
        content=content if inline else None,
        content_size=len(content),
        content_start=content[:INLINE_LIMIT],
        prefix=_received(settings.hostname, queue_id, login, now) + added,
        message_id=message_id,
        tags=tagger_for(settings.route).tags_of(content, seen, trusted=True),
    )
    if not inline:
        await _write_chunks(store.queue, queue_id, content)
    return await door.accept(draft)


def _ways(settings: Settings, directory: Directory, clock: SystemClock) -> Ways:
    """The rules of the settings. Under what mail waits is known without the DNS; the server looks up the rest."""
    router = MailRouter(
        hostname=settings.hostname,
        settings=settings.outbound,
        routes=settings.route,
        smarthosts=settings.smarthost,
        resolver=ZoneResolver(Zone({})),
        is_local=directory.is_local,
        clock=clock,
        maildirs=settings.maildir,
        commands=settings.command,
    )
    return Ways(router, separator=settings.delivery.plus_separator)


def complete(settings: Settings, content: bytes) -> bytes:
    """The content with the Date and Message-ID that it lacks, for a way in that does not add them."""
    clock = SystemClock()
    queue_id = command_ids(clock).next()
    added, _ = Tracer(settings.hostname).completed(glance(content), content, queue_id, clock.now())
    return added + content


def command_ids(clock: SystemClock) -> QueueIds:
    """Makes queue ids for a command that takes messages in."""
    return QueueIds(clock.now, FIRST_COMMAND_NODE + secrets.randbelow(1024 - FIRST_COMMAND_NODE))


def _received(hostname: str, queue_id: QueueId, login: str, now: float) -> bytes:
    """The trace of mail that no connection brought: who on this machine, and when (RFC 5321 §4.4)."""
    safe = "".join(character if character.isalnum() and character.isascii() else "?" for character in login[:64])
    return (
        f"Received: by {hostname} (Postroom, from local user {safe})\r\n\tid {show_queue_id(queue_id)};\r\n"
        f"\t{show_date(now)}\r\n"
    ).encode()


async def _write_chunks(store: QueueStore, queue_id: QueueId, content: bytes) -> None:
    for sequence, start in enumerate(range(0, len(content), CHUNK_SIZE)):
        await store.write_chunks([ContentChunk(queue_id, sequence, content[start : start + CHUNK_SIZE])])
