"""Carries one message to one site: by a session from the pool or a fresh one, host after host."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from postroom.clock import Clock
from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.dns.resolver import Resolver
from postroom.mail.classify import Classifier
from postroom.mail.delivery import Delivered, DeliveryRequest, Outcome, QueuedRecipient, RouteKind, Site
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound import trouble
from postroom.outbound.hosts import Hosts, Target, is_own_address
from postroom.outbound.job import ONE_WRITE, Job, by_return_path, check_size
from postroom.outbound.login import login_for
from postroom.outbound.mxtls import MxTls, Wish, waives, wish_of
from postroom.outbound.opening import Connect, Opener, SocketConnect
from postroom.outbound.pool import Pool
from postroom.outbound.session import Session
from postroom.outbound.shaping.traffic import Traffic, Way
from postroom.outbound.tlsmet import NoteTls, note_nothing
from postroom.outbound.tlspolicy import PLAIN, TlsNeed, TlsPlan, TlsPolicy
from postroom.outbound.trouble import AttemptEnded, Step, Trouble, leads_on, worst
from postroom.queue.carrier import ContentSource
from postroom.report.reporter import Reporter

_DISCARDED = Delivered(Reply.of(250, "2.0.0", "discarded"))


class SmtpCarrier:
    """The carrier for MX, smarthost and LMTP sites, and for what is discarded.

    ``classifier`` names the causes of what peers reply; without one they stay OTHER.
    Raises OSError where a file with a secret of a smarthost cannot be read.
    """

    def __init__(
        self,
        *,
        hostname: str,
        settings: OutboundSettings,
        smarthosts: Sequence[SmarthostSettings],
        resolver: Resolver,
        content: ContentSource,
        clock: Clock,
        connect: Connect | None = None,
        classifier: Classifier | None = None,
        note_tls: NoteTls = note_nothing,
        traffic: Traffic | None = None,
    ) -> None:
        """``note_tls`` hears what came of TLS with MX hosts; ``traffic`` is what the scheduler asks too."""
        self._traffic = traffic or Traffic(settings, clock, Reporter())
        self._classifier = classifier
        self._settings = settings
        self._content = content
        self._logins = {smarthost.name: login_for(smarthost, clock) for smarthost in smarthosts}
        self._hosts = Hosts(resolver, settings, clock, ports={each.name: each.port for each in smarthosts})
        self._policy = TlsPolicy(settings, smarthosts, clock)
        self._mx_tls = MxTls(settings, self._policy, resolver, note_tls)
        self._opener = Opener(
            hostname, settings, connect or SocketConnect(), clock, self._traffic.sources, note=note_tls
        )
        self.pool = Pool(settings, clock)

    async def deliver(self, request: DeliveryRequest) -> dict[int, Outcome]:
        """One attempt: an outcome for each recipient. Never raises for what the peer or the network does."""
        return await self.deliver_by(self._traffic.way(request.site, request.source), request)

    async def deliver_by(self, way: Way, request: DeliveryRequest) -> dict[int, Outcome]:
        """The same by a way that is known already."""
        site = request.site
        match site.kind:
            case RouteKind.MX | RouteKind.SMARTHOST | RouteKind.LMTP:
                outcomes = await self._carry(way, request)
                if self._classifier is not None:
                    trouble.classify(outcomes, self._classifier)
                return outcomes
            case RouteKind.DISCARD:
                return {recipient.number: _DISCARDED for recipient in request.recipients}
            case RouteKind.MAILBOX | RouteKind.MAILDIR | RouteKind.COMMAND:
                what = f"{site.kind.value} is not carried by SMTP"
                return _for_all(request.recipients, trouble.no_route(what).outcome)

    async def close(self) -> None:
        """End the sessions that are idle; those in use end after their message."""
        await self.pool.close()
        for login in self._logins.values():
            if login is not None:
                await login.close()

    async def _carry(self, way: Way, request: DeliveryRequest) -> dict[int, Outcome]:
        message = request.message

        def read() -> AsyncIterator[bytes]:
            return self._content.read_content(message.queue_id)

        content = request.content
        if content is None and message.content_size <= ONE_WRITE:
            try:
                content = b"".join([piece async for piece in read()])
                check_size(len(content), message)
            except StoreUnavailable as error:
                return _for_all(request.recipients, trouble.content_unreadable(error))
        job = Job(message, request.recipients, content, read, way)
        if not message.envelope.require_tls:
            site = _apart(request.site, "TLS waived") if waives(message) else request.site
            alone = len(job.recipients) == 1  # there is nothing to divide, and one transaction is enough
            return await (self._attempt(site, job) if alone else self._carry_all(site, job))
        outcomes = await self._carry_all(_apart(request.site, "REQUIRETLS"), replace(job, secured=True))
        if message.envelope.reverse_path is not None:
            return outcomes
        # RFC 8689 §5: a bounce goes on without REQUIRETLS rather than be lost.
        left = tuple(r for r in job.recipients if trouble.is_unsecured(outcomes[r.number]))
        if left:
            job = replace(job, recipients=left, note="sent without REQUIRETLS, as a bounce may be")
            outcomes |= await self._carry_all(request.site, job)
        return outcomes

    async def _carry_all(self, site: Site, job: Job) -> dict[int, Outcome]:
        """The recipients of each return path by themselves, as long as the site lets us."""
        parts = by_return_path(job)
        outcomes = await self._carry_part(site, parts[0])
        for part in parts[1:]:
            stop = trouble.that_stops_others(outcomes.values())
            if stop is not None:
                return {recipient.number: stop for recipient in job.recipients} | outcomes
            outcomes |= await self._carry_part(site, part)
        return outcomes

    async def _carry_part(self, site: Site, job: Job) -> dict[int, Outcome]:
        """One transaction after the other, as many as our rule and the host's limits make of the recipients."""
        most = job.way.rule.recipients_per_message
        if most is not None and len(job.recipients) > most:
            together: dict[int, Outcome] = {}
            for first in range(0, len(job.recipients), most):
                stop = trouble.that_stops_others(together.values())
                if stop is not None:
                    return {recipient.number: stop for recipient in job.recipients} | together
                some = replace(job, recipients=job.recipients[first : first + most])
                together |= await self._carry_part(site, some)
            return together
        outcomes = await self._attempt(site, job)
        while True:
            # RFC 5321 §4.5.3.1.10: those beyond the host's limit go in a transaction of their own, at once, as long as
            # each transaction gets some further.
            left = tuple(r for r in job.recipients if trouble.is_too_many(outcomes[r.number]))
            if not left or len(left) == len(job.recipients):
                return outcomes
            job = replace(job, recipients=left)
            outcomes |= await self._attempt(site, job)

    async def _attempt(self, site: Site, job: Job) -> dict[int, Outcome]:
        """On an idle session if there is one. If that turns out to be stale, on a fresh one: that costs no attempt."""
        session = self.pool.take(_pool_key(site, job))
        if session is not None:
            try:
                return await self._use(session, job)
            except AttemptEnded:
                pass  # stale, as kept connections are at times: nothing was tried yet as far as the mail is concerned
        return await self._attempt_fresh(site, job)

    async def _attempt_fresh(self, site: Site, job: Job) -> dict[int, Outcome]:
        """Host after host (RFC 5321 §5.1), until one has answered for the message."""
        bad: Trouble | None = None
        tried = 0
        async with aclosing(self._hosts.of(site)) as targets:
            async for target in targets:
                if isinstance(target, Trouble):
                    bad = worst(bad, target)
                    continue
                if not job.way.source.reaches(target.address):
                    bad = bad or trouble.no_route(f"{job.way.source.name} has no address for {target.address}")
                    continue
                try:
                    return await self._use(await self._open(site, target, job), job)
                except AttemptEnded as ended:
                    found = trouble.unsecured(ended.trouble) if job.secured else ended.trouble
                    if not leads_on(found):
                        return _for_all(job.recipients, found.outcome)
                    bad = worst(bad, found)
                    if found.step is Step.CONNECT:
                        self._hosts.shun(target.address)
                tried += 1
                if tried >= self._settings.max_hosts:
                    break
        return _for_all(job.recipients, (bad or trouble.no_route(f"{site.key} has no hosts")).outcome)

    async def _open(self, site: Site, target: Target, job: Job) -> Session:
        """A fresh session, in the clear where an opportunistic handshake fails. AttemptEnded if there is none.

        ``job.secured``: TLS with a valid certificate, and a host that announces REQUIRETLS (RFC 8689 §4.2.1); not for
        LMTP within this machine, which is the delivery.
        """
        secured = job.secured and not (site.kind is RouteKind.LMTP and is_own_address(target.address))
        plan = await self._plan(site, target, wish_of(job.message, job.recipients, secured=secured))
        login = self._logins.get(target.relay)
        source = job.way.source
        await self._traffic.wait_to_connect(job.way)
        key = _pool_key(site, job)
        await self.pool.reserve(key, job.way.rule.concurrency)
        try:
            try:
                session = await self._opener.open(site, target, plan, login, source)
            except AttemptEnded as ended:
                if plan.need is not TlsNeed.OPPORTUNISTIC or ended.trouble.step is not Step.TLS:
                    raise
                self._policy.handshake_failed(target.host)
                plain = replace(PLAIN, policy=ended.trouble.outcome.peer.policy, domains=())
                session = await self._opener.open(site, target, plain, login, source)
        except BaseException:
            self.pool.release(key)
            raise
        session.key = key
        if secured and not session.announced.require_tls:
            self.pool.retire(session)
            raise AttemptEnded(trouble.requiretls_not_offered(session.peer))
        return session

    async def _plan(self, site: Site, target: Target, wish: Wish) -> TlsPlan:
        if site.kind is RouteKind.MX:
            return await self._mx_tls.plan(site, target.host, wish)
        relay = target.relay
        if relay and relay not in self._logins:
            raise AttemptEnded(trouble.no_route(f"there is no smarthost {relay!r} in the settings"))
        if target.is_socket:
            return PLAIN
        try:
            return self._policy.plan(site, target.host, secured=wish.secured, relay=relay)
        except OSError as error:  # ca_file, certificate or key
            raise AttemptEnded(trouble.no_route(f"the TLS files of {relay!r} cannot be read: {error}")) from error

    async def _use(self, session: Session, job: Job) -> dict[int, Outcome]:
        """Carry the message by the session, which goes back to the pool or away."""
        try:
            outcomes = await session.transact(job)
        except BaseException:
            session.abort()  # also when cancelled: nobody knows what the host has heard
            self.pool.retire(session)
            raise
        rule = job.way.rule
        if session.messages >= rule.messages_per_connection:
            self.pool.retire(session)
        else:
            self.pool.give_back(session, rule.idle_timeout)
        return outcomes


def _apart(site: Site, why: str) -> Site:
    """The same hosts, under a key of their own: a connection that was checked less must not be reused for others."""
    return replace(site, key=f"{site.key} {why}")


def _pool_key(site: Site, job: Job) -> str:
    """Sessions are reused by whom they were opened for: the same site, from the same source."""
    return f"{site.line} from {job.way.source.name}" if job.way.source.name else site.line


def _for_all(recipients: Sequence[QueuedRecipient], outcome: Outcome) -> dict[int, Outcome]:
    return {recipient.number: outcome for recipient in recipients}
