"""Takes in a message from this machine: by the one door, straight into the store, whether a server runs or not.

This is the sound way for ``sendmail``: on return the message is on disk, and a running server finds it within its poll
time. Over the mx port it would need a server that runs and a hole in its relay rules.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace

from postroom.cli.house import OpenStore
from postroom.cli.signing import signer_of
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.directory.model import NotLocal
from postroom.dns.zone import Zone, ZoneResolver
from postroom.inbound.tagging import tagger_for
from postroom.inbound.trace import Tracer
from postroom.mail.envelope import Envelope
from postroom.mail.headers import glance, show_date
from postroom.mail.message import Message, QueueId, QueueIds, show_queue_id
from postroom.mail.returnpath import ReturnPaths
from postroom.outbound.route import MailRouter
from postroom.policy.suppressed import refusal_of
from postroom.policy.verdict import Refuse
from postroom.queue.admission import QueueAdmission
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.model import CHUNK_SIZE, INLINE_LIMIT, ContentChunk, Draft, Lease, LeasedMessage
from postroom.queue.returning import Returns
from postroom.queue.signing import Signer
from postroom.queue.store import QueueStore
from postroom.queue.ways import Ways
from postroom.report.reporter import Reporter
from postroom.reputation.listing import SuppressionList

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


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of it: the message as it was taken in, and what is said of recipients that were left out.

    ``message`` is None where nobody was left to send it to.
    """

    message: Message | None
    refusals: tuple[Refuse, ...] = ()


async def submit(store: OpenStore, settings: Settings, envelope: Envelope, content: bytes, login: str) -> Submitted:
    """On return the message is safe. ``login`` is the user of this machine who sends it. Raises StoreUnavailable.

    A sender at a domain of this server counts as the account that submits it: its recipients elsewhere are looked up on
    the domain's suppression list and get return paths, and rules for accounts match. Other mail only passes through.
    """
    clock = SystemClock()
    ids = command_ids(clock)
    directory = Directory(store.directory, settings.delivery, clock)
    returns = await _returns(store, settings, directory, clock)
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
        account=await _account(directory, envelope),
        tags=tagger_for(settings.route).tags_of(content, seen, trusted=True),
    )
    draft, refusals = await _without_suppressed(store, settings, draft, returns, now)
    if not draft.envelope.recipients:
        return Submitted(None, refusals)
    if not inline:
        await _write_chunks(store.queue, queue_id, content)
    signer = await signer_of(store, settings, directory, clock)
    return Submitted(await _door(store, settings, directory, returns, ids, signer).accept(draft), refusals)


def _door(  # noqa: PLR0917 - the rooms that a door has
    store: OpenStore,
    settings: Settings,
    directory: Directory,
    returns: Returns,
    ids: QueueIds,
    signer: Signer | None,
) -> IntakeDoor:
    clock, reporter = SystemClock(), Reporter()
    ways = _ways(settings, directory, clock)
    dsns = DsnMaker(
        hostname=settings.hostname,
        contents=store.queue,
        resolve=returns.resolve,
        ids=ids,
        clock=clock,
        reporter=reporter,
        ways=ways,
        language=settings.queue.dsn_language,
        signer=signer,
    )
    return IntakeDoor(
        admission=QueueAdmission(store=store.queue, ready=_NotHere(), clock=clock, reporter=reporter),
        resolve=returns.resolve,
        dsns=dsns,
        clock=clock,
        reporter=reporter,
        ways=ways,
        returns=returns,
        signer=signer,
    )


async def _returns(store: OpenStore, settings: Settings, directory: Directory, clock: SystemClock) -> Returns:
    """Return paths made with the store's secret, so that the server knows them when mail comes back."""
    return Returns(
        settings=settings.returns,
        paths=ReturnPaths(await store.directory.secret(), settings.returns.lifetime),
        resolve=directory.resolve,
        is_local=directory.is_local,
        history=store.history,
        clock=clock,
    )


async def _account(directory: Directory, envelope: Envelope) -> str:
    """Nobody logged in: whose mail it is, the domain of the sender decides. ``""`` for another's, and for DSNs."""
    sender = envelope.reverse_path
    return str(sender) if sender is not None and await directory.is_local(sender.domain) else ""


async def _without_suppressed(
    store: OpenStore, settings: Settings, draft: Draft, returns: Returns, now: float
) -> tuple[Draft, tuple[Refuse, ...]]:
    """The draft for those whom its domain may write to, and what is said of the others (see policy/suppressed.py)."""
    envelope, sender = draft.envelope, draft.envelope.reverse_path
    listing = SuppressionList(store.suppression, settings.suppression)
    await listing.refresh()
    kept, resolutions, refusals = [], [], []
    for recipient in envelope.recipients:
        resolution = await returns.resolve(recipient.address)
        if draft.account and sender is not None and isinstance(resolution, NotLocal):
            found = await listing.find(sender.domain, recipient.address, now)
            if found is not None:
                refusals.append(refusal_of(found))
                continue
        kept.append(recipient)
        resolutions.append(resolution)
    draft = replace(draft, envelope=replace(envelope, recipients=tuple(kept)), resolutions=tuple(resolutions))
    return draft, tuple(refusals)


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
