"""Hands messages to programs: no shell, a clean environment, bounded in time, output and number.

What their exit codes mean stands in sysexits(3). What is about the program or this machine is Deferred, never Failed.
"""

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress

from postroom.config.road import CommandSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome, Peer, QueuedRecipient
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound import trouble
from postroom.outbound.handing import at_hand, pieces, words_for
from postroom.queue.carrier import ContentSource

PLACEHOLDERS = ("sender", "recipient", "local", "domain", "tag", "queue_id")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
MAX_TEXT = 1000  # characters of output that become the reply's text
LINGER = 1.0  # seconds for which the output is read when the program has ended and others hold it open

_FOR_GOOD: Mapping[int, tuple[str, Cause, str]] = {
    # sysexits(3): status, cause, and a text for a program that says nothing
    65: ("5.6.0", Cause.CONTENT, "the data was incorrect"),
    66: ("5.3.0", Cause.OTHER, "an input file does not exist"),
    67: ("5.1.1", Cause.MAILBOX_UNKNOWN, "the addressee is unknown"),
    68: ("5.1.2", Cause.DOMAIN_UNKNOWN, "the host is unknown"),
    69: ("5.3.0", Cause.OTHER, "the service is unavailable"),
    72: ("5.3.0", Cause.OTHER, "a system file is missing"),
    73: ("5.2.0", Cause.OTHER, "the output cannot be created"),
    76: ("5.5.0", Cause.PROTOCOL, "a protocol error"),
    77: ("5.7.0", Cause.POLICY, "permission denied"),
}
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})[ \t]+")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


class CommandCarrier:
    """A carrier to the commands of the settings. ``separator`` divides a local part from its tag."""

    def __init__(self, commands: Sequence[CommandSettings], content: ContentSource, *, separator: str = "+") -> None:
        self._commands = {command.name: command for command in commands}
        self._places = {command.name: asyncio.Semaphore(command.concurrency) for command in commands}
        self._content = content
        self._separator = separator

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """Run the command once for each recipient."""
        command = self._commands.get(request.site.route)
        if command is None:
            outcome = trouble.no_route(f"there is no command {request.site.route!r} in the settings").outcome
            return {queued.number: outcome for queued in request.recipients}
        try:
            request = await at_hand(request, self._content)
        except StoreUnavailable as error:
            return {queued.number: trouble.content_unreadable(error) for queued in request.recipients}
        outcomes: dict[int, Outcome] = {}
        for queued in request.recipients:
            async with self._places[command.name]:
                outcomes[queued.number] = await self._run(command, request, queued)
        return outcomes

    async def _run(self, command: CommandSettings, request: DeliveryRequest, queued: QueuedRecipient) -> Outcome:
        peer = Peer(command.name)
        words = words_for(request.message, queued.recipient.address, self._separator)
        arguments = fill(command.command, words)
        if arguments is None:
            reply = Reply.of(553, "5.1.3", "an address that begins with a hyphen cannot be handed to the command")
            return Failed(reply, peer, cause=Cause.OTHER)
        with _Output() as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=PIPE,
                    stdout=output.writer,
                    stderr=STDOUT,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                return _later("the command cannot be run now", peer, f"{arguments[0]}: {error.strerror or error}")
            output.start()
            try:
                async with asyncio.timeout(command.timeout):
                    await self._feed(process, request, queued)
                    code = await process.wait()
                await output.end()
                return outcome_of(code, output.text, peer)
            except TimeoutError:
                return _later(f"the command took longer than {command.timeout:g} seconds", peer, output.text)
            except StoreUnavailable as error:
                return trouble.content_unreadable(error)
            finally:
                await _end(process)

    async def _feed(self, process: Process, request: DeliveryRequest, queued: QueuedRecipient) -> None:
        """The message on standard input; a program that does not want all of it says so by its exit code."""
        stdin = process.stdin
        assert stdin is not None  # noqa: S101 - for the type checker: it is a pipe
        async with aclosing(pieces(request, queued, self._content)) as parts:
            async for piece in parts:
                if stdin.is_closing():  # uvloop raises RuntimeError for a write after that
                    break
                try:
                    stdin.write(piece)
                    await stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    break
        stdin.close()


class _Output:
    """What a program says: the first part of it is kept, the rest read and forgotten.

    A pipe of our own, because the end of a Process of asyncio comes only when all who hold its pipes have closed them.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()  # neither is inherited but as what the program writes to
        os.set_blocking(self._reader, False)
        self._kept = b""
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> "_Output":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        os.close(self._reader)
        if self.writer >= 0:
            os.close(self.writer)

    def start(self) -> None:
        """The program has its end of the pipe."""
        os.close(self.writer)
        self.writer = -1
        self._loop.add_reader(self._reader, self._read)

    async def end(self) -> None:
        """Wait for the end of what it says; others may hold it open for as long as they like, but not us."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._ended.wait()

    @property
    def text(self) -> str:
        """What it said so far, on one line."""
        text = self._kept.decode("utf-8", "replace")
        return " ".join("".join([c if c.isprintable() else " " for c in text]).split())[:MAX_TEXT]

    def _read(self) -> None:
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        self._kept += data[: 4 * MAX_TEXT - len(self._kept)]
        if not data:
            self._stop()
            self._ended.set()

    def _stop(self) -> None:
        self._loop.remove_reader(self._reader)


async def _end(process: Process) -> None:
    """Nothing of it is left: a program that is still running goes, with all that it has started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def fill(command: Sequence[str], words: Mapping[str, str]) -> list[str] | None:
    """The arguments with their placeholders filled in; None where an address would pass for an option."""
    filled = []
    for place, argument in enumerate(command):
        text = _PLACEHOLDER.sub(lambda match: words[match[1]], argument)
        if place and text.startswith("-") and not argument.startswith("-"):
            return None
        filled.append(text)
    return filled


def outcome_of(code: int, output: str, peer: Peer) -> Outcome:
    """What an exit code means. An enhanced status in front of the output is taken where it is of the same class."""
    match = _STATUS.match(output)
    said, text = (match[1], output[match.end() :]) if match is not None else ("", output)
    if code == 0:
        return Delivered(Reply.of(250, said if said.startswith("2") else "2.0.0", text or "done"), peer)
    if code in _FOR_GOOD:
        status, cause, meaning = _FOR_GOOD[code]
        reply = Reply.of(550, said if said.startswith("5") else status, text or meaning)
        return Failed(reply, peer, f"exit code {code}", cause)
    what = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    reply = Reply.of(451, said if said.startswith("4") else "4.3.0", text or "the command failed for now")
    return Deferred(reply, peer, detail=what, cause=Cause.LOCAL)


def _later(text: str, peer: Peer, detail: str) -> Deferred:
    return Deferred(Reply.of(451, "4.3.0", text), peer, detail=detail, cause=Cause.LOCAL)
