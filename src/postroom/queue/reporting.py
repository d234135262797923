"""Addresses to which others send reports about our mail: there without an account, and read by the server."""

import re
from collections.abc import Awaitable, Callable, Sequence

from postroom.config.reports import ReportsSettings
from postroom.directory.model import Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.queue.model import Draft
from postroom.queue.reportmodel import ReportNote

Resolve = Callable[[Address], Awaitable[Resolution]]
IsLocal = Callable[[str], Awaitable[bool]]

MOST_NAMES = 5
"""Report addresses of one message that are noted: a reporter writes to one."""

_READ_ONLY = Resolved(())
"""It is ours, and nobody receives: the server reads it."""

_RESULTS = re.compile(rb"^authentication-results:[ \t\r\n]*([^\s;]+)([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.I | re.M)
_DMARC = re.compile(rb";[ \t\r\n]*dmarc[ \t]*=[ \t]*([a-z]+)\b([^;]*)", re.I)
_AUTHOR = re.compile(rb"\bheader\.from=([a-z0-9.-]{1,253})", re.I)


class ReportAddresses:
    """Between the door and the directory. ``authserv_id`` is the name that our Authentication-Results bear, where that
    is not the ``hostname``.
    """

    def __init__(
        self,
        settings: ReportsSettings,
        *,
        hostname: str,
        separator: str,
        resolve: Resolve,
        is_local: IsLocal,
        feedback: tuple[str, ...] = (),
        authserv_id: str = "",
    ) -> None:
        """``separator`` sets off a tag in a local part; ``feedback`` are addresses that are read for complaints as it
        is (``returns.complaints``).
        """
        written = (settings.dmarc, settings.failures, settings.tls, *settings.addresses) if settings.enabled else ()
        self._locals = frozenset([text.lower() for text in written if "@" not in text])
        keys = [Address.parse(text).key for text in written if "@" in text]
        self._keys = frozenset(keys)
        self._local_parts = self._locals | {key.partition("@")[0] for key in keys}
        self._feedback = frozenset([Address.parse(text).key for text in feedback])
        self._keep_in = Address.parse(settings.keep_in) if settings.keep_in else None
        self._hostname = hostname.lower()
        self._authserv_id = (authserv_id or hostname).lower().encode()
        self._separator = separator
        self._resolve = resolve
        self._is_local = is_local

    def covers(self, address: Address) -> bool:
        """Whether mail to this address is read for reports, if its domain is ours. Asked for every recipient."""
        local = address.local.lower()
        if self._separator:
            local = local.partition(self._separator)[0]
        if local not in self._local_parts:
            return False
        key = Address(local, address.domain).key
        return (local in self._locals or key in self._keys) and key not in self._feedback

    async def resolve(self, address: Address) -> Resolution:
        """What the address leads to. Whom the directory knows gets the mail (and it is read on the way); else it is
        taken all the same, for ``keep_in`` or for nobody.
        """
        found = await self._resolve(address)
        if not isinstance(found, Unknown) or not self.covers(address) or not await self._is_local(address.domain):
            return found
        if self._keep_in is None:
            return _READ_ONLY
        kept = await self._resolve(self._keep_in)
        return kept if isinstance(kept, Resolved) else _READ_ONLY

    def note_of(self, draft: Draft, resolutions: Sequence[Resolution]) -> ReportNote | None:
        """What is noted of a message that is to be read; None for nearly every message.

        ``resolutions`` stand in the order of the draft's recipients. Whoever gets it besides does not matter.
        """
        for recipient in draft.envelope.recipients:
            if self.covers(recipient.address):
                break
        else:
            return None
        found = [
            str(recipient.address)
            for recipient, resolution in zip(draft.envelope.recipients, resolutions, strict=True)
            if self.covers(recipient.address) and resolution.is_ours
        ]
        if not found:
            return None
        is_own = draft.client is None and not draft.account  # this server's report about what it got itself
        author = self._hostname if is_own else author_of(draft.prefix, self._authserv_id)
        return ReportNote(tuple(found[:MOST_NAMES]), author)


def author_of(prefix: bytes, authserv_id: bytes) -> str | None:
    """The domain that a message passed DMARC for, by the Authentication-Results (RFC 8601 §2.2) that we put before it.

    ``""`` if it did not pass; None if it was not checked.
    """
    for field in _RESULTS.finditer(prefix):
        if field[1].lower() != authserv_id:
            continue
        found = _DMARC.search(field[2])
        if found is not None:
            author = _AUTHOR.search(found[2])
            passed = found[1].lower() == b"pass" and author is not None
            return author[1].decode().lower() if passed and author is not None else ""
    return None
