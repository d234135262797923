"""Checks whose mail it is before it is taken in: SPF, DKIM with ARC, DMARC; decides, and says what goes with it.

SPF is asked as soon as a recipient is taken, so that its answers come in while the content does. All of it is bounded
in time: what the DNS does not say by then is a TEMPERROR, and nobody's slow DNS takes the time that others need.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol

from postroom.clock import Clock
from postroom.config.mailauth import MailauthSettings
from postroom.config.section import Network
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope
from postroom.mail.headers import Header, split_header
from postroom.mail.mailboxes import read_mailboxes
from postroom.mail.session import Client, Role
from postroom.mail.value import value
from postroom.mailauth.author import count_authors
from postroom.mailauth.content import Content
from postroom.mailauth.model import (
    NO_ARC,
    ArcCheck,
    Authentication,
    DkimCheck,
    DmarcCheck,
    Policy,
    Result,
    SpfCheck,
    SpfIdentity,
)
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.policy.authreplies import reply_to
from postroom.policy.disposition import Action, Decision, Ground, Leniency, decide, object_to
from postroom.policy.networks import member_of
from postroom.policy.stage import AtMessage, AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Accept, Defer, Refuse, Verdict
from postroom.policy.vouching import Vouchers
from postroom.report.checking import MailChecked
from postroom.report.reporter import Reporter

QUARANTINE_TAG = "quarantine"
"""The tag of a message that is put aside: rules of routing may go by it."""

_SHARE = 2 / 3  # of the time is for SPF and DKIM, so that DMARC has the rest whatever a forger's servers do
_MOST_SIGNATURES = 10  # named in the log, and counted as unfinished
_LONGEST_NAME = 100  # characters in the history
_DOMAIN_OF_SIGNATURE = re.compile(r"(?:\A|;)\s*d\s*=\s*([A-Za-z0-9._-]{1,253})\s*(?:;|\Z)")
_DISPOSITIONS = {Action.QUARANTINE: Policy.QUARANTINE, Action.REFUSE: Policy.REJECT}

SpfChecks = tuple[SpfCheck, SpfCheck]
"""Of HELO and of MAIL FROM."""


class SpfMethod(Protocol):
    """Asks SPF; never raises for the DNS."""

    async def check(self, client: str, helo: str, sender: Address | None) -> SpfChecks:
        """What SPF finds for HELO and MAIL FROM."""
        ...


class FoundSignatures(Protocol):
    """What became of the signatures of a message."""

    @property
    def dkim(self) -> tuple[DkimCheck, ...]:
        """Each DKIM signature."""
        ...

    @property
    def arc(self) -> ArcCheck:
        """The ARC chain."""
        ...


class SignatureMethod(Protocol):
    """Checks signatures; never raises for the DNS, StoreUnavailable where the content cannot be read."""

    async def check(self, content: Content) -> FoundSignatures:
        """What became of DKIM signatures and of the ARC chain."""
        ...


class DmarcMethod(Protocol):
    """Evaluates DMARC; never raises for the DNS."""

    async def evaluate(
        self, header: Header, spf: SpfCheck | None, dkim: Sequence[DkimCheck], block: bytes = b""
    ) -> DmarcCheck:
        """What DMARC says; ``block`` is the header as it came."""
        ...


class DmarcTally(Protocol):
    """Counts for the aggregate reports to those whose domains are used (RFC 9989 §5.3.7)."""

    def note(
        self,
        authentication: Authentication,
        *,
        header: Header,
        client: str,
        envelope_from: Address | None,
        envelope_to: Collection[str],
        disposition: Policy,
        overrides: Sequence[Override] = (),
    ) -> None:
        """One message that was checked and then taken, put aside or refused for good; ``envelope_to`` are the domains
        of its recipients, ``disposition`` is what was done.
        """
        ...


@value(frozen=True, slots=True, kw_only=True)
class Methods:
    """How mail is checked. ``write`` makes our Authentication-Results field from our name, what was found, and the
    client's address; ``without_forged`` takes those in our name out of a header.
    """

    spf: SpfMethod
    signatures: SignatureMethod
    dmarc: DmarcMethod
    write: Callable[[str, Authentication, str], bytes]
    without_forged: Callable[[bytes, str], bytes]


class MailChecks:
    """The checks of one node, for all roles and sessions."""

    def __init__(
        self,
        settings: MailauthSettings,
        methods: Methods,
        *,
        hostname: str,
        trusted_networks: Sequence[Network] = (),
        resolver: Resolver,
        clock: Clock,
        reporter: Reporter,
        tally: DmarcTally | None = None,
    ) -> None:
        self._settings = settings
        self._methods = methods
        self._name = settings.authserv_id or hostname
        self._roles = tuple([role for role in Role if role.value in settings.roles])
        self._is_exempt = member_of((*settings.exempt_networks, *trusted_networks))
        self._vouchers = Vouchers(settings, resolver)
        self._clock = clock
        self._reporter = reporter
        self._tally = tally
        self._asked: dict[int, asyncio.Task[SpfChecks]] = {}  # by session: what its transaction asks of SPF

    def checks(self, client: Client) -> bool:
        """Whether mail of this client is checked."""
        return client.role in self._roles and not client.account and not self._is_exempt(client.address)

    def without_forged(self, header: bytes) -> bytes:
        """The header without Authentication-Results fields that bear our name (RFC 8601 §5)."""
        return self._methods.without_forged(header, self._name)

    def stage(self, role: Role) -> Stage | None:
        """The step for a role; None where nothing is checked."""
        if role not in self._roles or not (self._settings.spf or self._settings.dkim):
            return None
        on_rcpt = self._on_rcpt if self._settings.spf else None
        return Stage(
            name="authentication",
            on_rcpt=on_rcpt,
            on_message=self._on_message,
            reads=self.checks,
            on_end=self._on_end,
        )

    # The moments.

    async def _on_rcpt(self, moment: AtRcpt) -> Verdict:
        client = moment.client
        if client.session_id not in self._asked and self._asks_spf(client):
            asking = self._methods.spf.check(client.address, client.helo, moment.reverse_path)
            self._asked[client.session_id] = asyncio.create_task(asking)
        return ACCEPT

    def _on_end(self, client: Client, accepted: bool) -> None:
        asking = self._asked.pop(client.session_id, None)
        if asking is not None:
            asking.cancel()

    async def _on_message(self, moment: AtMessage) -> Verdict:
        if not self.checks(moment.client):
            return ACCEPT
        started = self._clock.monotonic()
        header = split_header(moment.header)
        found = await self._find(moment, header)
        decision = await self._decide(moment, header, found)
        results = _results(found)
        self._reporter.tell(
            MailChecked(
                moment.client,
                "" if moment.envelope.reverse_path is None else str(moment.envelope.reverse_path),
                moment.queue_id,
                results,
                "" if found.dmarc is None else found.dmarc.author,
                decision.action.name.lower(),
                decision.reason,
                "" if decision.leniency is None else decision.leniency.override.kind.value,
                self._clock.monotonic() - started,
            )
        )
        self._count(moment, header, found, decision)
        return self._verdict(moment, found, decision, results)

    # Finding out.

    def _asks_spf(self, client: Client) -> bool:
        """Whether the client's address is that of whoever brings the mail to this house."""
        return self._settings.spf and self.checks(client) and (client.role is not Role.LMTP or bool(client.proxy))

    async def _find(self, moment: AtMessage, header: Header) -> Authentication:
        """Everything that the methods find, in the time that there is."""
        settings, client, sender = self._settings, moment.client, moment.envelope.reverse_path
        until = asyncio.get_running_loop().time() + settings.timeout
        asking: asyncio.Task[SpfChecks] | None = None
        if self._asks_spf(client):
            asking = self._asked.pop(client.session_id, None)
            if asking is None:
                asking = asyncio.create_task(self._methods.spf.check(client.address, client.helo, sender))
        checking = asyncio.create_task(self._signatures(moment.content)) if settings.dkim else None
        tasks: list[asyncio.Task[Any]] = [task for task in (asking, checking) if task is not None]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=settings.timeout * _SHARE)
            helo, spf = (None, None) if asking is None else _spf_of(asking, client, sender)
            dkim, arc = ((), NO_ARC) if checking is None else _signatures_of(checking, header)
        finally:
            for task in tasks:
                task.cancel()
        dmarc = None
        if settings.dmarc:
            dmarc = await _in_time(self._methods.dmarc.evaluate(header, spf, dkim, moment.header), until)
            if dmarc is None:
                dmarc = DmarcCheck(Result.TEMPERROR, _author(header), reason="the DNS took too long")
        return Authentication(spf, helo, dkim, arc, dmarc)

    async def _signatures(self, content: Content) -> FoundSignatures:
        return await self._methods.signatures.check(content)

    # Deciding.

    async def _decide(self, moment: AtMessage, header: Header, found: Authentication) -> Decision:
        authors = count_authors(moment.header)
        hidden = authors > 1 or (authors > 0 and not header.all(b"from"))
        objection = object_to(found, self._settings, hidden_author=hidden)
        leniency = await self._vouchers.lenient(objection, moment.client, moment.envelope, header, found)
        if leniency is None and objection.ground is Ground.DMARC and found.spf is None:
            leniency = Leniency(Override(OverrideKind.LOCAL_POLICY, "SPF is not known"), "SPF could not be asked")
        return decide(objection, leniency)

    def _verdict(
        self, moment: AtMessage, found: Authentication, decision: Decision, results: tuple[tuple[str, str, str], ...]
    ) -> Verdict:
        match decision.action:
            case Action.REFUSE:
                return Refuse(reply_to(decision, found, moment.client), decision.reason)
            case Action.DEFER:
                return Defer(reply_to(decision, found, moment.client), decision.reason)
            case _:
                pass
        shown = [[method, result, name[:_LONGEST_NAME]] for method, result, name in results]
        facts: dict[str, Any] = {"results": shown, "action": decision.action.name.lower()}
        if decision.reason:
            facts["why"] = decision.reason
        fields = self._methods.write(self._name, found, moment.client.address)
        if decision.action is not Action.QUARANTINE:
            return Accept(fields, facts={"checked": facts})
        fields += b"X-Postroom-Quarantine: " + decision.objection.ground.name.lower().encode() + b"\r\n"
        hold = decision.reason if self._settings.quarantine == "hold" else ""
        return Accept(fields, (QUARANTINE_TAG,), hold, {"checked": facts})

    def _count(self, moment: AtMessage, header: Header, found: Authentication, decision: Decision) -> None:
        if self._tally is None or decision.action is Action.DEFER:
            return
        self._tally.note(
            found,
            header=header,
            client=moment.client.address,
            envelope_from=moment.envelope.reverse_path,
            envelope_to=_domains(moment.envelope),
            disposition=_DISPOSITIONS.get(decision.action, Policy.NONE),
            overrides=() if decision.leniency is None else (decision.leniency.override,),
        )


async def _in_time(evaluating: Coroutine[Any, Any, DmarcCheck], until: float) -> DmarcCheck | None:
    try:
        async with asyncio.timeout_at(until):
            return await evaluating
    except TimeoutError:
        return None


def _spf_of(asking: asyncio.Task[SpfChecks], client: Client, sender: Address | None) -> SpfChecks:
    """What SPF found, or that it came to no result in time."""
    if asking.done():
        return asking.result()
    reason = "the DNS took too long"
    helo = SpfCheck(Result.TEMPERROR, SpfIdentity.HELO, client.helo, reason=reason)
    if sender is None:  # RFC 7208 §2.4
        return helo, SpfCheck(Result.TEMPERROR, SpfIdentity.MAIL_FROM, client.helo, reason=reason)
    return helo, SpfCheck(Result.TEMPERROR, SpfIdentity.MAIL_FROM, sender.domain, str(sender), reason)


def _signatures_of(checking: asyncio.Task[FoundSignatures], header: Header) -> tuple[tuple[DkimCheck, ...], ArcCheck]:
    """What became of the signatures; where that was not to be had in time, that of each it is not known."""
    if checking.done():
        found = checking.result()
        return found.dkim, found.arc
    unknown = []
    for field in header.all(b"dkim-signature")[:_MOST_SIGNATURES]:
        match = _DOMAIN_OF_SIGNATURE.search(field.text)
        if match is not None:
            reason = "the DNS took too long"
            unknown.append(DkimCheck(Result.TEMPERROR, match[1].lower(), "", "", reason=reason))
    return tuple(unknown), NO_ARC


def _author(header: Header) -> str:
    """The domain of From where there is one alone, for telling."""
    fields = header.all(b"from")
    mailboxes = read_mailboxes(fields[0].text) if len(fields) == 1 else ()
    author = mailboxes[0] if len(mailboxes) == 1 else None
    return "" if author is None else author.domain


def _domains(envelope: Envelope) -> frozenset[str]:
    return frozenset([recipient.address.domain for recipient in envelope.recipients])


def _results(found: Authentication) -> tuple[tuple[str, str, str], ...]:
    """What each method found, and about which name, for the log and the history."""
    results = []
    if found.spf is not None:
        results.append(("spf", found.spf.result.value, found.spf.domain))
    if found.helo is not None:
        results.append(("helo", found.helo.result.value, found.helo.domain))
    results += [("dkim", one.result.value, one.domain) for one in found.dkim[:_MOST_SIGNATURES]]
    if found.arc.result is not Result.NONE:
        results.append(("arc", found.arc.result.value, found.arc.sealers[-1] if found.arc.sealers else ""))
    if found.dmarc is not None:
        results.append(("dmarc", found.dmarc.result.value, found.dmarc.author))
    return tuple(results)
