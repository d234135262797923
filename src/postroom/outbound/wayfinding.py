"""Explains where mail for an address would go now: which rule and why, which hosts, and what stands in the way.

It asks the same router as the queue does, and sends nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.config.road import SmarthostSettings
from postroom.directory.model import NotLocal, Resolution, Resolved, Unknown
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.delivery import Delivered, RouteKind, Site, StsMode
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import glance
from postroom.mail.message import Message, QueueId
from postroom.mail.tags import Tagger
from postroom.outbound.command import fill
from postroom.outbound.handing import words_for
from postroom.outbound.hosts import Hosts, Target
from postroom.outbound.maildir import fill_path, folded
from postroom.outbound.route import MailRouter

HELD = "hold"
MAX_HOSTS = 30  # addresses shown


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule as it was looked at. ``why_not`` is ``""`` for the one that matches."""

    name: str
    matches: bool
    why_not: str


@dataclass(frozen=True, slots=True)
class HostView:
    """One address of one host, in the order in which they are tried.

    ``relay`` is the smarthost that it is, ``tls`` what is asked of TLS there, ``trouble`` why it has no address.
    """

    host: str
    address: str
    port: int
    relay: str
    tls: str
    trouble: str


@dataclass(frozen=True, slots=True)
class WayView:
    """Where one recipient goes. ``kind``: mailbox, mx, smarthost, lmtp, maildir, command, discard, or hold.

    ``rules`` are those that were looked at, ``rule`` is the one that matches or ``""``, ``weights`` the shares of its
    hosts. ``place`` is the path of the Maildir, or the command line. ``reply`` is what mail would get that cannot go
    there, and ``detail`` why, for the operator.
    """

    address: str
    kind: str
    rule: str
    rules: tuple[RuleView, ...]
    site: str
    pool: str
    schedule: str
    weights: tuple[int, ...]
    hosts: tuple[HostView, ...]
    place: str
    reply: str
    detail: str


@dataclass(frozen=True, slots=True)
class RouteView:
    """Where mail for ``address`` goes. ``ours``: it lives here, so that ``ways`` are those of the accounts that receive
    and of the addresses that it is forwarded to. ``sender`` is the reverse-path that was assumed, ``tags`` are those of
    the message. ``reply`` is the refusal of an address of ours that is nobody's.
    """

    address: str
    ours: bool
    sender: str
    tags: tuple[str, ...]
    ways: tuple[WayView, ...]
    reply: str

    @property
    def is_passable(self) -> bool:
        """Whether mail would get through to everyone as things stand."""
        return not self.reply and not any(way.reply for way in self.ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is assumed of the message. ``sender`` None: its account, or the postmaster of this host."""

    address: Address
    sender: str | None = None
    account: str = ""
    client: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()


class Wayfinder:
    """Answers by the settings, the directory and the DNS as they are now."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: Resolver,
        resolve: Callable[[Address], Awaitable[Resolution]],
        is_local: Callable[[str], Awaitable[bool]],
        clock: Clock,
    ) -> None:
        """ValueError where a rule leads nowhere."""
        self._settings = settings
        self._resolve = resolve
        self._router = MailRouter(
            hostname=settings.hostname,
            settings=settings.outbound,
            routes=settings.route,
            smarthosts=settings.smarthost,
            resolver=resolver,
            is_local=is_local,
            clock=clock,
            maildirs=settings.maildir,
            commands=settings.command,
        )
        self._smarthosts = {smarthost.name: smarthost for smarthost in settings.smarthost}
        ports = {smarthost.name: smarthost.port for smarthost in settings.smarthost}
        self._hosts = Hosts(resolver, settings.outbound, clock, lambda hosts: hosts.sort(), ports=ports)

    async def explain(self, question: Question) -> RouteView:
        """The whole answer. ValueError for a sender that is no address; StoreUnavailable."""
        message = self._message(question)
        resolution = await self._resolve(question.address)
        ways: list[WayView] = []
        reply = ""
        match resolution:
            case NotLocal():
                ways.append(await self._way(message, question.address, ours=False))
            case Resolved(accounts, forwards):
                ways += [await self._way(message, account.address, ours=True) for account in accounts]
                ways += [await self._way(message, address, ours=False) for address in forwards]
            case Unknown(reason):
                reply = f"550 5.1.1 No such recipient here ({reason})"
        path = message.envelope.reverse_path
        return RouteView(
            str(question.address),
            resolution.is_ours,
            "" if path is None else str(path),
            message.tags,
            tuple(ways),
            reply,
        )

    def _message(self, question: Question) -> Message:
        """A message as it would come in."""
        sender = question.sender
        if sender is None:
            sender = question.account or f"postmaster@{self._settings.hostname}"
        path = Address.parse(sender) if sender not in ("", "<>") else None
        fields = [*question.headers, *(("X-Postroom-Tag", tag) for tag in question.tags)]
        header = "".join([f"{name}: {value}\r\n" for name, value in fields]).encode()
        conditions = [pair for route in self._settings.route for pair in route.headers.items()]
        tags = Tagger(conditions, own=True).tags_of(header, glance(header), trusted=True)
        envelope = Envelope(path, (Recipient(question.address),))
        return Message(QueueId(0), 0.0, envelope, b"", 0, question.account, question.client, tags=tags)

    async def _way(self, message: Message, address: Address, *, ours: bool) -> WayView:
        router, recipient = self._router, Recipient(address)
        looks = tuple(
            [
                RuleView(look.rule.name, not look.obstacle, look.obstacle)
                for look in router.rules.looks(message, address, ours=ours)
            ]
        )
        rule = looks[-1].name if looks and looks[-1].matches else ""
        if router.holds(message, recipient, ours=ours):
            return WayView(str(address), HELD, rule, looks, "", "", "", (), (), "", "", "")
        if ours and not router.takes(message, address):
            return WayView(str(address), RouteKind.MAILBOX.value, rule, looks, "", "", "", (), (), "", "", "")
        found = await router.site_of(router.destination(message, recipient))
        if not isinstance(found, Site):
            detail = "" if isinstance(found, Delivered) else found.detail
            return WayView(str(address), "", rule, looks, "", "", "", (), (), "", str(found.reply), detail)
        weights = router.rules.by_name[rule].settings.weights if rule else ()
        return WayView(
            str(address),
            found.kind.value,
            rule,
            looks,
            found.key,
            found.pool,
            found.schedule,
            weights,
            await self._hosts_of(found),
            self._place(message, address, found),
            "",
            "",
        )

    async def _hosts_of(self, site: Site) -> tuple[HostView, ...]:
        if site.kind not in {RouteKind.MX, RouteKind.SMARTHOST, RouteKind.LMTP}:
            return ()
        shown: list[HostView] = []
        async for found in self._hosts.of(site):
            if isinstance(found, Target):
                tls = self._tls(site, self._smarthosts.get(found.relay), found)
                shown.append(HostView(found.host, found.address, found.port, found.relay, tls, ""))
            else:
                shown.append(HostView("", "", 0, "", "", found.outcome.reply.text))
            if len(shown) == MAX_HOSTS:
                break
        return tuple(shown)

    def _tls(self, site: Site, smarthost: SmarthostSettings | None, target: Target) -> str:
        """What is asked of TLS, as far as it is known without asking the host."""
        if target.is_socket:
            return "none"
        if smarthost is not None:
            return smarthost.tls
        if site.sts is not None and site.sts.mode is not StsMode.NONE:
            return f"mta-sts {site.sts.mode.value}"
        return "opportunistic" if self._settings.outbound.tls else "none"

    def _place(self, message: Message, address: Address, site: Site) -> str:
        separator = self._settings.delivery.plus_separator
        for maildir in self._settings.maildir:
            if site.kind is RouteKind.MAILDIR and maildir.name == site.route:
                return str(fill_path(maildir.path, words_for(message, folded(address), separator)))
        for command in self._settings.command:
            if site.kind is RouteKind.COMMAND and command.name == site.route:
                return _shown(fill(command.command, words_for(message, address, separator)))
        return ""


def _shown(arguments: Sequence[str] | None) -> str:
    if arguments is None:
        return "refused: the address would pass for an option"
    return " ".join(arguments)
