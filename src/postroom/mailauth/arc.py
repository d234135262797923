"""Whether an ARC chain is true: its newest message signature and all its seals (RFC 8617 §5.2); nothing is ever sealed.

The work is bounded: at most 50 sets, each field put into canonical form and hashed once for all seals, keys of older
seals asked for only when the newest set is true, the body hashed for all message signatures in the pass for DKIM.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from postroom.mailauth.arcset import ArcSet, Chain
from postroom.mailauth.dkim.body import BodyHasher
from postroom.mailauth.dkim.header import SignedHeader, relax_field, without_value
from postroom.mailauth.dkim.keys import Found, KeyFinder, Place
from postroom.mailauth.dkim.signature import Signature
from postroom.mailauth.dkim.verifying import Verdict, Verifier, choose_keys, verify_value
from postroom.mailauth.model import ArcCheck, Result


class ChainChecker:
    """Checks chains. ``min_rsa_bits`` as for DKIM."""

    def __init__(self, finder: KeyFinder, min_rsa_bits: int) -> None:
        self._finder = finder
        self._min_rsa_bits = min_rsa_bits

    async def check(
        self, chain: Chain, header: SignedHeader, keys: Mapping[Place, Found], hasher: BodyHasher, until: float
    ) -> ArcCheck:
        """PASS or FAIL. ``keys`` has those of the newest set, ``hasher`` the body in the forms of the chain; ``until``
        is when keys that are not known are given up, by the event loop's clock.

        Every failure is for good, one to ask the DNS too (RFC 8617 §5.2.1).
        """
        count = len(chain.sets)
        verifier = Verifier(header, hasher, self._min_rsa_bits)
        verdict = _message(chain.newest, verifier, keys)
        if verdict.result is not Result.PASS:  # RFC 8617 §5.2 step 4
            return _failed(f"message signature {count}: {verdict.reason}")
        digests = _seal_digests(chain.sets, header)
        verdict = self._seal(chain.newest, digests[-1], keys)
        if verdict.result is Result.PASS and count > 1:
            older = chain.sets[-2::-1]
            keys = {**keys, **await self._finder.find_all(_missing(older, keys), until)}
            for each, digest in zip(older, digests[-2::-1], strict=True):  # RFC 8617 §5.2 step 6
                count -= 1
                verdict = self._seal(each, digest, keys)
                if verdict.result is not Result.PASS:
                    break
        if verdict.result is not Result.PASS:
            return _failed(f"seal {count}: {verdict.reason}")
        return ArcCheck(
            Result.PASS,
            tuple([each.seal.domain for each in chain.sets]),
            tuple([each.results for each in chain.sets]),
            await self._oldest_pass(chain.sets, verifier, keys, until),
        )

    async def _oldest_pass(
        self, sets: Sequence[ArcSet], verifier: Verifier, keys: Mapping[Place, Found], until: float
    ) -> int:
        """The lowest instance whose message signature verifies without a break from the newest on, 0 for all
        (RFC 8617 §5.2 step 5).

        Where the body was changed, as it mostly was, this costs nothing: its hash is compared before a key is asked
        for.
        """
        for number in range(len(sets) - 1, 0, -1):
            message = sets[number - 1].message
            if not isinstance(message, Signature) or not verifier.has_body_of(message):
                return number + 1
            if _key_of(message) not in keys:
                keys = {**keys, **await self._finder.find_all([_key_of(message)], until)}
            if _message(sets[number - 1], verifier, keys).result is not Result.PASS:
                return number + 1
        return 0

    def _seal(self, each: ArcSet, digest: bytes, keys: Mapping[Place, Found]) -> Verdict:
        seal = each.seal
        chosen = choose_keys(seal.algorithm, keys[seal.selector, seal.domain], self._min_rsa_bits)
        return chosen if isinstance(chosen, Verdict) else verify_value(chosen, seal.value, digest)


def _message(each: ArcSet, verifier: Verifier, keys: Mapping[Place, Found]) -> Verdict:
    message = each.message
    if not isinstance(message, Signature):
        return Verdict(Result.FAIL, message)
    return verifier.verify(message, each.message_place, keys[_key_of(message)])


def _seal_digests(sets: Sequence[ArcSet], header: SignedHeader) -> list[bytes]:
    """SHA-256 of what each seal signs: all sets up to its own, and itself without its value (RFC 8617 §5.1.1)."""
    digests = []
    running = sha256()
    for each in sets:
        running.update(header.relaxed(each.results_place) + header.relaxed(each.message_place))
        own = running.copy()
        field = header.fields[each.seal.place]
        own.update(relax_field(field.name, without_value(field.value)))
        digests.append(own.digest())
        running.update(header.relaxed(each.seal.place))
    return digests


def _missing(sets: Sequence[ArcSet], keys: Mapping[Place, Found]) -> list[Place]:
    places = [(each.seal.selector, each.seal.domain) for each in sets]
    return [place for place in places if place not in keys]


def _key_of(message: Signature) -> Place:
    return message.selector, message.domain


def _failed(reason: str) -> ArcCheck:
    return ArcCheck(Result.FAIL, reason=reason)
