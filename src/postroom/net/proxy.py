"""The PROXY header, versions 1 and 2: what a load balancer says first about the client that it speaks for. No I/O here.

After "The PROXY protocol, Versions 1 & 2" of HAProxy; section numbers below are of that text.
"""

import re
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

LONGEST_TEXT = 107
"""Octets of a version 1 header, CRLF included (section 2.1)."""

LONGEST_BINARY = 2048
"""Octets of a version 2 header that are taken. The format allows 65,551; what balancers add needs some 500."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16  # octets up to the length of the rest, included (section 2.2)
_TEXT = b"PROXY "
_PORT = r"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(rf"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) {_PORT} {_PORT}")
_TLV_CRC32C = 0x03
_WIDTHS = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}  # octets of an address, over TCP
_WITHOUT_ADDRESS = (0x00, 0x31)  # unspecified, or a local socket: no address that would say anything


class ProxyError(Exception):
    """What came is no PROXY header. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A header of ``size`` octets. ``address`` is ``""`` where it says nothing (the balancer speaks for itself)."""

    size: int
    address: str = ""
    port: int = 0


def read_header(data: bytes) -> Announced | None:
    """The header that ``data`` begins with; None while there is less than one. Raises ProxyError as soon as it is none.

    At most LONGEST_BINARY octets are looked at: with these and more, the answer is never None.
    """
    if data.startswith(_SIGNATURE[: len(data)]):
        return _read_binary(data)
    if data.startswith(_TEXT[: len(data)]):
        return _read_text(data)
    raise ProxyError("the connection does not begin with a PROXY header")


def _read_text(data: bytes) -> Announced | None:
    end = data.find(b"\r\n", 0, LONGEST_TEXT)
    if end < 0:
        if len(data) >= LONGEST_TEXT:
            raise ProxyError("the PROXY line is too long")
        return None
    line = data[:end].decode("ascii", "replace")
    if line.startswith("PROXY UNKNOWN") and line[13:14] in ("", " "):
        return Announced(end + 2)  # section 2.1: the rest of the line is ignored
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyError("the PROXY line is malformed")
    family, source, target, *ports = match.groups()
    kind = IPv4Address if family == "TCP4" else IPv6Address
    try:
        kind(target)
        address = kind(source)
    except ValueError as error:
        raise ProxyError(f"the PROXY line has a malformed address: {error}") from None
    if any(int(port) > 65535 for port in ports):
        raise ProxyError("the PROXY line has a port beyond 65535")
    return Announced(end + 2, str(address), int(ports[0]))


def _read_binary(data: bytes) -> Announced | None:
    if len(data) < _FIXED:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    size = _FIXED + length
    if command >> 4 != 2:
        raise ProxyError(f"version {command >> 4} of the PROXY protocol is not known")
    if command & 15 > 1:
        raise ProxyError(f"command {command & 15} of the PROXY protocol is not known")
    if size > LONGEST_BINARY:
        raise ProxyError(f"the PROXY header is too long: {size} octets")
    if len(data) < size:
        return None
    header = data[:size]
    if command & 15 == 0:  # LOCAL (section 2.2): the balancer speaks for itself
        return Announced(size)
    if family in _WITHOUT_ADDRESS:
        return Announced(size)
    if family not in _WIDTHS:
        raise ProxyError(f"family and transport {family:#04x} are not of a TCP connection")
    source, width = _WIDTHS[family]
    fields = 2 * width + 4  # two addresses and two ports
    if length < fields:
        raise ProxyError("the PROXY header is shorter than its addresses")
    _check_tlvs(header, _FIXED + fields)
    address = socket.inet_ntop(source, header[_FIXED : _FIXED + width])
    (port,) = struct.unpack_from("!H", header, _FIXED + 2 * width)
    return Announced(size, address, port)


def _check_tlvs(header: bytes, at: int) -> None:
    """Step over the additions, of which only the checksum concerns us (section 2.2.3)."""
    while at < len(header):
        if len(header) - at < 3:
            raise ProxyError("the PROXY header ends within an addition")
        kind, length = struct.unpack_from("!BH", header, at)
        at += 3
        if length > len(header) - at:
            raise ProxyError("the PROXY header ends within an addition")
        if kind == _TLV_CRC32C:
            if length != 4:
                raise ProxyError("the PROXY header's checksum is malformed")
            cleared = header[:at] + bytes(4) + header[at + 4 :]
            if crc32c(cleared) != int.from_bytes(header[at : at + 4], "big"):
                raise ProxyError("the PROXY header's checksum is wrong")
        at += length


def crc32c(data: bytes) -> int:
    """The checksum of RFC 9260 Appendix A (Castagnoli)."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
