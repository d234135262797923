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
lines = lines | st.integers(60, 80).map(lambda n: b"\xfc" + b"y" * n + b"---b1\r\n")
TYPES = ["text/plain; charset=utf-8", "TEXT/html", 'image/png; name="a;b.png"', 'application/x (a "comment)']


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


# What must change, and how.

MIME = b"MIME-Version: 1.0\r\n"


def test_text_becomes_quoted_printable_and_the_rest_base64() -> None:
    # RFC 6152 §3, RFC 2045 §6.8: a message that is valid 7-bit MIME, and nothing lost.
    body = UMLAUTS + b" = more\r\n"
    text = MIME + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body
    assert convert(text) == (
        MIME + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"gr=C3=BC=C3=9Fe =3D more\r\n"
    )
    image = MIME + b"Content-Type: image/png\r\n\r\n\x89PNG\r\n"
    assert convert(image) == (
        MIME + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0K\r\n"
    )


def test_text_without_a_label_is_labelled() -> None:
    # RFC 1428 §3: nobody knows the character set.
    for content in (b"Subject: x\r\n\r\n" + UMLAUTS + b"\r\n", b"\r\n" + UMLAUTS + b"\r\n"):
        converted = email.message_from_bytes(convert(content))
        assert converted["MIME-Version"] == "1.0"
        assert converted["Content-Type"] == "text/plain; charset=unknown-8bit"
        assert converted.get_payload(decode=True) == UMLAUTS + b"\r\n"


def test_a_type_without_a_version_gets_one() -> None:
    # RFC 2045 §4: without it readers need not look at the encoding.
    text = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + UMLAUTS + b"\r\n"
    assert email.message_from_bytes(convert(text))["MIME-Version"] == "1.0"
    mixed = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + UMLAUTS + b"\r\n--b--\r\n"
    assert convert(mixed).startswith(MIME)


def test_a_message_without_eight_bits_stays_as_it_is() -> None:
    content = MIME + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"
    assert survey(content) == ()
    signed = (
        MIME + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n"
        b"--b--\r\n"
    )
    assert survey(signed) == ()
    assert survey(b"") == ()
    assert survey(b"Subject: only a header") == survey(b"Subject: only a header\r\n") == ()


def test_binary_labels_are_lowered_even_where_nothing_is_encoded() -> None:
    # RFC 3030 §3: without BODY=BINARYMIME a part that says "binary" is malformed.
    content = (
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"--b\r\nContent-Transfer-Encoding: binary\r\n\r\n" + UMLAUTS + b"\r\n"
        b"--b\r\nContent-Transfer-Encoding: binary\r\n\r\nplain\r\n--b--\r\n"
    )
    eight = convert(content, Body.EIGHT_BIT)
    assert eight == content.replace(b"binary", b"8bit", 2).replace(b"binary", b"7bit")
    seven = convert(content)
    assert seven.count(b"7bit") == 2
    assert seven.count(b"quoted-printable") == 1


def test_binary_text_with_odd_line_ends_becomes_base64() -> None:
    body = b"bare\nline\rends\0" + UMLAUTS
    content = MIME + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
    converted = email.message_from_bytes(convert(content))
    assert converted["Content-Transfer-Encoding"] == "base64"
    assert converted.get_payload(decode=True) == body


def test_text_that_ends_within_a_line_stays_so() -> None:
    content = MIME + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\n" + UMLAUTS + b" "
    converted = convert(content)
    assert converted.endswith(b"\r\n")
    assert email.message_from_bytes(converted).get_payload(decode=True) == UMLAUTS + b" "


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_a_line_without_end_is_broken_softly(size: int) -> None:
    # RFC 2045 §6.7 (5)
    body = (b"--b " + UMLAUTS + b"-") * (30_000 if size > 1 else 300)
    head = MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    content = head + b"--b\r\nContent-Transfer-Encoding: binary\r\n\r\nx" + body + b"\r\n--b--\r\n"
    converted = convert(content, size=size)
    assert max(map(len, converted.split(b"\r\n"))) <= 76
    same(content, converted)


def test_a_soft_line_break_makes_no_boundary() -> None:
    for width in range(60, 80):
        body = b"\xfc" + b"y" * width + b"-" * 60 + b"b\r\n"
        content = MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + body + b"\r\n--b--\r\n"
        converted = convert(content)
        assert converted.count(b"\r\n--") == 2
        same(content, converted)


def test_messages_in_messages_and_digests() -> None:
    # RFC 2046 §5.1.5: a part of a digest is a message unless it says otherwise.
    inner = b"Subject: inner\r\n\r\n" + UMLAUTS + b"\r\n"
    digest = MIME + b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" + inner + b"--b--\r\n"
    (found,) = [part for part in email.message_from_bytes(convert(digest)).walk() if part["Subject"]]
    assert found["Subject"] == "inner"
    assert found["Content-Type"] == "text/plain; charset=unknown-8bit"
    assert found.get_payload(decode=True) == UMLAUTS


def test_a_message_in_utf8_is_encoded_as_a_whole() -> None:
    # RFC 6532 §3.7: any encoding is permitted for message/global.
    inner = b"Subject: " + UMLAUTS + b"\r\n\r\nbody\r\n"
    converted = convert(MIME + b"Content-Type: message/global\r\n\r\n" + inner)
    assert converted.isascii()
    assert b"Content-Transfer-Encoding: base64" in converted


# What is refused.


def part(header: bytes, body: bytes = UMLAUTS, kind: bytes = b"mixed") -> bytes:
    head = MIME + b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n--b\r\n"
    return head + header + b"\r\n" + body + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (part(b"", kind=b"signed"), "signed"),  # RFC 1847 §2.1
        (b"Subject: " + UMLAUTS + b"\r\n\r\n", "not in ASCII"),
        (part(b"Content-Type: text/plain; name=" + UMLAUTS + b"\r\n", b""), "not in ASCII"),
        (b"no field\r\n\r\n", "no field"),
        (b" folded at first\r\n\r\n", "no field"),
        (b"Subject: a\nb\r\n\r\n", "bare"),
        (b"Content-Type: a/b\r\ncontent-type: a/c\r\n\r\n", "more than one"),
        (b"Content-Type: text\r\n\r\n", "malformed"),
        (b"Content-Type: multipart/mixed\r\n\r\n", "no boundary"),
        (b"Content-Type: multipart/mixed; boundary\r\n\r\n", "malformed"),
        (b'Content-Type: multipart/mixed; boundary=""\r\n\r\n', "no boundary"),
        (b'Content-Type: multipart/mixed; boundary="a "\r\n\r\n', "malformed"),
        (b"Content-Type: multipart/mixed; boundary=" + b"a" * 101 + b"\r\n\r\n", "malformed"),
        (b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n", "ambiguous"),
        (b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n", "ambiguous"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nopen\r\n", "not closed"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bc\r\n\r\n", "looks like a boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", "looks like a boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b" + b" " * 999 + b"\r\n", "looks like a boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\n--b--\r\n", "bare"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + UMLAUTS + b"\r\n--b--\r\n", "outside"),
        (part(b"", b"x") + UMLAUTS + b"\r\n", "outside"),
        (part(b"Content-Transfer-Encoding: base64\r\n"), "not encoded as it says"),
        (part(b"Content-Transfer-Encoding: x-uu\r\n"), "not encoded as it says"),
        (part(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n"), "not encoded as it says"),
        (part(b"Content-Type: message/partial\r\n"), "cannot be encoded"),
        (part(b"Content-Type: multipart/mixed; boundary=b\r\n"), "same boundary"),
        (part(b"Content-Type: multipart/mixed; boundary=c\r\n", b"--c\r\n\r\n" + UMLAUTS), "not closed"),
        (b"X: " + b"x\r\n " * surveying.MAX_HEADER, "too long"),
        (b"X: " + b"x\r\n " * surveying.MAX_HEADER + b"x\r\n\r\n", "too long"),
        (b"Content-Type: message/rfc822\r\n\r\n" * 30, "too deep"),
        (b"Content-Transfer-Encoding: binary", "within a header"),
        (part(b"", b"\r\n--b\r\n\r\n" * surveying.MAX_PARTS), "too many"),
        (
            part(b"", b"".join(b"--b\r\nContent-Type: multipart/a; boundary=a\r\n\r\n--a--\r\n" for _ in range(501))),
            "too many",
        ),
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 64])
def test_what_is_in_doubt_is_not_converted(content: bytes, why: str, size: int) -> None:
    with pytest.raises(Unconvertible, match=why):
        survey(content, size=size)


def test_headers_in_utf8_may_stay_where_the_host_takes_them() -> None:
    header = b"Subject: " + UMLAUTS + b"\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    assert b"8bit" in convert(header + UMLAUTS + b"\r\n", Body.EIGHT_BIT, ascii_header=False)
    with pytest.raises(HeaderNotAscii):
        survey(header, Body.EIGHT_BIT)


def test_boundaries_of_which_one_begins_the_other() -> None:
    inner = b"Content-Type: multipart/mixed; boundary=b-c\r\n\r\n--b-c\r\n\r\n" + UMLAUTS + b"\r\n--b-c--\r\n"
    content = MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + inner + b"--b--\r\n"
    same(content, convert(content))


def test_a_part_that_ends_within_its_header() -> None:
    content = (
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
        b"--b\r\n--b\r\n\r\n" + UMLAUTS + b"\r\n--b--"
    )
    for size in (1, 1 << 20):
        converted = convert(content, size=size)
        assert converted.isascii()
        assert converted.count(b"\r\n--b") == 4


@given(st.binary(max_size=3000), st.integers(1, 50))
def test_the_tally_does_not_depend_on_the_cuts(data: bytes, size: int) -> None:
    data = data.replace(b"7", b"x" * 700).replace(b"8", b"\r\n")
    whole, cut = Tally(), Tally()
    whole.add(data)
    for at in range(0, len(data), size):
        cut.add(data[at : at + size])
    whole.end()
    cut.end()
    for name in ("eight_bit", "odd", "long_line", "size"):
        assert getattr(whole, name) == getattr(cut, name)
    lines = data.split(b"\r\n")
    assert whole.odd == any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    if not whole.odd:
        assert whole.long_line == (max(map(len, lines)) > 998)  # RFC 5321 §4.5.3.1.6


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_anything_at_all_is_converted_or_refused(content: bytes, size: int) -> None:
    try:
        edits = survey(content, size=size)
    except Unconvertible:
        return
    assert splice(content, edits, size).isascii()


def test_edits_follow_each_other() -> None:
    edits = (Edit(0, 0, b"a"), Edit(0, 2, b"b"), Edit(2, 5, coding=Coding.BASE64), Edit(5, 5, b"z"))
    for size in (1, 2, 5):
        assert splice(b"01234", edits, size) == b"abMjM0\r\nz"
