"""What sites write down about their clients, and what it says about their rules."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.world.model import Site


@dataclass(slots=True)
class Connection:
    """One connection to a host; times are monotonic seconds, ``end`` 0 while it lasts."""

    site: str
    host: str
    client: str
    begin: float
    end: float = 0.0
    refused: bool = False
    """It was greeted with 421."""
    tls: str = ""
    messages: int = 0
    """MAIL commands, refused ones included."""
    broken: list[str] = field(default_factory=list)
    """The rules that it was refused for."""


@dataclass(slots=True)
class Transaction:
    """One MAIL, taken or not. ``reply`` is the last word: to the end of content, or to a MAIL that was not taken."""

    site: str
    host: str
    client: str
    connection: int
    at: float
    mail: str
    recipients: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Recipients and the replies that they got."""
    message_id: str = ""
    end: float = 0.0
    reply: str = ""
    lost: bool = False
    """The message is here, and the connection was lost before the reply."""
    tls: str = ""


@dataclass(slots=True)
class Record:
    """Everything of one world, in order."""

    connections: list[Connection] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)

    def arrived(self) -> Counter[tuple[str, str]]:
        """How often each message, by its Message-ID, is here for each recipient; answered or not."""
        return Counter(
            (transaction.message_id, recipient)
            for transaction in self.transactions
            if transaction.lost or transaction.reply.startswith("2")
            for recipient in transaction.recipients
        )

    def lost(self) -> set[tuple[str, str]]:
        """The same of those whose reply was lost."""
        return {(t.message_id, recipient) for t in self.transactions if t.lost for recipient in t.recipients}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a site saw of one client address at the worst."""

    site: str
    client: str
    connections: int
    """At once."""
    most_messages: int
    """On one connection."""
    busiest: int
    """MAIL commands within the seconds of the site's rate, refused ones included; 0 where it has none."""
    refusals: int
    """How often it had to refuse for one of its rules."""
    messages: int

    def breaks(self, site: Site) -> list[str]:
        """The site's rules that were not kept, in words."""
        rules = site.manner.rules
        found = []
        if rules.connections and self.connections > rules.connections:
            found.append(f"{self.connections} connections at once, {rules.connections} allowed")
        if rules.messages_per_connection and self.most_messages > rules.messages_per_connection:
            found.append(f"{self.most_messages} messages on a connection, {rules.messages_per_connection} allowed")
        if rules.rate is not None and self.busiest > rules.rate.count:
            found.append(f"{self.busiest} messages in {rules.rate.seconds:.0f} s, {rules.rate.count} allowed")
        return [f"{self.site}, {self.client}: {words} ({self.refusals} refusals)" for words in found]


def measure(record: Record, sites: Iterable[Site]) -> list[Measured]:
    """Each site that has rules, each client of it."""
    found = []
    for site in sites:
        connections = defaultdict(list)
        for connection in record.connections:
            if connection.site == site.name:
                connections[connection.client].append(connection)
        times = defaultdict(list)
        for transaction in record.transactions:
            if transaction.site == site.name:
                times[transaction.client].append(transaction.at)
        rate = site.manner.rules.rate
        found += [
            Measured(
                site.name,
                client,
                _at_once(theirs),
                max(connection.messages for connection in theirs),
                _busiest(times[client], rate.seconds) if rate is not None else 0,
                sum(len(connection.broken) for connection in theirs),
                len(times[client]),
            )
            for client, theirs in connections.items()
            if site.manner.rules.is_any
        ]
    return found


def _at_once(connections: Iterable[Connection]) -> int:
    changes = sorted(
        [(connection.begin, 1) for connection in connections]
        + [(connection.end, -1) for connection in connections if connection.end]
    )
    most = now = 0
    for _, change in changes:  # of one moment, ends come first
        now += change
        most = max(most, now)
    return most


def _busiest(times: list[float], seconds: float) -> int:
    times = sorted(times)
    return max((bisect_right(times, at) - bisect_right(times, at - seconds) for at in times), default=0)
