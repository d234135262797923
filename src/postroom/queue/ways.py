"""Where each recipient that leaves the house is to go, decided once, at the intake (docs/adr/0013). Pure."""

from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.queue.carrier import ReturnPaths, Router


class Ways:
    """Under what recipients wait, whether they are held, and with which return path they are sent.

    Without a router each waits under its domain; without ``return_paths`` all are sent with the envelope's.
    """

    __slots__ = ("_return_paths", "_router")

    def __init__(self, router: Router | None = None, return_paths: ReturnPaths | None = None) -> None:
        self._router = router
        self._return_paths = return_paths

    def out(
        self, message: Message, recipient: Recipient, number: int, due: float, forwarder: Address | None
    ) -> tuple[QueuedRecipient, str]:
        """The recipient as it is queued, and the name of the rule that holds it or ``""``.

        ``due`` is when it may go (seconds since the Unix epoch), ``forwarder`` the address of ours that passes the mail
        on to it, if one does.
        """
        router, paths = self._router, self._return_paths
        path = None if paths is None else paths.of(message, recipient, number, forwarder)
        if router is None:
            destination, rule = recipient.address.domain, ""
        else:
            destination, rule = router.destination(message, recipient), router.holds(message, recipient)
        if rule:
            held = QueuedRecipient(number, recipient, RecipientState.HELD, destination=destination, return_path=path)
            return held, rule
        return QueuedRecipient(number, recipient, next_attempt=due, destination=destination, return_path=path), ""


BY_DOMAIN = Ways()
"""For mail that is to go by nobody's rules."""
