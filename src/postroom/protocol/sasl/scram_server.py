"""SCRAM, server side: a proof of the password that is never sent, bound to the TLS session (RFC 5802, RFC 7677).

The steps are KeysWanted, then (by its ``with_keys``) the challenge, then Proved or Disproved. An account may have
several passwords under one salt; the proof is compared to all of them, always.
"""

import hmac
from binascii import b2a_base64

from postroom.protocol.sasl import scram_words as words
from postroom.protocol.sasl.exchange import (
    MAX_FIELD,
    Around,
    Challenge,
    Disproved,
    KeysWanted,
    Malformed,
    Proved,
    ScramKeys,
    ScramSecret,
    Step,
)
from postroom.protocol.sasl.prepare import saslprep


class _Failed(Exception):
    """The exchange cannot succeed: the reason for the log, and the server-error of RFC 5802 §7."""

    def __init__(self, reason: str, error: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


class ScramServer:
    """One exchange. ``plus``: with channel binding. ``around.nonce`` must be used for this exchange alone."""

    def __init__(self, algorithm: str, *, plus: bool, around: Around) -> None:
        self._algorithm = algorithm
        self._plus = plus
        self._around = around
        self._name = ""
        self._authzid = ""
        self._input = b""  # what c= must hold: the GS2 header and the channel binding data
        self._first = b""  # client-first-message-bare
        self._challenge = b""  # server-first-message
        self._nonce = ""
        self._keys: ScramKeys | None = None

    def step(self, data: bytes | None) -> Step:
        """The client-first-message (None: to be asked for), then the client-final-message."""
        if self._keys is not None:
            return self._final(data or b"", self._keys)
        if data is None:
            return Challenge(b"")
        if self._nonce:
            return Malformed("the keys have not been looked up")
        try:
            return self._read_first(data)
        except _Failed as failed:
            return Disproved(self._name, failed.reason, failed.error)
        except ValueError as error:
            return Malformed(f"the client's first message: {error}")

    def with_keys(self, keys: ScramKeys) -> Challenge:
        """The server-first-message."""
        self._keys = keys
        salt = b2a_base64(keys.salt, newline=False)
        self._challenge = b"r=%s,s=%s,i=%d" % (self._nonce.encode(), salt, keys.iterations)
        return Challenge(self._challenge)

    # The client-first-message.

    def _read_first(self, message: bytes) -> KeysWanted:
        flag, comma, rest = message.partition(b",")
        authzid, again, bare = rest.partition(b",")
        if not comma or not again:
            raise ValueError("it has no GS2 header")
        if bare.startswith(b"m="):
            raise _Failed("it asks for an extension that we have not", words.EXTENSIONS_NOT_SUPPORTED)
        quoted, nonce = words.read_attributes(bare, "nr")
        self._name = _read_name(quoted)
        self._authzid = _read_authzid(authzid)
        self._nonce = words.read_nonce(nonce, MAX_FIELD) + self._around.nonce
        self._input = message[: len(message) - len(bare)] + self._bound(flag)
        self._first = bare
        return KeysWanted(self._name, self._authzid, self._algorithm, self.with_keys)

    def _bound(self, flag: bytes) -> bytes:
        """The channel binding data that the GS2 flag calls for (RFC 5802 §6)."""
        if flag == b"y" and any(name.endswith(words.PLUS) for name in self._around.announced):
            # The client has channel binding and was told that we have not: somebody changed what we announced.
            raise _Failed("a downgrade: it did not see that we have channel binding", words.SERVER_DOES_SUPPORT_BINDING)
        if flag in {b"n", b"y"}:
            if self._plus:
                raise _Failed("it asks for channel binding and does not bind", words.BINDING_NOT_SUPPORTED)
            return b""
        if not flag.startswith(b"p="):
            raise ValueError("it has no GS2 flag")
        if not self._plus:
            raise _Failed("it binds in a mechanism without channel binding", words.BINDING_NOT_SUPPORTED)
        kind = flag[2:].decode("ascii", "replace")
        bound = self._around.binding(kind) if kind in words.BINDINGS else None
        if not bound:
            raise _Failed("it asks for a channel binding that we have not", words.UNSUPPORTED_BINDING)
        return bound

    # The client-final-message.

    def _final(self, message: bytes, keys: ScramKeys) -> Step:
        try:
            bound, nonce, proof = words.read_attributes(message, "cr", last="p")
            claimed, proved = words.read_base64(bound), words.read_base64(proof)
        except ValueError as error:
            return Malformed(f"the client's final message: {error}")
        if not hmac.compare_digest(nonce, self._nonce.encode()):
            return Disproved(self._name, "the nonce is another", words.OTHER_ERROR)
        if not hmac.compare_digest(claimed, self._input):
            return Disproved(self._name, "it is bound to another TLS session", words.BINDINGS_DONT_MATCH)
        said = b",".join([self._first, self._challenge, message[: message.rindex(b",p=")]])
        secret = self._who_proved(proved, said, keys)
        if secret is None:
            return Disproved(self._name, "wrong password", words.INVALID_PROOF)
        signature = words.sign(self._algorithm, secret.server_key, said)
        final = b"v=" + b2a_base64(signature, newline=False)
        return Proved(self._name, self._authzid, secret.credential, final, words.INVALID_PROOF)

    def _who_proved(self, proof: bytes, said: bytes, keys: ScramKeys) -> ScramSecret | None:
        """The secret that the proof was made with. Each is compared, so that the time tells nothing of which it was."""
        found = None
        for secret in keys.secrets:
            signature = words.sign(self._algorithm, secret.stored_key, said)
            if len(proof) == len(signature):
                key = words.exclusive_or(proof, signature)
                if hmac.compare_digest(words.digest(self._algorithm, key), secret.stored_key):
                    found = secret
        return found


def _read_name(quoted: bytes) -> str:
    """The name, unquoted and prepared (RFC 5802 §5.1)."""
    try:
        name = saslprep(words.unquote_name(quoted))
    except ValueError as error:
        raise _Failed("the name is not well encoded", words.INVALID_USERNAME) from error
    if len(name.encode()) > MAX_FIELD:
        raise ValueError(f"the name is longer than {MAX_FIELD} octets")
    return name


def _read_authzid(attribute: bytes) -> str:
    if not attribute:
        return ""
    if not attribute.startswith(b"a="):
        raise ValueError("it has no GS2 header")
    return _read_name(attribute[2:])
