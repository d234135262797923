"""Private keys as the store keeps them: in the clear, or sealed with the secret of a file (AES-256-GCM, RFC 5116).

A sealed key begins with the mark of its secret, so that the wrong file is known before anything is opened, and it opens
only under the name that it was sealed for: rows that change places are of no use.
"""

import hmac
import secrets
from base64 import b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from postroom.mailauth.keys.model import KeyName

_CLEAR = b"\x00"
_SEALED = b"\x01"
_MARK = 8  # octets
_NONCE = 12  # octets, what AES-GCM is made for (RFC 5116 §5.1)
_SHORTEST = 32  # octets of a key file
_LONGEST = 4096


class SealError(Exception):
    """A private key cannot be opened, or the key file not be used; the text says why, ``remedy`` what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class Sealer:
    """Seals and opens with one secret, or with none: then keys stay in the clear, and sealed ones do not open."""

    def __init__(self, secret: bytes | None = None, file: Path | None = None) -> None:
        self._file = file
        self._secret = secret
        self._aead: AESGCM | None = None
        self._mark = b""
        if secret is not None:
            self._aead = AESGCM(_derive(secret, b"postroom dkim key"))
            self._mark = _derive(secret, b"postroom dkim mark")[:_MARK]

    def __reduce__(self) -> tuple[type["Sealer"], tuple[bytes | None, Path | None]]:
        return Sealer, (self._secret, self._file)

    def __repr__(self) -> str:
        return f"Sealer(file={self._file})"

    @property
    def seals(self) -> bool:
        """Whether there is a secret."""
        return self._aead is not None

    def seal(self, name: KeyName, private: bytes) -> bytes:
        """The private key as the store is to keep it."""
        if self._aead is None:
            return _CLEAR + private
        nonce = secrets.token_bytes(_NONCE)
        return _SEALED + self._mark + nonce + self._aead.encrypt(nonce, private, _bound_to(name))

    def open(self, name: KeyName, kept: bytes) -> bytes:
        """The private key. Raises SealError."""
        if kept[:1] == _CLEAR:
            return kept[1:]
        if kept[:1] != _SEALED:
            raise SealError(f"what is stored of the key {_show(name)} is of no known form", "use a newer Postroom")
        if self._aead is None:
            what = f"the key {_show(name)} is encrypted, and the settings name no key file"
            raise SealError(what, "name it as key_file in [dkim]")
        mark, nonce, sealed = kept[1 : 1 + _MARK], kept[1 + _MARK :][:_NONCE], kept[1 + _MARK + _NONCE :]
        if not hmac.compare_digest(mark, self._mark):
            what = f"the key {_show(name)} was encrypted with another key file than {self._file}"
            remedy = "put that file back, or change to the new one with postroom dkim encrypt --old FILE"
            raise SealError(what, remedy)
        try:
            return self._aead.decrypt(nonce, sealed, _bound_to(name))
        except (InvalidTag, ValueError) as error:
            what = f"the key {_show(name)} is damaged in the store, or belongs to another name"
            raise SealError(what, "restore it from a backup, or remove it: the next is made by itself") from error


def is_sealed(kept: bytes) -> bool:
    """Whether a stored private key is encrypted."""
    return kept[:1] == _SEALED


def open_sealer(file: Path | None) -> Sealer:
    """The sealer of ``dkim.key_file``. Raises SealError where the file cannot be used."""
    return Sealer() if file is None else Sealer(read_key_file(file), file)


def read_key_file(file: Path) -> bytes:
    """The secret of a key file: all of it, without white space around it. Raises SealError."""
    try:
        with file.open("rb") as opened:
            secret = opened.read(_LONGEST + 1).strip()
    except OSError as error:
        what = f"the key file {file} cannot be read: {error.strerror or error}"
        raise SealError(what, "correct key_file in [dkim], or let postroom dkim encrypt make the file") from error
    if not _SHORTEST <= len(secret) <= _LONGEST:
        what = f"the key file {file} is too {'short' if len(secret) < _SHORTEST else 'long'}"
        what += f": it needs {_SHORTEST} to {_LONGEST} octets"
        raise SealError(what, "let postroom dkim encrypt make one, at a path where there is none")
    return secret


def new_secret() -> bytes:
    """What a new key file holds: 256 random bits as a line of text."""
    return b64encode(secrets.token_bytes(32)) + b"\n"


def _derive(secret: bytes, purpose: bytes) -> bytes:
    """RFC 5869. The secret is random, not a password: nothing needs to be slow."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _bound_to(name: KeyName) -> bytes:
    return "\0".join(name).encode()


def _show(name: KeyName) -> str:
    return f"{name[1]} of {name[0]}"
