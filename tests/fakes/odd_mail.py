"""Mail that is odd in every way that canonicalisation cares about, made from a random source.

Left out is what dkimpy and OpenDKIM read otherwise than RFC 6376 §2.8 and RFC 6376 §3.4.4 say: vertical tabs and form
feeds, which they take for white space, and white space at the end of a last line without CRLF, which they keep.
"""

from random import Random

_NAMES = [b"X-Odd", b"x-odd", b"Comments", b"KEYWORDS", b"List-Id", b"Content-Type", b"In-Reply-To", b"X!#$%&'*+"]
_SPACE = [b" ", b"  ", b"\t", b" \t ", b"\r\n ", b"\r\n\t", b" \r\n   ", b"\t\r\n \t", b" " * 40]
_WORDS = [
    b"word",
    b"two:parts",
    b";",
    b"b=",
    b"=?utf-8?q?=C3=BC?=",
    "über".encode(),
    b"\xe4\xf6\xff",
    b'"quoted  text"',
    b"(comment)",
    b"x" * 300,
    b"..",
]
_LINES = [
    b"",
    b" ",
    b"\t \t",
    b"a line",
    b"  a line  ",
    b"a\tline \t with  white   space \t",
    b".",
    b"..",
    b"From the line",
    b"x" * 3000,
    b"y " * 1500,
    "größer".encode(),
    b"\x80\xff\xa0",
    b"header: like",
    b"--boundary",
]


def odd_message(random: Random) -> bytes:
    """One message with From, To, Subject, Date, others, and a body or none."""
    fields = [
        (b"From", b" Joe <joe@example.org>"),
        (random.choice([b"To", b"TO", b"to"]), b" a@example.net," + random.choice(_SPACE) + b"b@example.net"),
        (b"Subject", _value(random)),
        (b"Date", b" Thu, 26 Nov 2026 10:00:00 +0000"),
    ]
    fields += [(random.choice(_NAMES), _value(random)) for _ in range(random.randrange(6))]
    if random.random() < 0.3:
        fields += [(b"Subject", _value(random)), (b"Date", b"")][: random.randrange(3)]
    random.shuffle(fields)
    header = b"".join(name + b":" + text + b"\r\n" for name, text in fields)
    return header + b"\r\n" + _body(random)


def _value(random: Random) -> bytes:
    """What may stand after the colon: no line of white space alone at the end, no bare CR or LF."""
    count = random.choice([0, 1, 1, 2, 3, 8])
    parts = [random.choice([b"", b" ", b"  ", b"\t", b"\r\n "]) if count else random.choice([b"", b" ", b"\t"])]
    for _ in range(count):
        parts += [random.choice(_WORDS), random.choice(_SPACE)]
    if count and random.random() < 0.7:
        parts.pop()
    text = b"".join(parts)
    return text if text.strip() else text.replace(b"\r\n", b"")


def _body(random: Random) -> bytes:
    lines = [random.choice(_LINES) for _ in range(random.choice([0, 0, 1, 1, 3, 10]))]
    body = b"\r\n".join(lines)
    if lines and (random.random() < 0.7 or body.endswith((b" ", b"\t"))):
        body += b"\r\n"
    return body + b"\r\n" * random.choice([0, 0, 0, 1, 2, 5])
