"""Delivers into Maildirs, as qmail and Dovecot have them: what is in ``new`` is whole, on disk, and never there twice.

The name of a file follows from queue id and recipient, so that an attempt that is made again after a crash finds what
the first one did.
"""

import asyncio
import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from postroom.config.road import MaildirSettings
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Outcome, QueuedRecipient
from postroom.mail.message import show_queue_id
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound import trouble
from postroom.outbound.handing import at_hand, pieces, words_for
from postroom.queue.carrier import ContentSource

PLACEHOLDERS = ("local", "domain", "address", "tag")
FOLDERS = ("tmp", "new", "cur")

_PLACED = Delivered(Reply.of(250, "2.1.5", "placed in the Maildir"))
_THERE = Delivered(Reply.of(250, "2.1.5", "placed in the Maildir"), detail="an earlier attempt had placed it already")
_FULL = Reply.of(452, "4.3.1", "there is no space left now")
_TROUBLE = Reply.of(451, "4.3.0", "the Maildir cannot be written now")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&'*+-=?^_`{|}~.@,")


class MaildirCarrier:
    """A carrier to the Maildirs of the settings. ``separator`` divides a local part from its tag."""

    def __init__(
        self, maildirs: Sequence[MaildirSettings], content: ContentSource, *, hostname: str, separator: str = "+"
    ) -> None:
        self._paths = {maildir.name: maildir.path for maildir in maildirs}
        self._content = content
        self._host = encode_part(hostname)
        self._separator = separator

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """Place the message for each recipient, in one Maildir never twice."""
        template = self._paths.get(request.site.route)
        if template is None:
            outcome = trouble.no_route(f"there is no maildir {request.site.route!r} in the settings").outcome
            return {queued.number: outcome for queued in request.recipients}
        is_fresh = request.content is not None  # straight from the intake: nobody has attempted it
        try:
            request = await at_hand(request, self._content)
        except StoreUnavailable as error:
            return {queued.number: trouble.content_unreadable(error) for queued in request.recipients}
        outcomes: dict[int, Outcome] = {}
        by_path: dict[Path, Outcome] = {}
        for queued in request.recipients:
            path = fill_path(template, words_for(request.message, folded(queued.recipient.address), self._separator))
            if path not in by_path:
                by_path[path] = await self._place(request, queued, path, look=not is_fresh or queued.attempts > 0)
            outcomes[queued.number] = by_path[path]
        return outcomes

    async def _place(self, request: DeliveryRequest, queued: QueuedRecipient, path: Path, *, look: bool) -> Outcome:
        """``look``: an earlier attempt may have placed it."""
        message = request.message
        stem = f"{int(message.received_at)}.Q{show_queue_id(message.queue_id)}R{queued.number}.{self._host}"
        try:
            if request.content is not None:  # small: one way into a thread and back
                whole = b"".join([piece async for piece in pieces(request, queued, self._content)])
                return await asyncio.to_thread(_write_whole, path, stem, whole, look=look)
            if await asyncio.to_thread(_prepare, path, stem if look else ""):
                return _THERE
            await self._stream(request, queued, _Writing(path, stem))
        except StoreUnavailable as error:
            return trouble.content_unreadable(error)
        except OSError as error:
            reply = _FULL if error.errno in _NO_SPACE else _TROUBLE
            return Deferred(reply, detail=f"{path}: {error.strerror or error}", cause=Cause.LOCAL)
        return _PLACED

    async def _stream(self, request: DeliveryRequest, queued: QueuedRecipient, writing: "_Writing") -> None:
        """Large content, piece by piece."""
        try:
            await _to_its_end(writing.open)
            async with aclosing(pieces(request, queued, self._content)) as parts:
                async for piece in parts:
                    await _to_its_end(writing.write, piece)
            await _to_its_end(writing.finish)
        except BaseException:
            writing.drop()
            raise


async def _to_its_end(work: Callable[..., None], *arguments: bytes) -> None:
    """Run it in a thread, and when cancelled wait for it all the same: a file must not be closed while it is written,
    as the number that it has might be another file's by then.
    """
    task = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it was cancelled: what else went wrong is nobody's any more
        raise


class _Writing:
    """One file on its way from ``tmp`` to ``new``. Its methods are called in threads, one after the other."""

    def __init__(self, maildir: Path, stem: str) -> None:
        self._maildir = maildir
        self._stem = stem
        self._tmp = maildir / "tmp" / stem
        self._handle = -1
        self._size = self._lines = 0

    def open(self) -> None:
        """Begin. What a crash has left under this name is overwritten."""
        self._handle = os.open(self._tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def write(self, piece: bytes) -> None:
        """One piece."""
        view = memoryview(piece)
        while view:
            view = view[os.write(self._handle, view) :]
        self._size += len(piece)
        self._lines += piece.count(b"\n") - piece.count(b"\r\n")

    def finish(self) -> None:
        """Onto the disk, and into ``new`` under the name that tells Dovecot the size: S= in the file, W= with CRLF."""
        os.fsync(self._handle)
        os.close(self._handle)
        self._handle = -1
        name = f"{self._stem},S={self._size},W={self._size + self._lines}"
        os.rename(self._tmp, self._maildir / "new" / name)
        _sync(self._maildir / "new")

    def drop(self) -> None:
        """Leave nothing behind."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with suppress(OSError):  # it may have never been there, or be in new already
            os.unlink(self._tmp)


def _write_whole(maildir: Path, stem: str, whole: bytes, *, look: bool) -> Outcome:
    """A message that is at hand, from the beginning to the end."""
    if _prepare(maildir, stem if look else ""):
        return _THERE
    writing = _Writing(maildir, stem)
    try:
        writing.open()
        writing.write(whole)
        writing.finish()
    except BaseException:
        writing.drop()
        raise
    return _PLACED


def fill_path(template: str, words: Mapping[str, str]) -> Path:
    """The path with the parts of an address in it, none of which can lead out of its place."""
    return Path(_PLACEHOLDER.sub(lambda match: encode_part(words[match[1]]), template))


def encode_part(text: str) -> str:
    """A part of an address as one name of a file: what has a meaning in paths is written as %XX, a dot in front too."""
    encoded = "".join(
        [
            c if c in _SAFE or (c.isalnum() and not c.isascii()) else "".join(f"%{o:02X}" for o in c.encode())
            for c in text
        ]
    )
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def folded(address: Address) -> Address:
    """The same mailbox, however its local part was written."""
    local, _, _ = address.key.rpartition("@")
    return Address(local, address.domain)


def _prepare(maildir: Path, stem: str) -> bool:
    """Make the Maildir where it is missing. True if a file of this ``stem`` is there (``""``: not looked for)."""
    if not (maildir / "new").is_dir():
        _make(maildir)
        return False
    if not stem:
        return False
    start = f"{stem},"  # in cur flags follow the name
    for folder in ("new", "cur"):
        with os.scandir(maildir / folder) as entries:
            if any(entry.name.startswith(start) for entry in entries):
                return True
    return False


def _make(maildir: Path) -> None:
    """The Maildir and what is above it, for our eyes alone."""
    missing = [maildir]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in (*reversed(missing), *(maildir / name for name in FOLDERS)):
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
