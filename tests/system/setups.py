"""Ways for mail that is not ours, as settings; and messages whose every byte matters."""

import re
from collections.abc import Mapping
from typing import Any

from tests.system.loop_thread import Nameserver
from tests.system.sink import Sink

MX_ZONE = {
    "remote.example": {"MX": ["10 mx.remote.example"]},
    "mx.remote.example": {"A": ["127.0.0.1"]},
}

CONTENT = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject:  two  spaces,\r\n\ta folded line\r\n"
    b"Message-ID: <%s@example.org>\r\n"
    b"X-Long: " + b"y" * 900 + b"\r\n"
    b"\r\n"
    b".\r\n..\r\n.dot in front\r\n"
    b"gr\xc3\xbc\xc3\x9fe, caf\xe9 in Latin-1\r\n"
    b"trailing blanks \t \r\n" + b"z" * 998 + b"\r\n"
    b"blank lines at the end\r\n\r\n\r\n"
)
_FIELD = re.compile(rb"[\x21-\x39\x3b-\x7e]+:[^\r\n]*\r\n(?:[ \t][^\r\n]+\r\n)*")


def content(message_id: str) -> bytes:
    """A message with what is easily broken on the way: dots, 8-bit, long lines, blanks and blank lines at the end."""
    return CONTENT.replace(b"%s", message_id.encode())


def added_to(received: bytes, sent: bytes) -> bytes:
    """The header fields in front of what was sent; AssertionError if what was sent is not there byte by byte."""
    assert received.endswith(sent), f"{received[-len(sent) - 200 :]!r} does not end with {sent!r}"
    added = received.removesuffix(sent)
    assert b"".join(_FIELD.findall(added)) == added, f"not whole header fields: {added!r}"
    return added


def by_mx(nameserver: Nameserver, sink: Sink, **queue: Any) -> dict[str, Any]:
    """Settings that find the far end by its MX, and retry at once."""
    return {
        "dns": {"servers": [nameserver.address], "timeout": 5},
        "outbound": {"port": sink.port, "allow_loopback": True, "tls": False},
        "queue": {"first_retry": 0.5, "retry_factor": 1.0, "poll": 0.2, **queue},
    }


def by_smarthost(sink: Sink, **queue: Any) -> dict[str, Any]:
    """Settings that hand all mail that is not ours to the far end, and retry at once."""
    return {
        "smarthost": [{"name": "far", "host": "127.0.0.1", "port": sink.port, "tls": "none"}],
        "route": [{"domains": ["*"], "via": "far"}],
        "queue": {"first_retry": 0.5, "retry_factor": 1.0, "poll": 0.2, **queue},
    }


def in_processes(settings: Mapping[str, Any], *, carriers: int = 0) -> dict[str, Any]:
    """The settings, with a process for the queue and so many for those who carry."""
    queue, outbound = settings.get("queue", {}), settings.get("outbound", {})
    return {**settings, "queue": {**queue, "apart": True}, "outbound": {**outbound, "processes": carriers}}
