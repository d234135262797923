"""The file with the secret that private keys are encrypted with: made, where it is missing, and unmade on failure."""

import os
from pathlib import Path
from types import TracebackType

from postroom.mailauth.keys.model import KeyName
from postroom.mailauth.keys.sealing import Sealer, SealError, new_secret, open_sealer


class PreparedKeyFile:
    """A key file that is there. As a context: where the work with a new one fails, the file goes again."""

    def __init__(self, file: Path, *, is_new: bool) -> None:
        self._file = file
        self.is_new = is_new
        self.sealer = open_sealer(file)

    def opening(self, before: Sealer) -> Sealer:
        """Opens what was sealed by ``before``, and what is sealed by this file already."""
        return _EitherSealer(before, self.sealer)

    def __enter__(self) -> "PreparedKeyFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.is_new:
            self._file.unlink(missing_ok=True)


class _EitherSealer(Sealer):
    """Opens by the one or the other."""

    def __init__(self, first: Sealer, second: Sealer) -> None:
        super().__init__()
        self._first = first
        self._second = second

    def open(self, name: KeyName, kept: bytes) -> bytes:
        """The private key. Raises SealError, that of the second."""
        try:
            return self._first.open(name, kept)
        except SealError:
            return self._second.open(name, kept)


def prepare_key_file(file: Path, data: Path) -> PreparedKeyFile:
    """The key file, made with a random secret where there is none. Where root makes it, it belongs to the owner of the
    data folder: commands give root up before they read it. Raises SealError and OSError.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return PreparedKeyFile(file, is_new=False)
    with os.fdopen(descriptor, "wb") as opened:
        if os.geteuid() == 0 and data.exists():
            owner = data.stat()
            os.fchown(opened.fileno(), owner.st_uid, owner.st_gid)
        opened.write(new_secret())
        opened.flush()
        os.fsync(opened.fileno())
    return PreparedKeyFile(file, is_new=True)
