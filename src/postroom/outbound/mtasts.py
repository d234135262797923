"""MTA-STS: finds the policies of recipient domains, keeps them and renews them (RFC 8461 §3.3, §5.1)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from postroom.clock import Clock
from postroom.dns.resolver import Resolver
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.mail.trouble import ResolverUnavailable
from postroom.outbound.https import HttpsAnswer, HttpsFailed
from postroom.outbound.stspolicy import MAX_POLICY, read_policy, read_record
from postroom.outbound.tlsstore import KeptPolicy
from postroom.report.events import Report
from postroom.report.road import StsPolicyFetched

WAIT = 5.0
"""Seconds that mail waits for a policy that is not known yet. The fetch goes on; the mail goes as if there were none
(RFC 8461 §5.1).
"""

FETCH_TIMEOUT = 30.0
"""Seconds; RFC 8461 §3.3 suggests a minute at most."""

AGAIN = 300.0
"""Seconds until a policy that could not be fetched is asked for again (RFC 8461 §3.3)."""

RENEWED_AFTER = 86400.0
"""Seconds after which a policy is fetched anew, whether it has changed or not (RFC 8461 §3.3: once per day)."""

RENEW_AGAIN = 3600.0
"""Seconds until a renewal that failed is tried again."""

MAX_KEPT = 10_000
"""Policies in memory; the ones used least recently go first."""

MAX_OCTETS = 32 << 20
"""Octets of all policies in memory together: a policy may be large, and a stranger may have many domains."""

MAX_FETCHES = 200
"""Domains whose policies are being fetched at once; mail for more goes as without."""

_AT_ONCE = 16  # requests
_RENEWED_AT_ONCE = 100  # policies in one round
_PATH = "/.well-known/mta-sts.txt"

Tell = Callable[[Report], None]
NoteFailure = Callable[[str, StsPolicy | None, str, str], None]
"""Domain, the policy that is kept, result type (RFC 8460 §4.3.2.2), and why."""


class Https(Protocol):
    """What fetches."""

    async def get(self, host: str, path: str, *, limit: int, seconds: float) -> HttpsAnswer:
        """What stands at ``path``. Raises HttpsFailed."""
        ...


class MtaSts:
    """The policies, in memory. ``load`` brings those that were kept, ``changed`` gives those that are to be kept."""

    def __init__(
        self,
        resolver: Resolver,
        https: Https,
        clock: Clock,
        tell: Tell,
        note_failure: NoteFailure = lambda _domain, _policy, _result, _why: None,
    ) -> None:
        self._resolver = resolver
        self._https = https
        self._clock = clock
        self._tell = tell
        self._note_failure = note_failure
        self._kept: OrderedDict[str, KeptPolicy] = OrderedDict()
        self._octets = 0
        self._changed: dict[str, KeptPolicy] = {}
        self._failed: OrderedDict[str, tuple[str, float]] = OrderedDict()  # policy id, and until when it is left alone
        self._fetching: dict[str, asyncio.Task[KeptPolicy | None]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def load(self, policies: Iterable[KeptPolicy]) -> None:
        """What was kept by an earlier process."""
        for kept in sorted(policies, key=lambda kept: kept.fetched_at)[-MAX_KEPT:]:
            self._keep(kept)

    def changed(self) -> tuple[KeptPolicy, ...]:
        """What has changed since this was asked last."""
        changed, self._changed = tuple(self._changed.values()), {}
        return changed

    async def of(self, domain: str) -> StsPolicy | None:
        """The policy to apply to mail for a domain now, or None. Waits ``WAIT`` seconds at most; raises nothing.

        A policy that is kept stands until it expires, whatever becomes of its record or its host (RFC 8461 §3.3, §5.1).
        """
        kept = self._valid(domain)
        try:
            async with asyncio.timeout(WAIT):
                policy_id = read_record((await self._resolver.txt(f"_mta-sts.{domain}")).records)
                if policy_id and (kept is None or kept.policy.policy_id != policy_id):
                    kept = await self._fetch(domain, policy_id) or self._valid(domain)
        except (ResolverUnavailable, TimeoutError):
            kept = self._valid(domain)
        if kept is None or kept.policy.mode is StsMode.NONE:  # RFC 8461 §5: as though there were none
            return None
        if domain in self._kept:  # it may have had to make room meanwhile
            self._kept.move_to_end(domain)
        return kept.policy

    async def renew(self) -> None:
        """Fetch policies anew that were fetched a day ago (RFC 8461 §3.3). To be called often."""
        now = self._clock.now()
        due = [
            kept.policy
            for kept in self._kept.values()
            if kept.fetched_at + RENEWED_AFTER <= now < kept.policy.expires_at and self._may_ask(kept.policy.domain)
        ]
        for policy in due[:_RENEWED_AT_ONCE]:
            try:
                records = (await self._resolver.txt(f"_mta-sts.{policy.domain}")).records
            except ResolverUnavailable:
                records = ()
            await self._fetch(policy.domain, read_record(records) or policy.policy_id)

    async def close(self) -> None:
        """Give up what is being fetched."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _valid(self, domain: str) -> KeptPolicy | None:
        kept = self._kept.get(domain)
        return kept if kept is not None and kept.policy.expires_at > self._clock.now() else None

    def _may_ask(self, domain: str, policy_id: str | None = None) -> bool:
        failed = self._failed.get(domain)
        if failed is None or failed[1] <= self._clock.now():
            return True
        return policy_id is not None and failed[0] != policy_id  # another version has another chance

    async def _fetch(self, domain: str, policy_id: str) -> KeptPolicy | None:
        """One fetch at a time for a domain; whoever wants it too waits for the same. None if it failed."""
        task = self._fetching.get(domain)
        if task is None:
            if not self._may_ask(domain, policy_id) or len(self._fetching) >= MAX_FETCHES:
                return None
            # A task of its own: mail that waits no longer must not end it.
            task = asyncio.create_task(self._fetch_now(domain, policy_id))
            self._fetching[domain] = task
            task.add_done_callback(lambda _: self._fetching.pop(domain, None))
        return await asyncio.shield(task)

    async def _fetch_now(self, domain: str, policy_id: str) -> KeptPolicy | None:
        try:
            async with self._gate:
                text = await self._get(domain)
        except HttpsFailed as error:
            result = "sts-webpki-invalid" if error.untrusted else "sts-policy-fetch-error"
            self._note_trouble(domain, policy_id, result, str(error))
            return None
        now = self._clock.now()
        try:
            policy = read_policy(domain, policy_id, text, now)
        except ValueError as error:
            self._note_trouble(domain, policy_id, "sts-policy-invalid", str(error))
            return None
        kept = self._changed[domain] = KeptPolicy(policy, now)
        self._keep(kept)
        self._failed.pop(domain, None)
        self._tell(StsPolicyFetched(domain, policy.mode.value, policy_id))
        return kept

    def _keep(self, kept: KeptPolicy) -> None:
        before = self._kept.pop(kept.policy.domain, None)
        self._octets += _octets_of(kept) - (0 if before is None else _octets_of(before))
        self._kept[kept.policy.domain] = kept
        while len(self._kept) > MAX_KEPT or self._octets > MAX_OCTETS:
            _, gone = self._kept.popitem(last=False)
            self._octets -= _octets_of(gone)

    async def _get(self, domain: str) -> bytes:
        answer = await self._https.get(f"mta-sts.{domain}", _PATH, limit=MAX_POLICY, seconds=FETCH_TIMEOUT)
        if answer.status != 200:  # RFC 8461 §3.3: redirects too
            raise HttpsFailed(f"mta-sts.{domain} answers {answer.status}")
        if answer.media_type != "text/plain":  # RFC 8461 §3.2
            raise HttpsFailed(
                f"mta-sts.{domain} answers with {answer.media_type[:80] or 'no media type'}, not text/plain"
            )
        return answer.body

    def _note_trouble(self, domain: str, policy_id: str, result: str, why: str) -> None:
        kept = self._valid(domain)
        again = AGAIN if kept is None or kept.policy.policy_id != policy_id else RENEW_AGAIN
        self._failed[domain] = (policy_id, self._clock.now() + again)
        self._failed.move_to_end(domain)
        while len(self._failed) > MAX_KEPT:
            self._failed.popitem(last=False)
        if kept is None or kept.policy.mode is not StsMode.NONE:  # RFC 8461 §3.3, §6
            mode = "" if kept is None else kept.policy.mode.value
            self._tell(StsPolicyFetched(domain, mode, policy_id, why))
            self._note_failure(domain, None if kept is None else kept.policy, result, why)


def _octets_of(kept: KeptPolicy) -> int:
    """About what it takes in memory."""
    lines = (*kept.policy.mx, *kept.policy.text)
    return 500 + sum(map(len, lines)) + 60 * len(lines)
