"""PROXY headers are taken whole, in pieces and with what follows them; anything else is refused at once and bounded."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.net.proxy import LONGEST_BINARY, LONGEST_TEXT, Announced, ProxyError, crc32c, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def binary(rest: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def ipv4(source: str = "192.0.2.7", port: int = 4711, more: bytes = b"") -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton("203.0.113.1")
    return binary(addresses + struct.pack("!HH", port, 25) + more)


def ipv6(source: str = "2001:db8::7", port: int = 4711) -> bytes:
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in (source, "2001:db8::1"))
    return binary(addresses + struct.pack("!HH", port, 25), family=0x21)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def with_checksum(bend: int = 0) -> bytes:
    header = ipv4(more=tlv(3, bytes(4)) + tlv(2, b"mx.example.org"))
    at = 16 + 12 + 3
    return header[:at] + struct.pack("!I", crc32c(header) ^ bend) + header[at + 4 :]


GOOD = [
    (b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25\r\n", "192.0.2.7", 4711),
    (b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 4711 25\r\n", "2001:db8::7", 4711),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", 0),
    (ipv4(), "192.0.2.7", 4711),
    (ipv4(more=tlv(2, b"mx.example.org") + tlv(4, b"") + tlv(0xEA, bytes(300))), "192.0.2.7", 4711),
    (with_checksum(), "192.0.2.7", 4711),
    (ipv6(), "2001:db8::7", 4711),
    (binary(b"", command=0x20, family=0x00), "", 0),
    (binary(bytes(12), command=0x20), "", 0),
    (binary(b"", family=0x00), "", 0),
    (binary(bytes(216), family=0x31), "", 0),
    (ipv4(more=tlv(4, bytes(LONGEST_BINARY - 31))), "192.0.2.7", 4711),
]


@pytest.mark.parametrize(("header", "address", "port"), GOOD)
def test_headers(header: bytes, address: str, port: int) -> None:
    expected = Announced(len(header), address, port)
    assert read_header(header) == expected
    assert read_header(header + b"EHLO a\r\nPROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n") == expected
    assert all(read_header(header[:size]) is None for size in range(len(header)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"EHLO client.example\r\n", "does not begin"),
        (b"\x16\x03\x01", "does not begin"),
        (b"PROXY\r\n", "does not begin"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25\n\r\n", "malformed"),
        (b"PROXY  TCP4 192.0.2.7 203.0.113.1 4711 25\r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 4711\r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 04711 25\r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 -1 25\r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25 \r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 65536 25\r\n", "65535"),
        (b"PROXY TCP4 192.0.2.256 203.0.113.1 4711 25\r\n", "address"),
        (b"PROXY TCP4 192.0.2.7 2001:db8::1 4711 25\r\n", "address"),
        (b"PROXY TCP6 192.0.2.7 203.0.113.1 4711 25\r\n", "address"),
        (b"PROXY TCP6 fe80::1%eth0 2001:db8::1 4711 25\r\n", "malformed"),
        ("PROXY TCP4 ١٩٢.0.2.7 203.0.113.1 4711 25\r\n".encode(), "malformed"),
        (b"PROXY UDP4 192.0.2.7 203.0.113.1 4711 25\r\n", "malformed"),
        (b"PROXY UNKNOWNS\r\n", "malformed"),
        (b"PROXY UNKNOWN " + b"x" * LONGEST_TEXT, "too long"),
        (binary(b"", command=0x11), "version 1"),
        (binary(b"", command=0x22), "command 2"),
        (binary(bytes(12), family=0x12), "family"),
        (binary(bytes(11)), "shorter"),
        (binary(bytes(35), family=0x21), "shorter"),
        (ipv4(more=b"\x04\x00"), "ends within"),
        (ipv4(more=b"\x04\x00\x05abcd"), "ends within"),
        (ipv4(more=tlv(3, b"abc")), "malformed"),
        (with_checksum(bend=1), "checksum is wrong"),
        (SIGNATURE + struct.pack("!BBH", 0x21, 0x11, LONGEST_BINARY - 15), "too long"),
        (SIGNATURE + b"\x21\x11\xff\xff", "too long"),
    ],
)
def test_anything_else(data: bytes, why: str) -> None:
    with pytest.raises(ProxyError, match=why):
        read_header(data)


def test_the_longest_line_of_the_format_fits() -> None:
    longest = (
        b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
    )
    assert len(longest) == LONGEST_TEXT
    assert read_header(longest) == Announced(LONGEST_TEXT)


def test_the_checksum() -> None:
    """RFC 3720 Appendix B.4 has these examples of what RFC 9260 calls CRC32c."""
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"123456789") == 0xE3069283


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: SIGNATURE + rest)))
def test_any_octets(data: bytes) -> None:
    try:
        found = read_header(data)
    except ProxyError as error:
        assert str(error)  # noqa: PT017 - most do not end so
        return
    assert found is None or found.size <= len(data)


@given(st.sampled_from([header for header, _, _ in GOOD]), st.data())
def test_any_bent_header_decides_within_its_bound(header: bytes, data: st.DataObject) -> None:
    """What is decided after some octets stays decided; and with LONGEST_BINARY octets it always is."""
    bent = bytearray(header)
    bent[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(bent) + b"\r\n" + bytes(LONGEST_BINARY)
    outcomes = []
    for size in (data.draw(st.integers(0, len(whole))), len(whole)):
        try:
            outcomes.append(read_header(whole[:size]))
        except ProxyError:
            outcomes.append(None if size < len(whole) else Announced(0))
    assert outcomes[1] is not None
    assert outcomes[0] in (None, outcomes[1])
