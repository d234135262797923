"""Builds the prefix: the Received field (RFC 5321 §4.4), and on submission what the program left out (RFC 6409 §8)."""

import re

from postroom.mail.envelope import Envelope
from postroom.mail.headers import Glance, find_field, show_date
from postroom.mail.message import QueueId, show_queue_id
from postroom.mail.session import Client

# What a HELO name may bring into a header field: no parentheses, quotes, spaces, line ends. The rest shows as "?".
_UNSAFE = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_LONGEST_HELO = 255  # octets, RFC 5321 §4.5.3.1.2


class Tracer:
    """Writes the fields of this host; the date is made once a second."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._second = -1
        self._date = ""

    def received(self, client: Client, queue_id: QueueId, envelope: Envelope, now: float) -> bytes:
        """The Received field, folded, with CRLF. A single recipient is named; several are nobody's business."""
        address = f"[IPv6:{client.address}]" if ":" in client.address else f"[{client.address}]"
        helo = _UNSAFE.sub("?", client.helo[:_LONGEST_HELO]) or address
        protocol = client.protocol
        if envelope.smtputf8:
            protocol = f"UTF8{protocol.removeprefix('E')}"  # RFC 6531 §4.3: UTF8SMTP and UTF8LMTP, S and A behind
        tls = f" ({client.tls.version} {client.tls.cipher})" if client.tls is not None else ""
        recipients = envelope.recipients
        for_whom = f"\r\n\tfor <{recipients[0].address}>" if len(recipients) == 1 else ""
        priority = f"\r\n\tPRIORITY {envelope.priority}" if envelope.priority else ""  # RFC 6710 §4.1
        return (
            f"Received: from {helo} ({address})\r\n"
            f"\tby {self._hostname} with {protocol}{tls}\r\n"
            f"\tid {show_queue_id(queue_id)}{for_whom}{priority};\r\n"
            f"\t{self.date(now)}\r\n"
        ).encode()

    def completed(self, glance: Glance, start: bytes, queue_id: QueueId, now: float) -> tuple[bytes, str]:
        """The Date and Message-ID that are missing in ``start``, and the Message-ID that the message then has."""
        fields, message_id = b"", glance.message_id
        if not glance.has_date:
            fields = f"Date: {self.date(now)}\r\n".encode()
        if not message_id and find_field(start, b"message-id") is None:  # a malformed one is left to speak for itself
            message_id = f"<{show_queue_id(queue_id)}@{self._hostname}>"
            fields += f"Message-ID: {message_id}\r\n".encode()
        return fields, message_id

    def date(self, now: float) -> str:
        """The date-time of RFC 5322 §3.3."""
        second = int(now)
        if second != self._second:
            self._second, self._date = second, show_date(second)
        return self._date
