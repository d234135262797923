"""How the client writes its commands and reads what the server can do (RFC 5321 §4.1.1, §2.2)."""

import re
from collections.abc import Mapping
from typing import assert_never

from postroom.mail.address import Address
from postroom.mail.envelope import Body, ByMode, DeliverBy, Notify, Recipient
from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.smtp.commands import (
    Command,
    EndOfContent,
    SayAuth,
    SayAuthCancel,
    SayAuthResponse,
    SayChunk,
    SayData,
    SayHello,
    SayMail,
    SayNoop,
    SayQuit,
    SayRcpt,
    SayReset,
    SayStartTls,
)
from postroom.protocol.smtp.extensions import write_orcpt
from postroom.protocol.smtp.grammar import write_base64, write_xtext

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def write_command(command: Command, capabilities: Mapping[str, str], *, lmtp: bool) -> bytes:
    """The command on the wire, with the parameters that the server has announced.

    LocalProtocolError if a field has a control character, which would smuggle a command, or if an address needs
    SMTPUTF8 and the server did not announce it.
    """
    text = _write(command, capabilities, lmtp=lmtp)
    if text.isascii() and text.isprintable():  # nearly all are
        return f"{text}\r\n".encode()
    if _CONTROL.search(text):
        raise LocalProtocolError(f"{type(command).__name__} has a control character in one of its fields")
    if not text.isascii() and "SMTPUTF8" not in capabilities:  # RFC 6531 §3.1
        raise LocalProtocolError(f"{type(command).__name__} is not in ASCII, and the server did not announce SMTPUTF8")
    return f"{text}\r\n".encode()


def read_capabilities(reply: Reply) -> dict[str, str]:
    """The extensions of an EHLO reply: keyword in upper case, parameters (RFC 5321 §4.1.1.1)."""
    capabilities: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        keyword = keyword.upper()
        if keyword.startswith("AUTH="):  # as servers wrote it before RFC 2554
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}".strip()
        if keyword:
            capabilities.setdefault(keyword, parameters)
    return capabilities


def can_take_binary(capabilities: Mapping[str, str]) -> bool:
    """Whether BODY=BINARYMIME may be used: only together with CHUNKING (RFC 3030 §3)."""
    return "BINARYMIME" in capabilities and "CHUNKING" in capabilities


def _write(command: Command, capabilities: Mapping[str, str], *, lmtp: bool) -> str:
    match command:
        case SayMail():
            return _write_mail(command, capabilities)
        case SayRcpt(recipient=recipient):
            return _write_rcpt(recipient, capabilities)
        case SayData() | SayReset() | SayQuit() | SayStartTls() | SayNoop() | EndOfContent() | SayChunk():
            return _WORDS[type(command)]
        case SayHello(domain=domain, esmtp=esmtp):
            if lmtp:
                return f"LHLO {domain}"  # RFC 2033 §4.1
            return f"EHLO {domain}" if esmtp else f"HELO {domain}"
        case SayAuth() | SayAuthResponse() | SayAuthCancel():
            return _write_auth(command)
        case _:
            assert_never(command)


_WORDS: Mapping[type[Command], str] = {
    SayStartTls: "STARTTLS",
    SayData: "DATA",
    SayReset: "RSET",
    SayNoop: "NOOP",
    SayQuit: "QUIT",
    EndOfContent: ".",
    SayChunk: "BDAT",
}


def _write_auth(command: SayAuth | SayAuthResponse | SayAuthCancel) -> str:
    """RFC 4954 §4; an empty initial response is a single ``=``."""
    match command:
        case SayAuth(mechanism=mechanism, initial=None):
            return f"AUTH {mechanism}"
        case SayAuth(mechanism=mechanism, initial=initial):
            return f"AUTH {mechanism} {write_base64(initial or b'') or '='}"
        case SayAuthResponse(data=data):
            return write_base64(data)
        case SayAuthCancel():
            return "*"
        case _:
            assert_never(command)


def _path(address: Address | None) -> str:
    return "<>" if address is None else f"<{address}>"


def _write_mail(command: SayMail, capabilities: Mapping[str, str]) -> str:
    words = [f"MAIL FROM:{_path(command.reverse_path)}"]
    if command.size is not None and "SIZE" in capabilities:
        words.append(f"SIZE={command.size}")
    if command.body is not Body.SEVEN_BIT:
        words += _write_body(command.body, capabilities)
    if command.smtputf8 and "SMTPUTF8" in capabilities:
        words.append("SMTPUTF8")
    if "DSN" in capabilities:  # RFC 3461 §5.2.1
        if command.ret is not None:
            words.append(f"RET={command.ret.value}")
        if command.envid and command.envid.isascii():
            words.append(f"ENVID={write_xtext(command.envid)}")
    if command.deliver_by is not None and "DELIVERBY" in capabilities:
        words.append(f"BY={_write_by(command.deliver_by)}")
    if "MT-PRIORITY" in capabilities:  # RFC 6710 §4.2, §4.3: also the priority of those who named none: 0
        words.append(f"MT-PRIORITY={command.priority}")
    if command.require_tls and "REQUIRETLS" in capabilities:  # RFC 8689 §2
        words.append("REQUIRETLS")
    if command.no_submitter and "AUTH" in capabilities:  # RFC 4954 §5
        words.append("AUTH=<>")
    return " ".join(words)


def _write_body(body: Body, capabilities: Mapping[str, str]) -> tuple[str, ...]:
    if body is Body.BINARY:
        if not can_take_binary(capabilities):
            raise LocalProtocolError("the content is binary, and the server did not announce BINARYMIME and CHUNKING")
        return ("BODY=BINARYMIME",)
    return ("BODY=8BITMIME",) if "8BITMIME" in capabilities else ()


def _write_by(deliver_by: DeliverBy) -> str:
    """RFC 2852 §4."""
    if deliver_by.mode is ByMode.RETURN and deliver_by.seconds <= 0:
        raise LocalProtocolError("BY with mode R needs a time that is still to come")
    return f"{deliver_by.seconds};{deliver_by.mode.value}{'T' if deliver_by.trace else ''}"


def _write_rcpt(recipient: Recipient, capabilities: Mapping[str, str]) -> str:
    words = [f"RCPT TO:{_path(recipient.address)}"]
    if "DSN" in capabilities:
        if recipient.notify is not None:
            words.append(f"NOTIFY={_write_notify(recipient.notify)}")
        # Native UTF-8 in ORCPT is for transactions with SMTPUTF8; the escaped form is right in all (RFC 6533 §3).
        orcpt = write_orcpt(recipient.orcpt) if recipient.orcpt else ""
        if orcpt:
            words.append(f"ORCPT={orcpt}")
    return " ".join(words)


def _write_notify(notify: Notify) -> str:
    return ",".join([str(case.name) for case in notify]) or "NEVER"
