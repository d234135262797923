"""What ACME keeps on the disk: the account, the certificate with its key in one file, and how the last order went.

Each file is replaced in one step, so that a reader, also after a crash, sees the old or the new and never half of one.
"""

import json
import os
import stat
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postroom.config.certificates import TlsSettings
from postroom.net.certificates import Certificate, CertificateError, PrivateKey, load_certificate, read_key

FOLDER = "acme"
"""Under the data folder."""

_MOST = 1 << 20  # octets; none of our files comes near it


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are to one authority. ``uri`` is ``""`` until it has registered us."""

    directory: str
    key_pem: str
    uri: str = ""
    contact: str = ""

    def __repr__(self) -> str:
        return f"Account({self.directory!r}, {self.uri!r})"


@dataclass(frozen=True, slots=True)
class State:
    """How orders went. ``wanted`` tells for which settings: after a change of them the past does not count."""

    wanted: str = ""
    issued_for: str = ""
    failures: int = 0
    next_try: float = 0.0
    trouble: str = ""
    tried_at: float = 0.0


class Shelf:
    """The folder ``data/acme``. Methods raise OSError where the disk refuses."""

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER
        self.certificate = self.folder / "certificate.pem"
        """Key and chain, in one file so that they never mismatch."""
        self._next_key = self.folder / "next-key.pem"
        self._state = self.folder / "state.json"
        self._request = self.folder / "renew"

    def prepare(self) -> None:
        """Make the folder, for us alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def dress(self, tls: TlsSettings) -> TlsSettings:
        """The TLS settings with this certificate in them, as soon as there is one."""
        if self.stored() is None:
            return tls
        return tls.model_copy(update={"certificate": self.certificate, "key": self.certificate})

    # -- certificate -------------------------------------------------------------------------------------------------

    def keep(self, key_pem: bytes, chain_pem: bytes) -> Certificate:
        """Put a new certificate in the old one's place. CertificateError where key and chain do not belong together."""
        draft = self._draft(self.certificate, key_pem + chain_pem)
        try:
            load_certificate(draft, None)
        except CertificateError:
            draft.unlink()
            raise
        self._publish(draft, self.certificate)
        if self.planned_key() == key_pem:
            self._next_key.unlink()
        return load_certificate(self.certificate, None)

    def stored(self) -> Certificate | None:
        """The authority's certificate, or None where there is none of use: another one is ordered then."""
        try:
            return load_certificate(self.certificate, None)
        except CertificateError:
            return None

    # -- keys --------------------------------------------------------------------------------------------------------

    def kept_key(self) -> bytes | None:
        """The key of the certificate that there is, PEM."""
        stored = self.stored()
        return None if stored is None else _pem(stored.key)

    def next_key(self) -> bytes:
        """The key that a certificate with a new key is to have, PEM: made now, or earlier. ``keep`` uses it up."""
        planned = self.planned_key()
        if planned is None:
            planned = _pem(ec.generate_private_key(ec.SECP256R1()))
            self._write(self._next_key, planned)
        return planned

    def planned_key(self) -> bytes | None:
        """The same if it was made, PEM. A broken file counts as none."""
        try:
            return _pem(read_key(self._next_key))
        except CertificateError:
            return None

    # -- account -----------------------------------------------------------------------------------------------------

    def account(self, directory: str) -> Account | None:
        """Our account with the authority of ``directory``. ValueError where its file is broken."""
        path = self._account_file(directory)
        try:
            return Account(**json.loads(_read(path)))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is broken: restore it, or remove it to register anew") from error

    def keep_account(self, account: Account) -> None:
        """Store it."""
        self._write(self._account_file(account.directory), _dump(asdict(account)))

    def _account_file(self, directory: str) -> Path:
        return self.folder / f"account-{sha256(directory.encode()).hexdigest()[:16]}.json"

    # -- state -------------------------------------------------------------------------------------------------------

    def state(self, wanted: str) -> State:
        """How it went for these settings; a new state where they have changed, or nothing is known."""
        try:
            found = State(**json.loads(_read(self._state)))
        except (FileNotFoundError, TypeError, ValueError):  # rebuilt by the next order
            return State(wanted=wanted)
        return found if found.wanted == wanted else State(wanted=wanted, issued_for=found.issued_for)

    def last_state(self) -> State:
        """The same, for whatever settings it was."""
        try:
            return State(**json.loads(_read(self._state)))
        except (FileNotFoundError, TypeError, ValueError):
            return State()

    def keep_state(self, state: State) -> None:
        """Store it."""
        self._write(self._state, _dump(asdict(state)))

    def succeeded(self, state: State, now: float) -> State:
        """The state after an order that brought a certificate, stored."""
        new = replace(state, issued_for=state.wanted, failures=0, next_try=0.0, trouble="", tried_at=now)
        self.keep_state(new)
        return new

    # -- a request from the command line -----------------------------------------------------------------------------

    def ask(self) -> None:
        """Leave word that a new certificate is wanted now."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._request.touch(mode=0o600)

    @property
    def is_asked(self) -> bool:
        """Whether such a word waits."""
        return self._request.exists()

    def take_request(self) -> bool:
        """Whether such a word was left; it is gone then."""
        try:
            self._request.unlink()
        except FileNotFoundError:
            return False
        return True

    # -- files -------------------------------------------------------------------------------------------------------

    def _write(self, path: Path, data: bytes) -> None:
        """Replace a file in one step, readable for us alone, safe on the disk when this returns."""
        self._publish(self._draft(path, data), path)

    def _draft(self, path: Path, data: bytes) -> Path:
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return draft

    def _publish(self, draft: Path, path: Path) -> None:
        draft.rename(path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST)


def _dump(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, indent=1).encode() + b"\n"


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
