"""SCRAM, client side: proves the password, and has the server prove that it knows it too (RFC 5802, RFC 7677)."""

import hmac
from binascii import b2a_base64

from postroom.protocol.sasl import scram_words as words
from postroom.protocol.sasl.exchange import Binding, Malformed, Password, no_binding
from postroom.protocol.sasl.prepare import saslprep

MIN_ITERATIONS = 4096  # RFC 5802 §5.1, RFC 7677 §4: less is a gift to whoever reads the exchange
MAX_ITERATIONS = 600_000  # a fraction of a second: a server must not keep us busy for longer
_MAX_NONCE = 1024
_MAX_SALT = 1024  # octets of base64


class ScramClient:
    """One exchange. ValueError if name or password cannot be prepared.

    ``plus``: bind to the TLS session (RFC 5802 §6). ``supports``: we could bind, but the server does not offer it, and
    must be told so: if it does, somebody between us has changed its offer.
    """

    def __init__(
        self,
        algorithm: str,
        name: str,
        password: Password,
        nonce: str,
        *,
        authzid: str = "",
        plus: bool = False,
        supports: bool = False,
        binding: Binding = no_binding,
    ) -> None:
        self._algorithm = algorithm
        self._plus = plus
        self._password = saslprep(password.text).encode()
        kind, data = best_binding(binding) if plus else ("", b"")
        if plus and not data:
            raise ValueError("there is nothing to bind to")
        flag = b"p=" + kind.encode() if plus else (b"y" if supports else b"n")
        acting = b"a=" + words.quote_name(saslprep(authzid)) if authzid else b""
        header = b"%s,%s," % (flag, acting)
        self._input = header + data
        self._nonce = nonce.encode("ascii")
        self._first = b"n=%s,r=%s" % (words.quote_name(saslprep(name)), self._nonce)
        self._message = header + self._first
        self._signature: bytes | None = None
        self._said = False
        self._verified = False

    @property
    def name(self) -> str:
        """What AUTH calls it."""
        return words.mechanism_name(self._algorithm, plus=self._plus)

    @property
    def is_satisfied(self) -> bool:
        """The server has proved that it knows the password: only then is its word that we are in worth something."""
        return self._verified

    def initial(self) -> bytes:
        """The client-first-message."""
        self._said = True
        return self._message

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """The answer to an empty challenge, to the server-first-message, to the server-final-message."""
        if not self._said:
            return self.initial() if not challenge else Malformed("the server spoke before us")
        if self._verified:
            return Malformed("SCRAM is over, and the server asks for more")
        try:
            return self._prove(challenge) if self._signature is None else self._verify(challenge, self._signature)
        except ValueError as error:
            return Malformed(f"the server's message: {error}")

    def _prove(self, challenge: bytes) -> bytes:
        """The client-final-message."""
        _check_error(challenge)
        nonce, salt, count = words.read_attributes(challenge, "rsi")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ValueError("the nonce is not ours, continued")
        words.read_nonce(nonce, _MAX_NONCE)
        if len(salt) > _MAX_SALT:
            raise ValueError("the salt is too long")
        salted = words.salted(self._algorithm, self._password, words.read_base64(salt), _read_count(count))
        bound = b2a_base64(self._input, newline=False)
        without_proof = b"c=%s,r=%s" % (bound, nonce)
        said = b",".join([self._first, challenge, without_proof])
        secret = words.secret_of(self._algorithm, salted)
        signature = words.sign(self._algorithm, secret.stored_key, said)
        proof = words.exclusive_or(words.client_key(self._algorithm, salted), signature)
        self._signature = words.sign(self._algorithm, secret.server_key, said)
        return b"%s,p=%s" % (without_proof, b2a_base64(proof, newline=False))

    def _verify(self, final: bytes, signature: bytes) -> bytes:
        """Nothing, to the server-final-message (RFC 4954 §4, RFC 5034 §4): the success follows."""
        _check_error(final)
        (verifier,) = words.read_attributes(final, "v")
        if not hmac.compare_digest(words.read_base64(verifier), signature):
            raise ValueError("it does not know the password")
        self._verified = True
        return b""


def best_binding(binding: Binding) -> tuple[str, bytes]:
    """The best channel binding that there is, by type and data; empty if there is none."""
    for kind in words.BINDINGS:
        data = binding(kind)
        if data:
            return kind, data
    return "", b""


def _check_error(message: bytes) -> None:
    """ValueError if the server says that it failed."""
    if message.startswith(b"e="):
        raise ValueError(f"it refuses: {message[2:60].decode('ascii', 'backslashreplace')!r}")


def _read_count(text: bytes) -> int:
    """The iteration count, within our bounds."""
    if not text.isdigit() or len(text) > 9 or not MIN_ITERATIONS <= int(text) <= MAX_ITERATIONS:
        raise ValueError(f"it wants a number of iterations that is not from {MIN_ITERATIONS} to {MAX_ITERATIONS}")
    return int(text)
