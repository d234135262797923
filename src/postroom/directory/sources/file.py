"""The source ``file``: lines ``address:hash``, read anew when the file changes. Bad lines are left out and told of."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from postroom.clock import Clock
from postroom.directory.hashing import HashThreads
from postroom.directory.passwords import is_hash
from postroom.directory.sources.source import Claim, SourceUnavailable
from postroom.mail.address import Address
from postroom.report.events import SourceTrouble
from postroom.report.reporter import Reporter

MAX_FILE = 64 << 20  # octets: half a million accounts
LOOK_SECONDS = 1.0
"""Seconds between two looks whether the file has changed."""

_TOLD = 20  # bad lines of one reading that are told one by one

_Fingerprint = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """What stands in the file. ``problems`` begin with file and line, and quote nothing of it."""

    hashes: dict[str, str] = field(repr=False)
    problems: tuple[str, ...] = ()


def read_password_file(path: Path) -> PasswordFile:
    """Read all of it. OSError where it cannot be read."""
    with path.open("rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise OSError(f"{path} is larger than {MAX_FILE} octets")
    hashes: dict[str, str] = {}
    problems = []
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            key, stored = _read_line(text)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if key in hashes:
            problems.append(f"{path}:{number}: a second line for this address; the first one counts")
        hashes.setdefault(key, stored)
    return PasswordFile(hashes, tuple(problems))


def _read_line(text: str) -> tuple[str, str]:
    name, colon, stored = text.rpartition(":")
    if not colon:
        raise ValueError("it is not address:hash")
    try:
        address = Address.parse(name)
    except ValueError as error:
        raise ValueError(f"what stands before the last colon is no address: {error}") from error
    if not address.domain:
        raise ValueError("the address has no domain")
    if not is_hash(stored):
        raise ValueError("the hash is neither argon2 nor crypt's $5$ or $6$ (of at most 1,000,000 rounds)")
    return address.key, stored


class FileSource:
    """The file. Where it cannot be read, what was read of it last counts; without that nobody can be told."""

    name = "file"

    def __init__(self, path: Path, threads: HashThreads, clock: Clock, reporter: Reporter) -> None:
        self._path = path
        self._threads = threads
        self._clock = clock
        self._reporter = reporter
        self._content: PasswordFile | None = None
        self._samples: tuple[str, ...] = ()
        self._seen: _Fingerprint | None = None
        self._looked_at = float("-inf")
        self._trouble = ""
        self._reading = asyncio.Lock()

    async def mark(self, claim: Claim) -> str:
        """The hash."""
        return await self._stored(claim.address.key)

    async def verify(self, claim: Claim) -> bool | None:
        """Whether it is the one in the file; None where the address is not in it."""
        stored = await self._stored(claim.address.key)
        return await self._threads.verify(stored, claim.prepared) if stored else None

    async def imitate(self, claim: Claim) -> None:
        """The work of one verification, for one of the hashes in the file."""
        await self._stored("")
        if self._samples:
            choice = sha256(claim.address.key.encode("utf-8", "surrogatepass")).digest()[0]
            await self._threads.verify(self._samples[choice % len(self._samples)], claim.prepared)

    async def close(self) -> None:
        """Nothing is held."""

    async def _stored(self, key: str) -> str:
        if self._clock.monotonic() - self._looked_at >= LOOK_SECONDS:
            async with self._reading:
                if self._clock.monotonic() - self._looked_at >= LOOK_SECONDS:
                    await self._look()
        if self._content is None:
            raise SourceUnavailable(self._trouble)
        return self._content.hashes.get(key, "")

    async def _look(self) -> None:
        """Read the file if it has changed."""
        try:
            seen = _fingerprint(self._path)
            if seen != self._seen:
                content = await asyncio.to_thread(read_password_file, self._path)
                self._take(content, seen)
            self._trouble = ""
        except OSError as error:
            trouble = f"{self._path} cannot be read: {error.strerror or error}"
            if trouble != self._trouble:
                self._reporter.tell(SourceTrouble(self.name, trouble))
            self._trouble = trouble
        self._looked_at = self._clock.monotonic()

    def _take(self, content: PasswordFile, seen: _Fingerprint) -> None:
        self._content, self._seen = content, seen
        self._samples = tuple(content.hashes.values())
        for problem in content.problems[:_TOLD]:
            self._reporter.tell(SourceTrouble(self.name, problem))
        if len(content.problems) > _TOLD:
            more = len(content.problems) - _TOLD
            self._reporter.tell(SourceTrouble(self.name, f"{self._path}: {more} more lines that cannot be used"))


def _fingerprint(path: Path) -> _Fingerprint:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
