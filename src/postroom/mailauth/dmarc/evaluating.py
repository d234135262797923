"""Does DMARC pass, and if not, what does the domain want done (RFC 9989 §5.3)? Exceptions are decided elsewhere."""

import asyncio
from collections.abc import Sequence

from postroom.dns.resolver import Existence, Family, Resolver
from postroom.mail.headers import Header
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.mailauth.author import read_author
from postroom.mailauth.dmarc.walk import Organization, TreeWalk
from postroom.mailauth.model import DkimCheck, DmarcCheck, DmarcRecord, Policy, Result, SpfCheck, SpfIdentity

MAX_IDENTIFIERS = 5
"""Domains that are compared by a walk of their own, for each method: who signs with more wants to keep us busy."""

SECONDS = 8.0
"""Seconds for each author domain; what the DNS does not say by then is a TEMPERROR for that one."""

_MILDER = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}
_SEVERITY = {Policy.NONE: 0, Policy.QUARANTINE: 1, Policy.REJECT: 2}


@value(frozen=True, slots=True)
class _Identifiers:
    """The domains that one method vouches for, and those of which it could not tell now."""

    passed: tuple[str, ...]
    unsure: tuple[str, ...]


@value(frozen=True, slots=True)
class _Alignment:
    """The first domain that is aligned, ``""`` for none; ``unsure``: the DNS had no answer that might have changed
    it.
    """

    domain: str
    unsure: bool


class DmarcEvaluator:
    """Evaluates messages against the records of their authors' domains, each within ``seconds``."""

    __slots__ = ("_resolver", "_seconds")

    def __init__(self, resolver: Resolver, *, seconds: float = SECONDS) -> None:
        self._resolver = resolver
        self._seconds = seconds

    async def evaluate(
        self, header: Header, spf: SpfCheck | None, dkim: Sequence[DkimCheck], block: bytes = b""
    ) -> DmarcCheck:
        """What DMARC says of a message. ``spf`` is the check of MAIL FROM; ``block`` is the content from its beginning
        where it is at hand, in which a hidden second From is looked for.

        NONE where nothing is published, TEMPERROR where the DNS has no answer that matters (it is never raised),
        PERMERROR where From or the record is broken. With several author domains, or some that can only be suspected,
        the check is the strictest that fails (RFC 9989 §11.5); it passes only where From is clean and each domain
        passes.
        """
        author = read_author(header, block)
        if not author.domains:
            return DmarcCheck(Result.PERMERROR, reason=author.fault, incomplete=not author.complete)
        walk = TreeWalk(self._resolver)
        by_spf, by_dkim = _spf_identifiers(spf), _dkim_identifiers(dkim)
        if len(author.domains) == 1:
            check = await self._in_time(walk, author.domains[0], by_spf, by_dkim)
        else:  # at the same time: a domain whose name servers are slow takes none of the time of the others
            evaluating = [self._in_time(walk, domain, by_spf, by_dkim) for domain in author.domains]
            check = max(await asyncio.gather(*evaluating), key=_weight)
        if not author.fault:
            return check
        result = check.result if check.result in {Result.FAIL, Result.TEMPERROR} else Result.PERMERROR
        return DmarcCheck(
            result,
            check.author,
            check.organization,
            check.record,
            check.policy,
            reason=author.fault,
            incomplete=not author.complete,
        )

    async def organization(self, domain: str) -> str:
        """The organizational domain of a domain, by tree walk (RFC 9989 §4.10.2). Raises ResolverUnavailable."""
        return (await TreeWalk(self._resolver).organization(domain)).domain

    async def _in_time(self, walk: TreeWalk, author: str, spf: _Identifiers, dkim: _Identifiers) -> DmarcCheck:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._evaluate(walk, author, spf, dkim)
        except TimeoutError:
            return DmarcCheck(Result.TEMPERROR, author, reason="the DNS took too long")

    async def _evaluate(self, walk: TreeWalk, author: str, spf: _Identifiers, dkim: _Identifiers) -> DmarcCheck:
        try:
            found = await self._discover(walk, author, spf, dkim)
        except ResolverUnavailable as failure:
            return DmarcCheck(Result.TEMPERROR, author, reason=str(failure))
        if found.published is None:
            return DmarcCheck(Result.NONE, author, found.domain, reason="no DMARC record is published")
        record = found.published.record
        if found.published.fault:
            return DmarcCheck(Result.PERMERROR, author, found.domain, record, reason=found.published.fault)
        by_spf = await _align(walk, author, found.domain, spf, record.strict_spf)
        by_dkim = await _align(walk, author, found.domain, dkim, record.strict_dkim)
        if by_spf.domain or by_dkim.domain:
            return DmarcCheck(
                Result.PASS, author, found.domain, record, dkim_aligned=by_dkim.domain, spf_aligned=by_spf.domain
            )
        if by_spf.unsure or by_dkim.unsure:  # RFC 9989 §5.3.6: it can be considered neither to pass nor to fail
            return DmarcCheck(Result.TEMPERROR, author, found.domain, record, reason="the DNS had no answer in time")
        try:
            policy = await self._policy(author, record)
        except ResolverUnavailable as failure:
            return DmarcCheck(Result.TEMPERROR, author, found.domain, record, reason=str(failure))
        reason = "no domain that passes SPF or DKIM is aligned with From"
        return DmarcCheck(Result.FAIL, author, found.domain, record, policy, reason=reason)

    async def _discover(self, walk: TreeWalk, author: str, spf: _Identifiers, dkim: _Identifiers) -> Organization:
        """The record that applies. Where every identifier is the author's domain itself, and a record stands there,
        that domain counts as the organization's and nothing more is asked (RFC 9989 §4.10.2, first note).
        """
        own = await walk.at(author)
        others = {*spf.passed, *spf.unsure, *dkim.passed, *dkim.unsure} - {author}
        if own is not None and not own.fault and not others and (spf.passed or dkim.passed):
            return Organization(author, own)
        try:
            return await walk.organization(author)
        except ResolverUnavailable:
            if own is None or own.fault or others:
                raise
            # RFC 9989 §4.10.1: the author's own record is the policy, and nothing is there that could be aligned
            return Organization(author, own)

    async def _policy(self, author: str, record: DmarcRecord) -> Policy:
        """What the record asks for a message of this author that fails (RFC 9989 §4.10.1, §4.7)."""
        policy = record.policy
        if author != record.domain:
            policy = record.subdomain_policy or policy
            wanted = record.nonexistent_policy or policy
            if wanted is not policy and not await self._exists(author):
                policy = wanted
        return _MILDER[policy] if record.testing else policy

    async def _exists(self, domain: str) -> bool:
        """Whether the name exists: anything but NXDOMAIN (RFC 9989 §3.2.13, §A.4). An alias exists, whatever it leads
        to.
        """
        answer = await self._resolver.addresses(domain, Family.IPV4)
        return answer.existence is not Existence.NO_SUCH_DOMAIN or answer.name != domain


def _spf_identifiers(spf: SpfCheck | None) -> _Identifiers:
    """RFC 9989 §4.4.2: MAIL FROM alone, which is that of HELO for the null sender."""
    if spf is None or spf.identity is not SpfIdentity.MAIL_FROM or not spf.domain:
        return _Identifiers((), ())
    return _Identifiers(
        (spf.domain,) if spf.result is Result.PASS else (), (spf.domain,) if spf.result is Result.TEMPERROR else ()
    )


def _dkim_identifiers(dkim: Sequence[DkimCheck]) -> _Identifiers:
    """RFC 9989 §4.4.1: d= of each signature that verifies. A key that is tested counts as none (RFC 6376 §3.6.1), and
    so does a signature that leaves room for text by others (RFC 6376 §8.2).
    """
    counted = [check for check in dkim if check.domain and not check.testing and check.covered]
    passed = dict.fromkeys(check.domain for check in counted if check.result is Result.PASS)
    unsure = dict.fromkeys(check.domain for check in counted if check.result is Result.TEMPERROR)
    return _Identifiers(tuple(passed), tuple(unsure))


async def _align(walk: TreeWalk, author: str, organization: str, identifiers: _Identifiers, strict: bool) -> _Alignment:
    """Which identifier is aligned with the author (RFC 9989 §4.4). Those that need no question come first."""
    if author in identifiers.passed:
        return _Alignment(author, unsure=False)
    unsure = author in identifiers.unsure
    if strict:
        return _Alignment("", unsure)
    # Whoever has this organization is the organization's domain or stands below it: of the others nothing is asked.
    for domain in [each for each in identifiers.passed if _is_within(each, organization)][:MAX_IDENTIFIERS]:
        try:
            if (await walk.organization(domain)).domain == organization:
                return _Alignment(domain, unsure=False)
        except ResolverUnavailable:
            unsure = True
    if not unsure:
        unsure = await _may_align(walk, organization, identifiers.unsure)
    return _Alignment("", unsure)


async def _may_align(walk: TreeWalk, organization: str, domains: Sequence[str]) -> bool:
    """Whether one of the domains that could not be checked would have been aligned, as far as can be told."""
    for domain in [each for each in domains if _is_within(each, organization)][:MAX_IDENTIFIERS]:
        try:
            if (await walk.organization(domain)).domain == organization:
                return True
        except ResolverUnavailable:
            return True
    return False


def _is_within(domain: str, organization: str) -> bool:
    return domain == organization or domain.endswith("." + organization)


def _weight(check: DmarcCheck) -> tuple[int, int]:
    """How much a check of one of several author domains counts: a failure with a consequence before anything else."""
    severity = _SEVERITY[check.policy] if check.policy is not None else 0
    order = (Result.PASS, Result.NONE, Result.FAIL, Result.PERMERROR, Result.TEMPERROR)
    return severity, order.index(check.result)
