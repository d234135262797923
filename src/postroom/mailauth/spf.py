"""SPF: may this client send mail in the name of this domain (RFC 7208)? Evaluated by spftrace over our resolver.

What spftrace works out is remembered with the answers of the DNS that it followed from. The answers are asked for
anew each time (the resolver's cache gives them without suspending, as long as the DNS says that they hold); only
while every one of them is the same is the result the same.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Any

import spftrace

from postroom.clock import Clock
from postroom.dns.resolver import Answer, Existence, Family, MxRecord, Resolver
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.mailauth.model import Result, SpfCheck, SpfIdentity

MAX_TERMS = 10
"""Terms that ask the DNS (RFC 7208 §4.6.4)."""

MAX_VOID_LOOKUPS = 2
"""Questions that find nothing (RFC 7208 §4.6.4)."""

TIME_LIMIT = 20.0
"""Seconds for one identity in all (RFC 7208 §4.6.4: at least 20)."""

HELO_SECONDS = 5.0
"""Seconds for the HELO name where it is not the sender: less hangs on it, and it comes last."""

MAX_QUERIES = 75
"""Questions to the DNS for one identity: ten terms with ten hosts each would be more (RFC 7208 §11.1)."""

MAX_TEXT = 255
"""Characters of an explanation or a reason that are kept."""

_MAX_KEPT_QUESTIONS = 20  # a result that hangs on more is worked out anew: nobody's ordinary record needs them

_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)+[A-Za-z0-9-]*[A-Za-z-][A-Za-z0-9-]*\.?")
_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)  # RFC 7208 §4.5
_UNPRINTABLE = re.compile(rb"[^ -~]")
# Macros whose value is not settled by client and domain: local part, HELO name, the time (RFC 7208 §7.2).
_VARYING_MACRO = re.compile(rb"%\{[slht]", re.IGNORECASE)
_IP6_ZONE = re.compile(r"(?<= )([+?~-]?ip6:[^ %]*)%", re.IGNORECASE)  # Python reads more than RFC 7208 §5.6 allows
_LOCAL_INCLUDE = re.compile(r"(?<= )([+?~-]?)include:(?=[^ ]*%\{[sl])", re.IGNORECASE)
_ESCAPED = re.compile("%%|%_|%-| ")
_MARKS = {"%%": "{~p~}", "%_": "{~s~}", "%-": "{~h~}", " ": "{~s~}"}
_MARKED = re.compile(r"\{~([psh])~\}")
_MEANT = {"p": "%", "s": " ", "h": "%20"}
"""spftrace takes an explanation for malformed that has a space or one of these escapes in it (RFC 7208 §6.2, §7.1 allow
them): they pass through it as marks of visible characters.
"""

_NO_LABEL = "x" * 64
"""Stands for a local part that is not ASCII: no name can be made of it, so that no term with it matches."""

_Question = tuple[str, str]
_Facts = tuple[Existence, tuple[Any, ...]]


@value(frozen=True, slots=True)
class _Kept:
    """A result, and what the DNS said that it follows from."""

    facts: tuple[tuple[_Question, _Facts], ...]
    check: SpfCheck


class SpfChecker:
    """Checks both identities of a transaction. ``hostname`` is ours, for explanations that name it (RFC 7208 §7.3);
    ``helo_seconds`` bounds the check of a HELO name that is not the sender.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        hostname: str,
        clock: Clock,
        size: int = 4096,
        helo_seconds: float = HELO_SECONDS,
    ) -> None:
        self._resolver = resolver
        self._helo_seconds = helo_seconds
        self._hostname = hostname
        self._clock = clock
        self._size = size  # results remembered
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def check(self, client: str, helo: str, sender: Address | None) -> tuple[SpfCheck, SpfCheck]:
        """What SPF finds for the HELO name and for MAIL FROM (RFC 7208 §2.3, §2.4). ``sender`` None: the null sender.

        ``client`` is its IP address as text; of anything else, such as a socket, nothing is known. Never raises for
        the DNS: TEMPERROR.
        """
        address = _plain_address(client)
        host = _host_name(helo)
        spoken = host or (helo if helo.isascii() else "unknown")  # for the macro %{h}
        if sender is None or not sender.domain:  # RFC 7208 §2.4: the mailbox postmaster@helo
            by_helo = await self._check(SpfIdentity.HELO, address, "postmaster", host, spoken)
            return by_helo, replace(by_helo, identity=SpfIdentity.MAIL_FROM)
        domain = "" if sender.domain.startswith("[") else sender.domain
        # First, and apart: whoever says HELO chooses its name servers, and they are not to delay what others' say.
        by_sender = await self._check(SpfIdentity.MAIL_FROM, address, sender.local, domain, spoken)
        try:
            async with asyncio.timeout(self._helo_seconds):
                return await self._check(SpfIdentity.HELO, address, "postmaster", host, spoken), by_sender
        except TimeoutError:
            reason = "the DNS took too long"
            return SpfCheck(Result.TEMPERROR, SpfIdentity.HELO, host, f"postmaster@{host}", reason), by_sender

    def __len__(self) -> int:
        return len(self._kept)

    async def _check(self, identity: SpfIdentity, client: str, local: str, domain: str, helo: str) -> SpfCheck:
        sender = f"{local}@{domain}" if domain else ""
        if not client or not domain:
            reason = "the client has no IP address" if domain else "there is no domain name to ask about"
            return SpfCheck(Result.NONE, identity, domain, sender, reason)
        kept = self._kept.get((client, domain))
        if kept is not None and await self._still_holds(kept, client):
            self._kept.move_to_end((client, domain))
            return replace(kept.check, identity=identity, sender=sender)
        questions = _Questions(self._resolver, client, self._clock, local.isascii())
        check = await self._evaluate(questions, SpfCheck(Result.NONE, identity, domain, sender), local, helo)
        self._keep(client, domain, questions, check)
        return check

    async def _evaluate(self, questions: "_Questions", blank: SpfCheck, local: str, helo: str) -> SpfCheck:
        try:
            _, records = await questions.ask("TXT", blank.domain)
        except ResolverUnavailable as failure:
            return replace(blank, result=Result.TEMPERROR, reason=_printable(str(failure)))
        if not any(
            _VERSION.match(record) for record in records
        ):  # most domains that spammers make up: no evaluation is needed to say so
            return replace(blank, reason="the domain has no SPF record")
        limits = spftrace.Limits(
            max_terms=MAX_TERMS, max_void=MAX_VOID_LOOKUPS, time_limit=TIME_LIMIT, max_queries=MAX_QUERIES
        )
        evaluator = spftrace.Evaluator(questions, limits, receiver=self._hostname)
        sender = f"{local if local.isascii() else _NO_LABEL}@{blank.domain}"
        try:
            found = await evaluator.evaluate(questions.client, sender, helo)
        except ValueError as error:  # of numbers and networks that spftrace takes for well-formed
            return replace(blank, result=Result.PERMERROR, reason=_printable(f"the record is malformed: {error}"))
        return replace(
            blank,
            result=Result(found.result),
            reason=_reason(found),
            explanation=_printable(_MARKED.sub(lambda mark: _MEANT[mark[1]], found.explanation or "")),
            mechanism=_deciding_term(found.trace),
        )

    async def _still_holds(self, kept: _Kept, client: str) -> bool:
        questions = _Questions(self._resolver, client, self._clock, ascii_local=True)
        try:
            for (kind, name), facts in kept.facts:
                if await questions.ask(kind, name) != facts:
                    return False
        except ResolverUnavailable:
            return False
        return True

    def _keep(self, client: str, domain: str, questions: "_Questions", check: SpfCheck) -> None:
        if not questions.settled or check.result is Result.TEMPERROR or len(questions.facts) > _MAX_KEPT_QUESTIONS:
            self._kept.pop((client, domain), None)
            return
        self._kept[client, domain] = _Kept(tuple(questions.facts.items()), check)
        self._kept.move_to_end((client, domain))
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)


class _Questions(spftrace.BaseResolver):
    """One evaluation's way to the DNS, which notes what it learns. spftrace asks by ``_lookup``, its point of
    extension.
    """

    def __init__(self, resolver: Resolver, client: str, clock: Clock, ascii_local: bool) -> None:
        self._resolver = resolver
        self._clock = clock
        self._ascii_local = ascii_local
        self._until = clock.monotonic() + TIME_LIMIT
        self.client = client
        self.facts: dict[_Question, _Facts] = {}
        self.settled = True
        """What was learnt settles the result for every sender of the domain, and every HELO name."""

    async def ask(self, kind: str, name: str) -> _Facts:
        """What the DNS says of a name. Raises ResolverUnavailable."""
        facts = self.facts.get((kind, name))
        if facts is not None:
            return facts
        if self._clock.monotonic() > self._until:
            raise ResolverUnavailable(f"SPF took longer than {TIME_LIMIT:g} seconds")
        answer = await self._answer(kind, name)
        if kind == "TXT" and any(_VARYING_MACRO.search(record) for record in answer.records):
            self.settled = False
        self.facts[kind, name] = (answer.existence, answer.records)
        return answer.existence, answer.records

    async def _answer(self, kind: str, name: str) -> Answer[Any]:
        match kind:
            case "TXT":
                return await self._resolver.txt(name)
            case "A":
                return await self._resolver.addresses(name, Family.IPV4)
            case "AAAA":
                return await self._resolver.addresses(name, Family.IPV6)
            case "MX":
                return await self._resolver.mx(name)
            case "PTR":  # RFC 7208 §5.5, §7.3: it is only ever asked about the client
                return await self._resolver.ptr(self.client)
        raise ResolverUnavailable(f"{kind} records are not asked for")

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            existence, records = await self.ask(rtype, name)
        except ResolverUnavailable as failure:
            self.settled = False  # ptr only fails to match then (RFC 7208 §5.5), and may match the next time
            raise spftrace.DnsError(str(failure)) from failure
        code = "NXDOMAIN" if existence is Existence.NO_SUCH_DOMAIN else "NOERROR"
        return code, [text for record in records if (text := self._text(record))]

    def _text(self, record: object) -> str:
        """The record as spftrace takes it; ``""`` for the null MX (RFC 7505), behind which there is no host."""
        if isinstance(record, MxRecord):
            return record.host
        if isinstance(record, str):
            return record
        assert isinstance(record, bytes)  # noqa: S101 - for the types: the port gives nothing else
        text = _UNPRINTABLE.sub(b"\xff", record).decode("latin-1")  # RFC 7208 §3.1: then it is malformed
        if not _VERSION.match(record):
            return _ESCAPED.sub(lambda found: _MARKS[found[0]], text)
        text = _IP6_ZONE.sub(r"\1!", text)
        # RFC 8616 §4: with a local part that is not ASCII such a term matches nothing. An include whose name cannot
        # be would be an error instead; exists merely does not match.
        return text if self._ascii_local else _LOCAL_INCLUDE.sub(r"\1exists:", text)


def _plain_address(client: str) -> str:
    """The client's address; an IPv4-mapped one as IPv4, a zone left out. ``""`` for what is none."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _host_name(helo: str) -> str:
    """The domain that HELO names, ``""`` where it is an address literal or no multi-label name (RFC 7208 §2.3)."""
    if not helo.isascii():
        try:
            helo = normalise_domain(helo)  # RFC 8616 §4 wants A-labels; U-labels are converted all the same
        except ValueError:
            return ""
    if len(helo) > 254 or not _HOST.fullmatch(helo):
        return ""
    return helo.lower().removesuffix(".")


def _deciding_term(trace: spftrace.Trace) -> str:
    """The term that decided, of the outermost record; ``""`` where none matched."""
    for event in reversed(trace.events):
        if event.kind == "mech_match":
            return _printable(str(event.data["raw"]))
        if event.kind == "eval_done" and event.data.get("reason") == "default":
            return ""
        if event.kind == "exit":
            return ""
    return ""


def _reason(found: spftrace.Result) -> str:
    """Why an evaluation ended early, in spftrace's words."""
    for event in reversed(found.trace.events):
        if event.kind == "exit":
            return _printable(str(event.data["reason"]))
    return ""


def _printable(text: str) -> str:
    """A stranger's words in printable ASCII (RFC 7208 §6.2, §11.5), of bounded length."""
    return re.sub(r"[^ -~]", "?", text[:MAX_TEXT])
