"""Where each recipient that leaves the house is to go, decided once, at the intake (docs/adr/0013). Pure."""

from collections.abc import Sequence

from postroom.directory.model import Account
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Recipient
from postroom.mail.headers import glance
from postroom.mail.message import Message
from postroom.mail.tags import UNTAGGED, Tagger
from postroom.queue.carrier import ReturnPaths, Router
from postroom.queue.model import Draft


class Ways:
    """Under what recipients wait, whether they are held, and with which return path they are sent.

    Without a router each waits under its domain; without ``return_paths`` all are sent with the envelope's.
    ``separator`` divides a local part from its tag. ``tagger`` finds what rules ask of the header of our own mail; that
    of others is tagged where it comes in.
    """

    __slots__ = ("_return_paths", "_router", "_separator", "_tagger")

    def __init__(
        self,
        router: Router | None = None,
        return_paths: ReturnPaths | None = None,
        *,
        separator: str = "+",
        tagger: Tagger = UNTAGGED,
    ) -> None:
        self._router = router
        self._return_paths = return_paths
        self._separator = separator
        self._tagger = tagger

    def tags_of(self, draft: Draft) -> tuple[str, ...]:
        """The tags that the message gets."""
        if draft.client is not None or self._tagger is UNTAGGED:
            return draft.tags
        start = draft.content_start if draft.content is None else draft.content
        found = self._tagger.tags_of(start, glance(start), trusted=True)
        return tuple(dict.fromkeys((*draft.tags, *found)))

    def taken(self, message: Message, asked: Address, accounts: Sequence[Account]) -> dict[int, Address]:
        """The accounts, by id, whose mail a rule takes elsewhere than to their mailboxes, and the addresses to use.

        That is the account's own, with the tag that it was ``asked`` for by.
        """
        router = self._router
        if router is None:
            return {}
        return {
            account.account_id: self._with_tag(asked, account.address)
            for account in accounts
            if router.takes(message, account.address)
        }

    def takes(self, message: Message, address: Address) -> bool:
        """Whether a rule would take what waits under this address of ours elsewhere."""
        return self._router is not None and self._router.takes(message, address)

    def _with_tag(self, asked: Address, own: Address) -> Address:
        start = f"{own.local}{self._separator}".lower()
        tagged = bool(self._separator) and asked.domain == own.domain and asked.local.lower().startswith(start)
        return asked if tagged else own

    def marked(self, return_paths: ReturnPaths) -> "Ways":
        """The same ways, with these return paths."""
        return Ways(self._router, return_paths, separator=self._separator, tagger=self._tagger)

    def out(
        self,
        message: Message,
        recipient: Recipient,
        number: int,
        due: float,
        forwarder: Address | None = None,
        *,
        ours: bool = False,
    ) -> tuple[QueuedRecipient, str]:
        """The recipient as it is queued, and the name of the rule that holds it or ``""``.

        ``due`` is when it may go (seconds since the Unix epoch), ``forwarder`` the address of ours that passes the mail
        on to it, if one does; ``ours``: it lives here, so that it goes no further, and keeps the envelope's return
        path.
        """
        router, paths = self._router, self._return_paths
        path = None if paths is None or ours else paths.of(message, recipient, number, forwarder)
        if router is None:
            destination, rule = recipient.address.domain, ""
        else:
            destination, rule = router.destination(message, recipient), router.holds(message, recipient, ours=ours)
        if rule:
            held = QueuedRecipient(number, recipient, RecipientState.HELD, destination=destination, return_path=path)
            return held, rule
        return QueuedRecipient(number, recipient, next_attempt=due, destination=destination, return_path=path), ""


BY_DOMAIN = Ways()
"""For mail that is to go by nobody's rules."""
