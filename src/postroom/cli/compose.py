"""Makes content for ``postroom send``: from options, or from what a program wrote for sendmail."""

import mimetypes
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path

from postroom.admin.refusal import Refused
from postroom.mail.headers import Header, split_header

_TO_FIELDS = (b"to", b"cc", b"bcc")


def from_options(
    *, sender: str, recipients: Sequence[str], subject: str, body: str, attachments: Sequence[Path], date: str
) -> bytes:
    """A whole message with CRLF. Refused if an attachment cannot be read."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Date"] = date
    message.set_content(body)
    for path in attachments:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        main, _, sub = kind.partition("/")
        try:
            message.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=path.name)
        except OSError as error:
            raise Refused(f"{path} cannot be attached: {error.strerror}", "name a readable file") from error
    return message.as_bytes()


def from_program(raw: bytes, *, dot_ends: bool) -> bytes:
    """What a program wrote on standard input, with CRLF; ``dot_ends``: a line with a single dot is the end."""
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if dot_ends and b"." in lines:
        lines = [*lines[: lines.index(b".")], b""]
    elif lines[-1]:
        lines.append(b"")
    if lines[0].startswith(b"From "):  # the separator of mbox files
        del lines[0]
    content = b"\r\n".join(lines)
    header = split_header(content)
    if not header.fields:  # cron and its like begin with the body
        return b"\r\n" + content
    if header.end == header.body and header.end < len(content):  # body right after the fields
        return content[: header.end] + b"\r\n" + content[header.end :]
    return content


def recipients_in(content: bytes) -> list[str]:
    """The addresses in To, Cc and Bcc (``sendmail -t``)."""
    fields = [field for field in split_header(content).fields if field.name.lower() in _TO_FIELDS]
    return [address for _, address in getaddresses([field.text for field in fields]) if address]


def without_bcc(content: bytes) -> bytes:
    """The content without its Bcc fields, which are nobody else's business (RFC 5322 §3.6.3)."""
    header = split_header(content)
    for field in reversed(header.fields):
        if field.name.lower() == b"bcc":
            content = content[: field.start] + content[field.end :]
    return content


def with_from(content: bytes, sender: str, name: str) -> bytes:
    """The content with a From field, if it has none (RFC 6409 §8.1 leaves it to us to know who sends)."""
    header: Header = split_header(content)
    if header.first(b"from") is not None:
        return content
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = f"{_quoted(name)} <{sender}>" if name else sender
    return message.as_bytes().partition(b"\r\n\r\n")[0] + b"\r\n" + content


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
