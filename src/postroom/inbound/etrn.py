"""ETRN: whoever takes the mail of a domain is there now, and what waits for it is tried at once (RFC 1985).

For whom the operator trusts: the answer tells how much waits, and the work is ours. Each name is good once a minute.
"""

from collections.abc import Callable

from postroom.clock import Clock
from postroom.config.section import Rate
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.net.gcra import GcraTable
from postroom.protocol.smtp.events import Etrn, EtrnKind
from postroom.queue.model import QueueAction, QueueFilter
from postroom.queue.store import QueueStore
from postroom.report.events import QueueActed
from postroom.report.reporter import Reporter

Revive = Callable[[Etrn], None]
"""Tells the scheduler that the sites of those destinations are there again which ``is_meant``."""

_PER_NAME = Rate(1, 60.0)
_PER_CLIENT = Rate(30, 60.0)
_MOST = 1000  # names and clients that are remembered

_NOT_YOU = "it is for accounts and for clients in smtp.trusted_networks"


class QueueStarter:
    """``is_trusted`` tells whether a client's address may ask without an account; ``revive`` may be None."""

    def __init__(
        self,
        store: QueueStore,
        *,
        is_trusted: Callable[[str], bool],
        clock: Clock,
        reporter: Reporter,
        revive: Revive | None = None,
    ) -> None:
        self._store = store
        self._is_trusted = is_trusted
        self._clock = clock
        self._reporter = reporter
        self._revive = revive
        self._names: GcraTable[str] = GcraTable((_PER_NAME,), _MOST)
        self._clients: GcraTable[str] = GcraTable((_PER_CLIENT,), _MOST)

    def may_ask(self, client: Client) -> bool:
        """Whether ETRN is for this client."""
        return bool(client.account) or self._is_trusted(client.address)

    async def start(self, client: Client, asked: Etrn) -> Reply:
        """Have what waits tried now. Raises StoreUnavailable."""
        shown = f"{asked.kind.value}{asked.name}"
        if not self.may_ask(client):
            return _not_allowed(shown, _NOT_YOU)
        if asked.kind is EtrnKind.BELOW and "." not in asked.name:
            return _not_allowed(shown, "too much stands below it")
        now = self._clock.monotonic()
        if self._clients.take(client.account or client.address, now) is not None:
            return Reply.of(458, "4.7.0", f"Unable to queue messages for node {shown}: too many requests")
        if self._names.take(shown, now) is not None:  # RFC 1985: 250 tells nothing of what waits
            return Reply.of(250, "2.0.0", f"OK, queuing for node {shown} has started already")
        count = await self._retry(asked)
        if not count:
            return Reply.of(251, "2.0.0", f"OK, no messages waiting for node {shown}")
        who = client.account or client.address
        self._reporter.tell(QueueActed(QueueAction.RETRY.value, count, f"ETRN {shown} by {who}"))
        return Reply.of(253, "2.0.0", f"OK, {count} pending messages for node {shown} started")

    async def _retry(self, asked: Etrn) -> int:
        """Make what waits due. Returns how many recipients that were."""
        filters = [_FILTERS[asked.kind](asked.name)]
        if asked.kind is EtrnKind.BELOW:
            filters.append(QueueFilter(domain=f".{asked.name}"))
        now = self._clock.now()
        count = 0
        for which in filters:
            count += await self._store.act(QueueAction.RETRY, which, now)
        if count and self._revive is not None:
            self._revive(asked)
        return count


_FILTERS: dict[EtrnKind, Callable[[str], QueueFilter]] = {
    EtrnKind.DOMAIN: lambda name: QueueFilter(domain=name),
    EtrnKind.BELOW: lambda name: QueueFilter(domain=name),
    EtrnKind.QUEUE: lambda name: QueueFilter(rule=name),
}


def is_meant(asked: Etrn, destination: str) -> bool:
    """Whether what waits under ``destination`` was asked for."""
    domain, _, rule = destination.partition(" ")
    match asked.kind:
        case EtrnKind.QUEUE:
            return f"{rule.replace('|', '/')}/".startswith(f"{asked.name}/")
        case EtrnKind.BELOW:
            return domain == asked.name or domain.endswith(f".{asked.name}")
        case EtrnKind.DOMAIN:
            return domain == asked.name


def _not_allowed(shown: str, reason: str) -> Reply:
    return Reply.of(459, "4.7.1", f"Node {shown} not allowed: {reason}")
