"""Rate limits: how much each account, sender domain, client address and destination may bring, over layered windows.

A limit is never final: the answer is 450 with the time when there is room again. The status is 4.7.1, refused by policy
(RFC 3463 §3.8); X.2.z would speak of the recipient's mailbox, and 452 4.5.3 would make the client bring the rest in
another transaction at once (RFC 5321 §4.5.3.1.10). All of it is memory; ``policy/keeping.py`` writes behind.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from postroom.clock import Clock
from postroom.config.guard import LimitSettings
from postroom.config.section import Rate
from postroom.directory.model import NotLocal
from postroom.mail.address import Address
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.mail.status import NOT_AUTHORISED
from postroom.policy.networks import member_of, network_of
from postroom.policy.scope import NoRoom, Scope, say_rate
from postroom.policy.stage import AtMail, AtRcpt, Stage
from postroom.policy.store import AccountLimits, GuardRecord, Standing
from postroom.policy.verdict import ACCEPT, Defer, Verdict
from postroom.report.events import LimitNear, LimitReached
from postroom.report.reporter import Reporter

_Reserved = dict[tuple[Scope, str], int]


class Limiter:
    """The rate limits of one node, for all roles and sessions."""

    def __init__(self, settings: LimitSettings, clock: Clock, reporter: Reporter) -> None:
        self._clock = clock
        self._reporter = reporter
        self._warn_at = settings.warn_at
        self._is_exempt = member_of(settings.exempt_networks)
        self._account_messages = Scope("account_messages", "messages", "your account", settings.account_messages)
        self._account_recipients = Scope(
            "account_recipients", "recipients", "your account", settings.account_recipients
        )
        self._domain = Scope("sender_domain_messages", "messages", "your domain", settings.sender_domain_messages)
        self._address_messages = Scope("address_messages", "messages", "your address", settings.address_messages)
        self._address_recipients = Scope(
            "address_recipients", "recipients", "your address", settings.address_recipients
        )
        self._destination = Scope("destination_messages", "messages", "this domain", settings.destination_messages)
        self._scopes = {
            scope.name: scope
            for scope in (
                self._account_messages,
                self._account_recipients,
                self._domain,
                self._address_messages,
                self._address_recipients,
                self._destination,
            )
        }
        self._open: dict[int, _Reserved] = {}  # by session: what its transaction has on its way

    def stage(self, role: Role) -> Stage | None:
        """The step for a role, to be asked after all others; None where nothing is limited."""
        if role in (Role.SUBMISSION, Role.SUBMISSIONS):
            return Stage(name="limits", on_mail=self._submitted_mail, on_rcpt=self._submitted_rcpt, on_end=self._end)
        if role is Role.MX and (self._address_messages.is_limited or self._address_recipients.is_limited):
            return Stage(name="limits", on_mail=self._mx_mail, on_rcpt=self._mx_rcpt, on_end=self._end)
        return None

    # The moments.

    async def _mx_mail(self, moment: AtMail) -> Verdict:
        client = moment.client
        self._begin(client)
        if self._is_exempt(client.address):
            return ACCEPT
        return self._reserve(client, self._address_messages, network_of(client.address))

    async def _mx_rcpt(self, moment: AtRcpt) -> Verdict:
        client = moment.client
        if self._is_exempt(client.address):
            return ACCEPT
        return self._reserve(client, self._address_recipients, network_of(client.address))

    async def _submitted_mail(self, moment: AtMail) -> Verdict:
        client = moment.client
        self._begin(client)
        verdict = self._reserve(client, self._account_messages, _account_key(client))
        if verdict is ACCEPT and self._domain.is_limited:
            verdict = self._reserve(client, self._domain, client.account.rpartition("@")[2])
            if verdict is not ACCEPT:
                self._end(client, accepted=False)
        return verdict

    async def _submitted_rcpt(self, moment: AtRcpt) -> Verdict:
        client = moment.client
        domain = moment.recipient.address.domain
        counts = (
            self._destination.is_limited
            and isinstance(moment.resolution, NotLocal)
            and (self._destination, domain) not in self._open.get(client.session_id, {})  # one message, however many
        )
        if counts:
            verdict = self._reserve(client, self._destination, domain)
            if verdict is not ACCEPT:
                return verdict
        verdict = self._reserve(client, self._account_recipients, _account_key(client))
        if counts and verdict is not ACCEPT:
            self._destination.release(domain, self._open[client.session_id].pop((self._destination, domain)))
        return verdict

    def _end(self, client: Client, accepted: bool) -> None:
        """The transaction is over: what it reserved is used up, or free again."""
        reserved = self._open.pop(client.session_id, None)
        if not reserved:
            return
        now = self._clock.now()
        for (scope, subject), count in reserved.items():
            scope.release(subject, count)
            if accepted:
                scope.use(subject, now, count)
                self._look_near(scope, subject, now)

    def _begin(self, client: Client) -> None:
        if client.session_id in self._open:
            self._end(client, accepted=False)

    def _reserve(self, client: Client, scope: Scope, subject: str) -> Verdict:
        now = self._clock.now()
        full = scope.reserve(subject, now)
        if full is not None:
            return self._refuse(client, scope, subject, full, now)
        reserved = self._open.setdefault(client.session_id, {})
        key = (scope, subject)
        reserved[key] = reserved.get(key, 0) + 1
        return ACCEPT

    # Telling.

    def _refuse(self, client: Client, scope: Scope, subject: str, full: NoRoom, now: float) -> Defer:
        until = now + full.wait
        if scope.is_news_reached(subject, full.rate, now):
            self._reporter.tell(LimitReached(scope.name, subject, str(full.rate), until, client.address))
        moment = datetime.fromtimestamp(ceil(until), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = (
            f"The limit of {say_rate(full.rate, scope.unit)} for {scope.whom} is reached, "
            f"try again in {max(1, ceil(full.wait))} s (at {moment})"
        )
        return Defer(
            Reply.of(450, f"4.{NOT_AUTHORISED}", text),
            f"{scope.name} {full.rate} of {subject} is used up for {full.wait:.0f} s",
        )

    def _look_near(self, scope: Scope, subject: str, now: float) -> None:
        for rate, share in scope.shares(subject, now):
            if share >= self._warn_at and scope.is_news_near(subject, rate, now):
                self._reporter.tell(LimitNear(scope.name, subject, str(rate), share))

    # What is kept, and what operators set.

    def set_account_limits(self, limits: Sequence[AccountLimits]) -> None:
        """The accounts with limits of their own are these."""
        self._account_messages.set_special(
            {each.account: each.messages for each in limits if each.messages is not None}
        )
        self._account_recipients.set_special(
            {each.account: each.recipients for each in limits if each.recipients is not None}
        )

    def restore(self, record: GuardRecord) -> None:
        """At the start, with the accounts' limits set: what an earlier process counted."""
        by_scope: dict[str, dict[str, dict[str, float]]] = {}
        for row in record.standings:
            by_scope.setdefault(row.scope, {}).setdefault(row.subject, {})[row.rate] = row.tat
        for name, tats in by_scope.items():
            if name in self._scopes:
                self._scopes[name].restore(tats)

    def changed(self) -> tuple[Standing, ...]:
        """What has changed since this was last asked."""
        return tuple([row for scope in self._scopes.values() for row in scope.changed()])

    def save_again(self, rows: Sequence[Standing]) -> None:
        """These could not be written."""
        for name, scope in self._scopes.items():
            scope.save_again({row.subject for row in rows if row.scope == name})


def rates_in_force(
    settings: LimitSettings, own: AccountLimits | None
) -> tuple[tuple[str, tuple[Rate, ...], bool], ...]:
    """What limits an account: scope, rates, and whether they are its own."""
    messages, recipients = (own.messages, own.recipients) if own is not None else (None, None)
    return (
        ("account_messages", settings.account_messages if messages is None else messages, messages is not None),
        (
            "account_recipients",
            settings.account_recipients if recipients is None else recipients,
            recipients is not None,
        ),
    )


def _account_key(client: Client) -> str:
    """The key of the account that logged in."""
    account = client.account
    plain = account.isascii() and '"' not in account
    return account.lower() if plain else Address.parse(account).key
