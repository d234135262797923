"""Conversions lose nothing, whatever the message and wherever it is cut; what is in doubt is not converted."""

import email
import email.policy
from email.message import Message as EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postroom.mail.downgrade import survey as surveying
from postroom.mail.downgrade.edits import Coding, Edit, HeaderNotAscii, Unconvertible
from postroom.mail.downgrade.splice import Splicer
from postroom.mail.downgrade.survey import Survey
from postroom.mail.downgrade.tally import Tally
from postroom.mail.envelope import Body

UMLAUTS = "grüße".encode()


def survey(content: bytes, target: Body = Body.SEVEN_BIT, size: int = 1 << 20, **options: bool) -> tuple[Edit, ...]:
    found = Survey(target, **options)
    for at in range(0, len(content), size):
        found.feed(content[at : at + size])
    return found.end()


def splice(content: bytes, edits: tuple[Edit, ...], size: int = 1 << 20) -> bytes:
    splicer = Splicer(edits)
    pieces = [splicer.write(content[at : at + size]) for at in range(0, len(content), size)]
    return b"".join(pieces) + splicer.end()


def convert(content: bytes, target: Body = Body.SEVEN_BIT, size: int = 1 << 20, **options: bool) -> bytes:
    return splice(content, survey(content, target, size, **options), size)


def fits(content: bytes, target: Body) -> bool:
    """Whether the content can be sent by DATA to a host that takes ``target``."""
    lines = content.split(b"\r\n")
    whole = content.endswith(b"\r\n") and not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    return whole and max(map(len, lines)) <= 998 and (target is Body.EIGHT_BIT or content.isascii())


def told(part: EmailMessage) -> list[tuple[str, str]]:
    """The header without the fields that a conversion may change."""
    mine = {"content-transfer-encoding"}
    return [(name, str(value)) for name, value in part.items() if name.lower() not in mine]


def same(before: bytes, after: bytes) -> None:
    """A reader finds the same parts, with the same headers and the same octets in the leaves."""
    one, two = (email.message_from_bytes(content, policy=email.policy.compat32) for content in (before, after))
    left, right = list(one.walk()), list(two.walk())
    assert [told(part) for part in left] == [told(part) for part in right]
    for was, is_now in zip(left, right, strict=True):
        assert was.is_multipart() == is_now.is_multipart()
        if not was.is_multipart():
            assert was.get_payload(decode=True) == is_now.get_payload(decode=True)


# Messages of all kinds.

octets = st.binary(max_size=300) | st.text(max_size=200).map(str.encode)
lines = st.lists(
    st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=120).map(str.encode)
    | st.binary(max_size=100).map(lambda data: data.translate(None, b"\r\n\0"))
    | st.sampled_from([b"", b".", b"From here", b"x" * 75 + b" ", b"x" * 74 + b"=\t", b"--", b"a " * 400, b"-- "]),
    max_size=8,
).map(lambda found: b"".join(line + b"\r\n" for line in found))
TYPES = ["text/plain; charset=utf-8", "TEXT/html", "image/png; name=\"a;b.png\"", "application/x (a \"comment)"]


@st.composite
def leaves(draw: st.DrawFn, *, binary: bool, frozen: bool = False) -> bytes:
    body = draw(octets if binary else lines)
    if frozen:
        body = body.translate(bytes(range(128)) + bytes(range(128)), b"\r\n\0")
    if b"--" in body and binary:
        body = body.replace(b"-", b"+")
    header = b""
    kind = draw(st.sampled_from(["", *TYPES]))
    if kind:
        header += f"Content-Type: {kind}\r\n".encode()
    label = "binary" if binary else draw(st.sampled_from(["8bit", "8BIT", "7bit", " 8bit (really)", ""]))
    if label:
        header += f"Content-Transfer-Encoding: {label}\r\n".encode()
    return header + b"\r\n" + body


@st.composite
def parts(draw: st.DrawFn, depth: int, *, binary: bool) -> bytes:
    kind = draw(st.sampled_from(["leaf", "leaf", "multipart", "message", "signed"])) if depth < 4 else "leaf"
    match kind:
        case "multipart":
            return draw(multiparts(depth + 1, binary=binary))
        case "message":
            label = b"Content-Transfer-Encoding: binary\r\n" if binary else b"Content-Transfer-Encoding: 8bit\r\n"
            return b"Content-Type: message/rfc822\r\n" + label + b"\r\n" + draw(messages(depth + 1, binary=binary))
        case "signed":
            inside = b"Content-Type: text/plain\r\n\r\nseven bits only\r\n"
            return (
                b'Content-Type: multipart/signed; boundary="sig%d"\r\n\r\n--sig%d\r\n' % (depth, depth)
                + inside
                + b"\r\n--sig%d--\r\n" % depth
            )
        case _:
            return draw(leaves(binary=binary))


@st.composite
def multiparts(draw: st.DrawFn, depth: int, *, binary: bool) -> bytes:
    boundary = draw(st.sampled_from(["b{}", "'b'{}", "=_(b)+{}?", "b b{}:x"])).format(depth).encode()
    inside = draw(st.lists(parts(depth, binary=binary), min_size=1, max_size=3))
    label = draw(st.sampled_from([b"", b"Content-Transfer-Encoding: 8bit\r\n"]))
    if binary:
        label = b"Content-Transfer-Encoding: binary\r\n"
    header = b'Content-Type: multipart/mixed;\r\n\tboundary="%b"\r\n%b' % (boundary, label)
    preamble = draw(st.sampled_from([b"", b"preamble\r\n", b"--\r\n"]))
    epilogue = draw(st.sampled_from([b"", b"\r\n", b"\r\nepilogue\r\n"]))
    padding = draw(st.sampled_from([b"", b" ", b" \t"]))
    body = b"".join(b"\r\n--" + boundary + padding + b"\r\n" + part for part in inside)
    return header + b"\r\n" + preamble + body + b"\r\n--" + boundary + b"--" + padding + epilogue


@st.composite
def messages(draw: st.DrawFn, depth: int = 0, *, binary: bool = False) -> bytes:
    header = b"From: <a@example.org>\r\nSubject: a\r\n folded subject\r\nMIME-Version: 1.0\r\n"
    inside = draw(leaves(binary=binary) | multiparts(depth + 1, binary=binary))
    return header + inside


@settings(max_examples=300, deadline=None)
@given(messages(), st.sampled_from([1, 7, 100, 1 << 20]))
@example(b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + b"\xfc" * 30 + b"x" * 74 + b" \r\n", 1 << 20)
def test_eight_bits_into_seven(content: bytes, size: int) -> None:
    content = content if content.endswith(b"\r\n") else content + b"\r\n"
    converted = convert(content, Body.SEVEN_BIT, size)
    same(content, converted)
    if content.isascii():
        return  # whatever its labels say, it fits as it is
    assert fits(converted, Body.SEVEN_BIT)
    assert b"encoding: 8bit" not in converted.lower()
    assert convert(content) == converted
    assert convert(converted) == converted


@settings(max_examples=300, deadline=None)
@given(messages(binary=True), st.sampled_from([1, 7, 100, 1 << 20]), st.sampled_from([Body.SEVEN_BIT, Body.EIGHT_BIT]))
def test_binary_into_lines(content: bytes, size: int, target: Body) -> None:
    converted = convert(content, target, size)
    same(content, converted)
    assert b"encoding: binary" not in converted.lower()
    if not content.endswith(b"\r\n"):
        converted += b"\r\n"  # as the writer of content adds it, behind the last boundary
    assert fits(converted, target)
