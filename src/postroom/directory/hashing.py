"""The threads that verify passwords against hashes, and the directory as a source of these."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from postroom.directory.passwords import NOBODYS_HASH, HashTrouble, verify_password
from postroom.directory.sources.source import Claim, SourceUnavailable

P = ParamSpec("P")
R = TypeVar("R")

_MOST_THREADS = 4  # each holds 19 MiB while it works


class HashThreads:
    """Few threads for work that takes a processor some 25 ms; ``number`` 0: one for each core, at most four."""

    def __init__(self, number: int = 0) -> None:
        number = number or min(_MOST_THREADS, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(max_workers=number, thread_name_prefix="password")

    async def verify(self, stored: str, prepared: bytes) -> bool:
        """Whether the password is the stored one. SourceUnavailable if that cannot be found out."""
        try:
            return await self.run(verify_password, stored, prepared)
        except HashTrouble as error:
            raise SourceUnavailable(str(error)) from error

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Anything else that takes a processor's time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let go of the threads, once what they do is done. Nothing comes after it."""
        self._threads.shutdown(wait=False)


class DirectorySource:
    """The source ``directory``: the hash that is stored with the account."""

    name = "directory"

    def __init__(self, threads: HashThreads) -> None:
        self._threads = threads

    async def mark(self, claim: Claim) -> str:
        """The hash."""
        return claim.stored

    async def verify(self, claim: Claim) -> bool | None:
        """Whether it is the stored one; None where none is stored."""
        return await self._threads.verify(claim.stored, claim.prepared) if claim.stored else None

    async def imitate(self, claim: Claim) -> None:
        """The work of one verification."""
        await self._threads.verify(NOBODYS_HASH, claim.prepared)

    async def close(self) -> None:
        """The threads are others' too."""
