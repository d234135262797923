"""``postroom send``: a test client over SMTP, and the program that others call ``sendmail``."""

import getpass
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from postroom.admin.accounts import read_address
from postroom.admin.refusal import Refused
from postroom.cli import compose
from postroom.cli.desk import ConfigOption, Desk, PasswordStdinOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import complain, say
from postroom.cli.talk import Target, Tls, hand_over
from postroom.config.model import Settings
from postroom.config.sense import listeners_of
from postroom.mail.address import Address
from postroom.mail.envelope import Body, Envelope, Recipient
from postroom.mail.headers import show_date
from postroom.mail.message import show_queue_id
from postroom.mail.session import Role

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to find ourselves when we listen everywhere


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent, and for whom; ``sender`` is None for the user who calls, ``""`` the null sender."""

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    name: str = ""
    subject: str | None = None
    body: str | None = None
    attachments: tuple[Path, ...] = ()
    dot_ends: bool = True

    @property
    def is_composed(self) -> bool:
        """The message is made from options and not read."""
        return self.subject is not None or self.body is not None or bool(self.attachments)


def send(
    context: typer.Context,
    recipients: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPIENT]...", help="Recipients, as --to.", show_default=False)
    ] = None,
    *,
    to: Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Recipient; may be repeated.")] = None,
    sender: Annotated[
        str | None, typer.Option("-f", "--from", "-r", metavar="ADDRESS", help='Sender; "" or "<>" is the null sender.')
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Make a message with this subject.")] = None,
    body: Annotated[str | None, typer.Option("--body", help="Make a message with this text.")] = None,
    attach: Annotated[list[Path] | None, typer.Option("--attach", metavar="FILE", help="Attach a file.")] = None,
    server: Annotated[
        str, typer.Option("--server", metavar="HOST", help="Send over SMTP to this server; else into the own store.")
    ] = "",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Its port.")] = 25,
    tls: Annotated[Tls, typer.Option("--tls", help="Protection of the connection.")] = Tls.NONE,
    ca: Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to trust (PEM).")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Trust any certificate.")] = False,
    user: Annotated[str, typer.Option("--user", metavar="ADDRESS", help="Log in as.")] = "",
    password_stdin: PasswordStdinOption = False,
    from_header: Annotated[bool, typer.Option("-t", help="Also take recipients from To, Cc and Bcc.")] = False,
    ignore_dots: Annotated[bool, typer.Option("-i", help="A line with a single dot does not end the message.")] = False,
    name: Annotated[str, typer.Option("-F", metavar="NAME", help="Sender's name, if the message has no From.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show the dialogue.")] = False,
    config: ConfigOption = None,
) -> None:
    """Send a message: over SMTP with --server, else straight into this server's store, as sendmail does.

    With --subject, --body or --attach a message is made; otherwise it is read from standard input.
    """
    order = Order(
        sender=sender,
        recipients=(*(recipients or ()), *(to or ())),
        from_header=from_header,
        name=name,
        subject=subject,
        body=body,
        attachments=tuple(attach or ()),
        dot_ends=not ignore_dots,
    )
    if not order.recipients and not from_header:
        raise typer.BadParameter("name a recipient, or take them from the message with -t")
    if user and tls is Tls.NONE:
        raise typer.BadParameter("a password is not sent in the clear: add --tls starttls or --tls implicit")
    desk = Desk.of(context)
    if not server:
        into_store(desk, config, order, sys.stdin.buffer)
        return
    with telling_troubles():
        password = _read_password(password_stdin) if user else ""
        target = Target(server, port, tls, user, password, ca, not insecure)
        hostname = _own_name()
        envelope, content = _prepare(order, sys.stdin.buffer, hostname, sender_default=user)
        reply = hand_over(target, envelope, content, hostname, _silent if quiet else say)
    done(reply)


def into_store(desk: Desk, config: Path | None, order: Order, stdin: BinaryIO, *, quiet: bool = False) -> None:
    """Take the message in on this machine; on return it is safe on disk."""
    from postroom.cli.submission import complete, submit

    login = getpass.getuser()
    with telling_troubles():
        settings, _ = desk.settings(config)
        envelope, content = _prepare(order, stdin, settings.hostname)
        if len(content) > settings.smtp.max_size:
            raise Refused(f"the message has {len(content)} octets, more than smtp.max_size", "make it smaller")

        async def job(store: OpenStore, settings: Settings) -> str:
            submitted = await submit(store, settings, envelope, content, login)
            for refusal in submitted.refusals:
                complain(f"refused: {refusal.reply.text}")
            if submitted.message is None:
                raise Refused("nobody is left to send it to", "postroom suppression list shows who must not be")
            return f"accepted as {show_queue_id(submitted.message.queue_id)}"

        if _may_write(settings.store.file):
            answer = desk.work_in(settings, job)
        else:
            completed = complete(settings, content)
            answer = hand_over(_own_door(settings), envelope, completed, settings.hostname, _silent)
    if not quiet:
        done(answer)


def _may_write(store: Path) -> bool:
    """Whether this user may touch the store; programs that run as other users come in by the mx port."""
    nearest = next(folder for folder in (store, *store.parents) if os.access(folder, os.F_OK))
    return os.access(nearest, os.W_OK)


def _own_door(settings: Settings) -> Target:
    """The mx port of the server on this machine. Refused if there is none."""
    for listener in listeners_of(settings):
        if listener.role is Role.MX and listener.port:
            address = listener.addresses[0]
            return Target(_LOOPBACK.get(address, address), listener.port)
    raise Refused("the store is closed to you, and there is no mx port", "run as the server's user")


def _prepare(order: Order, stdin: BinaryIO, hostname: str, sender_default: str = "") -> tuple[Envelope, bytes]:
    """Envelope and content. Refused if an address is malformed or nobody receives."""
    sender = _sender(order.sender, sender_default or f"{getpass.getuser()}@{hostname}")
    shown = "" if sender is None else str(sender)
    if order.is_composed:
        content = compose.from_options(
            sender=shown or f"postmaster@{hostname}",
            recipients=order.recipients,
            subject=order.subject or "",
            body=order.body or "",
            attachments=order.attachments,
            date=show_date(time.time()),
        )
        names: Sequence[str] = order.recipients
    else:
        content = compose.from_program(stdin.read(), dot_ends=order.dot_ends)
        names = order.recipients
        if order.from_header:
            names = (*order.recipients, *compose.recipients_in(content))
            content = compose.without_bcc(content)
        content = compose.with_from(content, shown or f"postmaster@{hostname}", order.name)
    addresses = list(dict.fromkeys(_complete(name, hostname) for name in names))
    if not addresses:
        raise Refused("nobody receives the message", "name recipients, or fill To, Cc or Bcc for -t")
    utf8 = any(address.needs_smtputf8 for address in (*addresses, *([sender] if sender else ())))
    body = Body.SEVEN_BIT if content.isascii() else Body.EIGHT_BIT
    return Envelope(sender, tuple(Recipient(address) for address in addresses), body, utf8), content


def _sender(text: str | None, default: str) -> Address | None:
    if text is not None and text.strip() in ("", "<>"):
        return None
    return read_address(default) if text is None else _complete(text, default.rpartition("@")[2])


def _complete(text: str, hostname: str) -> Address:
    """An address; a bare local part, as cron writes it, is one of this host."""
    text = text.strip().removeprefix("<").removesuffix(">")
    return read_address(text if "@" in text else f"{text}@{hostname}")


def _read_password(from_stdin: bool) -> str:
    """The password of an account elsewhere, whatever it is."""
    if from_stdin:
        return sys.stdin.buffer.readline().decode("utf-8", "replace").rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True))


def _own_name() -> str:
    import socket

    name = socket.getfqdn()
    return name if "." in name else "localhost"


def _silent(_: str) -> None:
    return None
