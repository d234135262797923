"""Whether a signature is true: keys that fit, the hash of the body, the value (RFC 6376 §6.1.2, §6.1.3)."""

from dataclasses import replace

from postroom.mail.value import value
from postroom.mailauth.dkim.body import BodyHasher
from postroom.mailauth.dkim.header import SignedHeader
from postroom.mailauth.dkim.keyrecord import Key
from postroom.mailauth.dkim.keys import Found, NoKey
from postroom.mailauth.dkim.signature import RSA_SHA256, Signature
from postroom.mailauth.model import Result


@value(frozen=True, slots=True)
class Verdict:
    """PASS, or why not. ``bits`` and ``testing`` are of the key that decided (0 and False: there was none);
    ``covered``: the signature is of the body to its end.
    """

    result: Result
    reason: str = ""
    bits: int = 0
    testing: bool = False
    covered: bool = True


class Verifier:
    """Verifies signatures of one message: its header, and its body hashed in the forms that they name."""

    def __init__(self, header: SignedHeader, hasher: BodyHasher, min_rsa_bits: int) -> None:
        self._header = header
        self._hasher = hasher
        self._min_rsa_bits = min_rsa_bits

    def verify(self, signature: Signature, place: int, found: Found) -> Verdict:
        """What is to be thought of the signature that stands at ``place`` of the header."""
        below = signature.host != signature.domain
        chosen = choose_keys(signature.algorithm, found, self._min_rsa_bits, below=below)
        if isinstance(chosen, Verdict):
            return chosen
        bits, testing = chosen[0].bits, chosen[0].testing
        body = self._hasher.result((signature.relaxed_body, signature.limit))
        if not body.digest:  # RFC 6376 §3.5 l=
            return Verdict(Result.PERMERROR, "l= is more than the body has", bits, testing)
        if body.digest != signature.body_hash:
            return Verdict(Result.FAIL, "the body hash did not verify", bits, testing, body.whole)
        header, names = self._header, signature.names
        digest = header.digest(names, header.fields[place], relaxed=signature.relaxed_header, place=place)
        verdict = replace(verify_value(chosen, signature.value, digest), covered=body.whole)
        if verdict.result is Result.PASS and len(header.places(b"from")) > names.count(b"from") > 0:
            # RFC 6376 §8.15: people would be shown a field that nobody signed
            return replace(verdict, result=Result.POLICY, reason="there is a From that is not signed")
        return verdict

    def has_body_of(self, signature: Signature) -> bool:
        """Whether the body is the one that was signed, whoever signed."""
        return self._hasher.result((signature.relaxed_body, signature.limit)).digest == signature.body_hash


def verify_value(keys: list[Key], signature: bytes, digest: bytes) -> Verdict:
    """Whether one of the keys made this signature of the digest."""
    for key in keys:
        if key.verifies(signature, digest):
            return Verdict(Result.PASS, "", key.bits, key.testing)
    return Verdict(Result.FAIL, "the signature did not verify", keys[0].bits, keys[0].testing)


def choose_keys(algorithm: str, found: Found, min_rsa_bits: int, *, below: bool = False) -> list[Key] | Verdict:
    """Those of the keys that are for the algorithm, or why none is. ``below``: the i= is of a domain below d=."""
    if isinstance(found, NoKey):
        return Verdict(found.result, found.reason, found.bits, found.testing)
    fitting = [key for key in found if key.algorithm == algorithm]
    if not fitting:  # RFC 6376 §6.1.2 step 8
        return Verdict(Result.PERMERROR, f"the key is not for {algorithm}", found[0].bits, found[0].testing)
    first = fitting[0]
    if below:  # RFC 6376 §3.6.1 t=s
        fitting = [key for key in fitting if not key.strict]
        if not fitting:
            return Verdict(Result.PERMERROR, "the key is for i= of d= itself only", first.bits, first.testing)
    if algorithm == RSA_SHA256:
        fitting = [key for key in fitting if key.bits >= min_rsa_bits]
    if not fitting:  # RFC 8301 §3.2: policies may use the length
        return Verdict(Result.POLICY, f"the key has {first.bits} bits only", first.bits, first.testing)
    return fitting
