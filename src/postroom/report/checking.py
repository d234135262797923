"""Reports of checking: what was found out about the origin of incoming mail, and what followed.

As in ``events``: frozen, telling never decides.
"""

from postroom.mail.message import QueueId
from postroom.mail.session import Client
from postroom.mail.value import value


@value(frozen=True, slots=True)
class MailChecked:
    """A message was checked. ``results`` are method, result, and the name that it is about; methods are spf, helo, dkim
    (one for each signature), arc, dmarc.

    ``action``: accept, tag, quarantine, defer, refuse. ``reason`` says why it is not accept, ``leniency`` is the kind
    of what softened it (trusted_forwarder, mailing_list, local_policy) or ``""``. ``seconds`` is how long the sender
    waited for it.
    """

    client: Client
    reverse_path: str
    queue_id: QueueId
    results: tuple[tuple[str, str, str], ...]
    author: str
    action: str
    reason: str
    leniency: str
    seconds: float


CheckingReport = MailChecked
