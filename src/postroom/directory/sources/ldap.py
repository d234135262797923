"""The source ``ldap``: a password is right if the directory server lets its owner bind with it (RFC 4513 §5.1.3).

Asking is done in up to ``ldap.connections`` processes (``ldapworker``), each started when it is first needed and
ended when it does not answer in time.
"""

import asyncio
import contextlib
import importlib.util
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from postroom.config.identity import LdapSettings
from postroom.directory.sources.ldapnames import fill_dn, fill_filter
from postroom.directory.sources.source import Claim, SourceUnavailable
from postroom.mail.address import Address
from postroom.protocol.sasl.prepare import saslprep

_WORKER = "postroom.directory.sources.ldapworker"
_STEPS = 4  # connect and bind, search, connect, bind: each may take ldap.timeout
_STARTING = 10.0  # seconds that a process is given to begin
_ENDING = 1.0


class LdapSource:
    """One directory server. ValueError if its password file cannot be read or the extra is missing."""

    name = "ldap"

    def __init__(self, settings: LdapSettings) -> None:
        if importlib.util.find_spec("bonsai") is None:
            raise ValueError('the source "ldap" needs an extra: install postroom[ldap]')
        self._settings = settings
        self._server = json.dumps(
            {
                "url": settings.url,
                "start_tls": settings.start_tls,
                "authorities": str(settings.ca_file or _system_authorities()),
                "search_base": settings.search_base,
                "search_dn": settings.search_dn,
                "search_password": _read_secret(settings.search_password_file),
                "timeout": settings.timeout,
            }
        )
        self._free: list[_Worker] = []
        self._room = asyncio.Semaphore(settings.connections)
        self._killed: set[asyncio.Task[None]] = set()
        self._closed = False

    async def mark(self, claim: Claim) -> None:
        """Nobody knows what its answer hangs on."""

    async def verify(self, claim: Claim) -> bool | None:
        """Whether the bind succeeds; None where no entry is found (with ``bind_dn`` a stranger is a wrong password)."""
        return await self._ask(claim.address, _secret_of(claim))

    async def imitate(self, claim: Claim) -> None:
        """A search and a bind as for others, but as nobody."""
        await self._ask(claim.address, _secret_of(claim), imitate=True)

    async def try_out(self) -> None:
        """Connect, and search for nobody where that is how people are found. SourceUnavailable if that fails."""
        await self._ask(Address("nobody-lives-here", "invalid"), "")

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._free:
            await self._free.pop().end()
        await asyncio.gather(*self._killed)

    async def _ask(self, address: Address, password: str, *, imitate: bool = False) -> bool | None:
        by_dn = self._settings.bind_dn
        question = {
            "dn": fill_dn(by_dn, address) if by_dn else "",
            "query": "" if by_dn else fill_filter(self._settings.search_filter, address),
            "password": password,
            "imitate": imitate,
        }
        try:
            async with asyncio.timeout(_STEPS * self._settings.timeout + _STARTING), self._room:
                answer = await self._with_worker(question)
        except TimeoutError as error:
            raise SourceUnavailable("LDAP: no answer in time") from error
        if answer["trouble"]:
            raise SourceUnavailable(f"LDAP: {answer['trouble']}")
        right: bool | None = answer["right"]
        return right

    async def _with_worker(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask by a process that is free. It goes back only if it has answered."""
        worker = self._free.pop() if self._free else None
        try:
            if worker is None:
                worker = await _Worker.start(self._server)
            async with asyncio.timeout(_STEPS * self._settings.timeout):
                answer = await worker.ask(question)
        except BaseException as error:
            if worker is not None:
                killed = asyncio.create_task(worker.kill(), name="LDAP process killed")
                self._killed.add(killed)
                killed.add_done_callback(self._killed.discard)
            if isinstance(error, (OSError, EOFError, ValueError)) and not isinstance(error, TimeoutError):
                raise SourceUnavailable(f"LDAP: the process that asks has ended ({type(error).__name__})") from error
            raise
        if self._closed:
            await worker.end()
        else:
            self._free.append(worker)
        return answer


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, server: str) -> "_Worker":
        """Secrets go through the pipe: arguments and environment are for all to see."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _WORKER, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        worker = cls(process)
        worker._write(server)
        return worker

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """OSError, EOFError or ValueError if the process is at its end."""
        self._write(json.dumps(question))
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        """It ends by itself when nothing can come any more."""
        self._hang_up()
        try:
            async with asyncio.timeout(_ENDING):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it, wherever it hangs."""
        self._hang_up()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _hang_up(self) -> None:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{line}\n".encode())


def _secret_of(claim: Claim) -> str:
    """RFC 4511 §4.2: prepared by SASLprep, where it can be."""
    try:
        return saslprep(claim.password.text)
    except ValueError:
        return claim.password.text


def _system_authorities() -> str:
    paths = ssl.get_default_verify_paths()
    return next((path for path in (paths.cafile, paths.openssl_cafile) if path and Path(path).exists()), "")


def _read_secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"ldap.search_password_file cannot be read: {error}") from error
    return text.partition("\n")[0].rstrip("\r")
