"""Checks every signature of a message, DKIM and ARC, in one pass over the body (RFC 6376 §6, RFC 8617 §5.2)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from postroom.clock import Clock
from postroom.dns.resolver import Resolver
from postroom.mail.value import value
from postroom.mailauth.arc import ChainChecker
from postroom.mailauth.arcset import ARC_FIELDS, Chain, read_chain
from postroom.mailauth.content import Content
from postroom.mailauth.dkim.body import BodyHasher
from postroom.mailauth.dkim.claims import Claim, choose, marked, read_claim
from postroom.mailauth.dkim.header import SignedHeader
from postroom.mailauth.dkim.keyrecord import MIN_RSA_BITS
from postroom.mailauth.dkim.keys import Found, KeyFinder, NoKey, Place
from postroom.mailauth.dkim.opening import Opened, opened
from postroom.mailauth.dkim.signature import Signature
from postroom.mailauth.dkim.verifying import Verifier
from postroom.mailauth.model import NO_ARC, ArcCheck, DkimCheck, Result

KEY_SECONDS = 15.0
"""Seconds for all keys of a message: what one signer's DNS does not say by then changes nothing for the others."""

MAX_SIGNATURES = 10
"""Signatures that are tried (RFC 6376 §6.1, §8.4); mail that went through many hands has four or five."""


@value(frozen=True, slots=True)
class Signatures:
    """What became of the signatures of a message: those of DKIM in the order of the header, and the ARC chain."""

    dkim: tuple[DkimCheck, ...] = ()
    arc: ArcCheck = NO_ARC


class SignatureChecker:
    """Checks signatures.

    ``min_rsa_bits``: shorter keys are not enough for us, POLICY; below 1024 they are for nobody (RFC 8301 §3.2).
    ``max_signatures`` bounds what is tried and told of: first those that are or could be aligned with From, then from
    the top; the others are passed over. ``seconds`` is how long the keys of one message may take together.
    """

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        *,
        min_rsa_bits: int = MIN_RSA_BITS,
        max_signatures: int = MAX_SIGNATURES,
        seconds: float = KEY_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._finder = KeyFinder(resolver)
        self._chains = ChainChecker(self._finder, min_rsa_bits)
        self._clock = clock
        self._min_rsa_bits = min_rsa_bits
        self._max_signatures = max_signatures

    async def check(self, content: Content) -> Signatures:
        """What is to be thought of the signatures. No content raises anything; StoreUnavailable is raised where its
        pieces cannot be had. A body that no signature needs is not read.
        """
        async with opened(content) as message:
            chosen = choose(message.fields, self._max_signatures)
            if not message.complete:
                return _too_long(message.fields, chosen)
            now = self._clock.now()
            claims = [read_claim(message.header.fields[place], place, now) for place in chosen]
            chain = read_chain(message.fields, now)
            return await self._judge(message, claims, chain)

    async def _judge(self, message: Opened, claims: Sequence[Claim], chain: Chain | ArcCheck) -> Signatures:
        signatures = [claim.signature for claim in claims if claim.signature]
        places = [(each.selector, each.domain) for each in signatures]
        if isinstance(chain, Chain):
            places += chain.newest_keys()
        until = asyncio.get_running_loop().time() + self._seconds
        keys = await self._finder.find_all(places, until)
        forms = [(each.relaxed_body, each.limit) for each in signatures if _has_key(each, keys)]
        if (
            isinstance(chain, Chain)
            and isinstance(newest := chain.newest.message, Signature)
            and _has_key(newest, keys)
        ):
            forms += chain.body_forms()
        hasher = BodyHasher(forms)
        if forms:
            await message.feed(hasher)
        verifier = Verifier(message.fields, hasher, self._min_rsa_bits)
        checks = [_settle(claim, verifier, keys) for claim in claims]
        if isinstance(chain, Chain):
            arc = await self._chains.check(chain, message.fields, keys, hasher, until)
        else:
            arc = chain
        return Signatures(marked(checks, claims), arc)


def _settle(claim: Claim, verifier: Verifier, keys: Mapping[Place, Found]) -> DkimCheck:
    signature = claim.signature
    if signature is None:
        return claim.about
    verdict = verifier.verify(signature, claim.place, keys[signature.selector, signature.domain])
    return replace(
        claim.about,
        result=verdict.result,
        reason=verdict.reason,
        testing=verdict.testing,
        covered=verdict.covered,
        key_bits=verdict.bits,
    )


def _has_key(signature: Signature, keys: Mapping[Place, Found]) -> bool:
    return not isinstance(keys[signature.selector, signature.domain], NoKey)


def _too_long(header: SignedHeader, chosen: Sequence[int]) -> Signatures:
    """Of a header of which only the beginning was read: what is there of signatures cannot be verified."""
    reason = "the header is too long to be verified"
    check = DkimCheck(Result.PERMERROR, "", "", "", reason=reason)
    arc = ArcCheck(Result.FAIL, reason=reason) if any(header.places(name) for name in ARC_FIELDS) else NO_ARC
    return Signatures((check,) * len(chosen), arc)
