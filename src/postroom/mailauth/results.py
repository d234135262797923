"""The Authentication-Results field: ours written, forged ones taken out, those of others read (RFC 8601)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from postroom.mail.domain import normalise_domain
from postroom.mailauth.author import read_encoded_word
from postroom.mailauth.model import (
    ArcCheck,
    Authentication,
    DkimCheck,
    DmarcCheck,
    Result,
    SpfCheck,
    SpfIdentity,
)

MAX_LINE = 77
"""Columns of a line where it can be folded (RFC 5322 §2.1.1: below 78)."""

MAX_VALUE = 255
"""Characters of one value or reason that we write."""

MAX_SIGNATURES = 20
"""Signatures that we report on."""

MAX_READ = 32768
"""Characters of a value that is read; what is longer says nothing."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")  # RFC 2045 §5.1
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")  # RFC 6376 §3.5, and the underscores that are in use
_IDENTITY = re.compile(r"(?:[A-Za-z0-9!#$%&'*+/=^_`{|}~.-]{1,64})?@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+")
# What ends a quoted string, a comment or a result, for readers that know no better too.
_UNSAFE = re.compile(r"[^ !#-'*-:<>-\[\]-~]")

_FIELD = re.compile(rb"(?:\A|(?<=[\r\n]))Authentication-Results(?:[ \t]|\r?\n[ \t])*:", re.IGNORECASE)
_FIELD_END = re.compile(rb"\r\n(?![ \t])|\Z")
_NAME_CHARACTER = r"[^\s()\"<>,;:/=?]"
_WORD = re.compile(rf"{_NAME_CHARACTER}+")
_MAX_FOREIGN = 50  # words of one field whose A-labels are worked out, or that are decoded
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
# No longer than a name can be: decoders such as that of punycode take time by the square of the length.
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,60}\?[bq]\?[^?\s]{0,1000}\?=", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"(?<=\?=)\s+(?==\?)")
_MAX_PIECES = 1000  # of one value: what has more quotes and comments counts as not closed

# Outside comments: a quoted string (one that is not closed takes all the rest), a parenthesis, or anything else.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*("|\\?\Z)|[^"()]+|[()]', re.DOTALL)
_IN_COMMENT = re.compile(r"(?:[^\\()]|\\.)+|[()]|\\\Z", re.DOTALL)
_KEYWORD = r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_METHOD = re.compile(rf"\s*({_KEYWORD})\s*(?:/\s*([0-9]+)\s*)?=\s*({_KEYWORD})(?=\s|\Z)")
_PROPERTY = re.compile(
    rf"""\s*({_KEYWORD})\s*(?:\.\s*([A-Za-z][A-Za-z0-9_-]*)\s*)?=\s*("(?:[^"\\]|\\.)*"(?:@[^\s;"]+)?|[^\s;"]+)(?=\s|\Z)"""
)
_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^";])+')
_NAME = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"|[^\s"]+)\s*(?:1\s*)?')  # RFC 8601 §2.5, §2.6: version 1, or none told
_REST = re.compile(r"\s*\Z")
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def write_results(authserv_id: str, authentication: Authentication, client: str = "") -> bytes:
    """One whole field with its CRLF that says what was found (RFC 8601 §2.2). ``client``: its address, told with ARC.

    Strangers' words in it are quoted, printable ASCII and bounded. What is internationalised is written in A-labels or
    left out, so that the field may stand in any message.
    """
    parts = [_spf(check) for check in (authentication.spf, authentication.helo) if check is not None]
    # The HELO name says little where nobody speaks for it; readers look for the first result of a method.
    if authentication.helo is not None and authentication.helo.result is Result.NONE and len(parts) == 2:
        del parts[1]
    parts += [_dkim(check) for check in authentication.dkim[:MAX_SIGNATURES]]
    if not authentication.dkim and (parts or authentication.dmarc is not None):
        parts.append(["dkim=none"])
    if authentication.arc.result is not Result.NONE:
        parts.append(_arc(authentication.arc, client))
    if authentication.dmarc is not None:
        parts.append(_dmarc(authentication.dmarc))
    name = _quoted(_UNSAFE.sub("", authserv_id if authserv_id.isascii() else _plain(authserv_id)))
    return _folded([f"Authentication-Results: {name}"], parts or [["none"]])


def without_forged(header: bytes, authserv_id: str, *others: str) -> bytes:
    """The header without the Authentication-Results fields that bear our name; every other octet stays (RFC 8601 §5).

    ``others`` are more names of ours; one that begins with a dot stands for all names below it. A field counts as ours
    if the name stands anywhere before its results, comments included, or anywhere at all where its comments or quotes
    are not closed: readers differ in what they make of that. So do fields behind a line that is no field.
    """
    if b"authentication-results" not in header.lower():
        return header
    ours = _pattern([_plain(name) for name in (authserv_id, *others)])
    kept: list[bytes] = []
    at = 0
    for match in _FIELD.finditer(header):
        if match.start() < at:
            continue
        ending = _FIELD_END.search(header, match.end())
        assert ending is not None  # noqa: S101 - the pattern matches at the end
        if _bears(header[match.end() : ending.start()].decode("utf-8", "replace"), ours):
            kept.append(header[at : match.start()])
            at = ending.end()
    return b"".join((*kept, header[at:])) if at else header


class Finding(NamedTuple):
    """One result as somebody reports it. Names are in lower case, properties such as ``header.from``, values without
    their quotes.
    """

    method: str
    result: str
    properties: dict[str, str]


def read_results(value: str) -> tuple[Finding, ...]:
    """What an unfolded Authentication-Results value, or the payload of an ARC one, reports, in its order.

    Never raises: what is malformed is passed over, and an unknown version says nothing (RFC 8601 §2.6).
    """
    if len(value) > MAX_READ:
        return ()
    text, _, is_closed = _without_comments(value)
    if not is_closed:
        return ()
    name, *parts = _PART.findall(text) or [""]
    if not _NAME.fullmatch(name):
        return ()
    return tuple(finding for part in parts if (finding := _read(part)) is not None)


def _spf(check: SpfCheck) -> list[str]:
    words = [f"spf={check.result.value}"]
    if check.result is not Result.PASS:
        words += _reason(check.reason or (f"matches {check.mechanism}" if check.mechanism else ""))
    # RFC 8601 §2.7.2: no local part, as no policy said anything of it that would be told here.
    name = "smtp.mailfrom" if check.identity is SpfIdentity.MAIL_FROM else "smtp.helo"
    return words + _property(name, _domain(check.domain))


def _dkim(check: DkimCheck) -> list[str]:
    words = [f"dkim={check.result.value}"]
    reason = check.reason
    if not reason and check.testing:
        reason = "the key is being tested"
    if not reason and not check.covered:
        reason = "part of the body is not signed"
    words += _reason(reason)
    words += _property("header.d", _domain(check.domain))
    words += _property("header.i", _fitting(_IDENTITY, check.identity))
    words += _property("header.s", _domain(check.selector))
    words += _property("header.a", _fitting(_TOKEN, check.algorithm))
    return words + _property("header.b", _quoted(_fitting(_BASE64, check.mark)))  # RFC 6008 §4


def _arc(check: ArcCheck, client: str) -> list[str]:
    words = [f"arc={check.result.value}", *_reason(check.reason)]
    if check.result is Result.PASS:
        words.append(f"header.oldest-pass={check.oldest_pass}")
    return words + _property("smtp.remote-ip", _quoted(_fitting(_ADDRESS, client)))  # RFC 8617 §10.2


def _dmarc(check: DmarcCheck) -> list[str]:
    words = [f"dmarc={check.result.value}"]
    if check.result is not Result.PASS:
        words += _reason(check.reason)
    words += _property("header.from", _domain(check.author))
    return words + _property("policy.dmarc", check.policy.value if check.policy is not None else "")  # RFC 9989 §9.1


def _property(name: str, text: str) -> list[str]:
    return [f"{name}={text}"] if text else []


def _reason(text: str) -> list[str]:
    """A reason as a quoted string, in words, so that it can be folded."""
    words = _UNSAFE.sub(" ", text[:MAX_VALUE].replace('"', "'")).split()
    return ('reason="' + " ".join(words) + '"').split(" ") if words else []


def _domain(text: str) -> str:
    """A domain or selector; ``""`` for what cannot be one."""
    return _fitting(_DOMAIN, text)


def _fitting(pattern: re.Pattern[str], text: str) -> str:
    """The text if all of it fits, else nothing: half a value would say something else."""
    return text if len(text) <= MAX_VALUE and pattern.fullmatch(text) else ""


def _quoted(text: str) -> str:
    """A token as it is, anything else as a quoted string (RFC 2045 §5.1)."""
    return text if not text or _TOKEN.fullmatch(text) else f'"{text}"'


def _folded(first: list[str], parts: Sequence[list[str]]) -> bytes:
    """The field: each result begins a line, and goes on in the next where it is long."""
    lines = [" ".join(first)]
    for words in parts:
        lines[-1] += ";"
        lines.append("")
        for word in words:
            if len(lines[-1]) > 1 and len(lines[-1]) + 1 + len(word) >= MAX_LINE:
                lines.append("")
            lines[-1] += " " + word
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def _pattern(names: Sequence[str]) -> re.Pattern[str]:
    """Finds one of the names as a whole word; below one that begins with a dot, any."""
    words = [(rf"{_NAME_CHARACTER}+" if name.startswith(".") else "") + re.escape(name) for name in names if name]
    return re.compile(rf"(?<!{_NAME_CHARACTER})(?:{'|'.join(words)})\.*(?!{_NAME_CHARACTER})", re.IGNORECASE)


def _bears(value: str, ours: re.Pattern[str]) -> bool:
    """Whether some reader takes the value for one of ours."""
    if _find(ours, value) is None:
        return False
    _, semicolon, is_closed = _without_comments(value)
    return not is_closed or semicolon < 0 or _find(ours, value[:semicolon]) is not None


def _find(ours: re.Pattern[str], text: str) -> re.Match[str] | None:
    """A name of ours in the text, in whatever way it is written, and whatever some reader makes of it."""
    text = text.replace("\\", "")  # of quoted pairs
    if "=?" in text:  # RFC 2047 §5 allows no encoded words here, and some decode them all the same
        text += " " + _decoded(text)
    if _INVISIBLE.search(text) is not None:  # some end there, some pass it over
        text = f"{_INVISIBLE.sub(' ', text)} {_INVISIBLE.sub('', text)}"
    if not text.isascii():
        text = _with_a_labels(text)
    return ours.search(text)


def _decoded(text: str) -> str:
    """The text with its encoded words decoded (RFC 2047 §6.2)."""
    return _ENCODED_WORD.sub(lambda word: read_encoded_word(word[0]), _BETWEEN_WORDS.sub("", text), _MAX_FOREIGN)


def _with_a_labels(text: str) -> str:
    """The text with its internationalised words as they compare. Each character is looked at once, whatever it is."""
    left = _MAX_FOREIGN

    def plain(word: re.Match[str]) -> str:
        nonlocal left
        if word[0].isascii() or not left:
            return word[0]
        left -= 1
        return _plain(word[0])

    return _WORD.sub(plain, text)


def _plain(name: str) -> str:
    """A name as it compares: A-labels in lower case, without a final dot."""
    name = name.lower().rstrip(".")
    if name.isascii():
        return name
    try:
        return normalise_domain(name)
    except ValueError:
        return name


def _without_comments(value: str) -> tuple[str, int, bool]:
    """The value with a space for each comment (RFC 5322 §3.2.2), where in ``value`` its first semicolon stands (-1:
    there is none), and whether all comments and quotes are closed.
    """
    kept: list[str] = []
    semicolon = -1
    depth = at = pieces = 0
    is_closed = True
    while at < len(value) and pieces < _MAX_PIECES:
        match = (_IN_COMMENT if depth else _PIECE).match(value, at)
        assert match is not None  # noqa: S101 - both patterns take any character
        piece = match[0]
        pieces += 1
        if piece == "(":
            depth += 1
        elif piece == ")":
            is_closed = is_closed and depth > 0
            depth = max(depth - 1, 0)
            kept.append(" ")
        elif not depth:
            kept.append(piece)
            if piece.startswith('"'):
                is_closed = is_closed and match[1] == '"'
            elif semicolon < 0 and ";" in piece:
                semicolon = at + piece.index(";")
        at = match.end()
    return "".join(kept), semicolon, is_closed and not depth and at == len(value)


def _read(part: str) -> Finding | None:
    """One result with its properties; None if it is malformed, or of a version that we do not know."""
    method = _METHOD.match(part)
    if method is None or (method[2] or "1") != "1":
        return None
    properties: dict[str, str] = {}
    at = method.end()
    while not _REST.match(part, at):
        found = _PROPERTY.match(part, at)
        if found is None:
            return None
        name = f"{found[1]}.{found[2]}" if found[2] else found[1]
        properties.setdefault(name.lower(), _unquoted(found[3]))
        at = found.end()
    return Finding(method[1].lower(), method[3].lower(), properties)


def _unquoted(text: str) -> str:
    return _PAIR.sub(r"\1", text[1:-1]) if text.startswith('"') and text.endswith('"') else text
