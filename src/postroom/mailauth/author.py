"""The author domain: the domain of From, and every sign that readers may see another one (RFC 9989 §5.3.1, §11.5).

Who forges mail writes From so that the checks read one address and the recipient another. So the field counts as clean
only where every way to read it leads to the same domain. Otherwise all domains that somebody may take for the author's
are given with the fault: each is to be checked, and none may pass.
"""

import re
from collections.abc import Iterable
from email.errors import HeaderParseError
from email.header import decode_header
from itertools import islice

from postroom.mail.domain import normalise_domain
from postroom.mail.headers import Field, Header, find_body
from postroom.mail.mailboxes import MAX_VALUE, read_mailboxes
from postroom.mail.value import value

MAX_DOMAINS = 4
"""Author domains that are checked at most (RFC 9989 §11.5: who has more wants to keep us busy)."""

_MAX_SEEN = 20  # things that look like a domain in one From, before it is no use to look on

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOMS = r"[A-Za-z0-9!#$%&'*+/?^_`{|}~.-]+"  # without "=", so that no encoded word is among them
# What nearly all mail has: words or one quoted string without anything that could be read in two ways, one address.
_PLAIN = re.compile(
    rf"""(?:[\w .'&/+-]*|"[^"\\<>@=\x00-\x1f\x7f-\x9f]*" *)<{_ATOMS}@(?P<angle>(?:{_LABEL}\.)+{_LABEL})>"""
    rf"""|{_ATOMS}@(?P<bare>(?:{_LABEL}\.)+{_LABEL})""",
    re.ASCII,
)
_FROM_LINE = re.compile(rb"(?:\A|[\r\n])From(?:[ \t]|\r?\n[ \t])*:", re.IGNORECASE)
_LOWERED_FROM = re.compile(rb"\nfrom(?:[ \t]|\n{1,2}[ \t])*:")  # the same, as fast as can be
_FROM_WITHIN = re.compile(rb"[\r\n]From(?:[ \t]|\r?\n[ \t])*:", re.IGNORECASE)
_UNSEEN = bytes([*range(9), 11, 12, *range(14, 32), 127])
_NO_BREAK_SPACE = "\u00a0".encode()
_VALUE_END = re.compile(rb"(?<![\r\n])[\r\n]++(?![ \t])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)|(?<!\r)\n|\r\n(?![ \t])")
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,60}\?[bq]\?[^?]*\?=", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)  # one that is not closed takes all the rest
_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*\)", re.DOTALL)
_AT = re.compile(r"@\s*([^\s\x00-\x1f\x7f@<>()\[\],:;\"\\]*)")  # what stands for a domain, wherever it stands
_HIDDEN_ADDRESS = re.compile(r"<[^<>]*@\s*([^\s@<>]*)\s*>")
_ODD_LOCAL = re.compile(r"[@<>,;]|=\?")  # in a local part it is legal in quotes, and others end the address there
_TAKEN_APART = re.compile(r"[<>,;\x00-\x1f\x7f]")
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_MAX_NESTING = 8  # of comments that are taken off, layer by layer


@value(frozen=True, slots=True)
class Author:
    """The domains that From may mean, A-labels in lower case, each once, MAX_DOMAINS at most; ``fault`` says why they
    cannot be relied on, ``""`` where they can. Several without a fault: the field names several authors. Not
    ``complete``: there are, or may be, more domains than these.
    """

    domains: tuple[str, ...]
    fault: str = ""
    complete: bool = True


def read_author(header: Header, block: bytes = b"") -> Author:
    """Whose message it is by its header. ``block`` is the content from its beginning, as far as it is at hand.

    With it, a From behind a line that is no field is found too, which some readers take for the author's: all of them,
    where that line is the first, begins with white space, and stands behind our own fields. Never raises, whatever the
    header holds.
    """
    fields = header.all(b"from")
    values = [field.value for field in fields] if fields else _behind(block, header.end)
    if not values:
        return Author((), "there is no From field")
    found = [_read_value(each.decode("utf-8", "replace")) for each in values[:MAX_DOMAINS]]
    is_hidden = not fields or _is_elsewhere(header, block)
    if len(fields) == 1 and not is_hidden:
        rest = _line_behind(fields[0], header, block)
        return _gone_on(found[0], values[0], rest) if b"@" in rest else found[0]
    domains = _each_once(domain for author in found for domain in author.domains)
    complete = len(values) <= MAX_DOMAINS >= len(domains) and all(author.complete for author in found)
    if len(fields) > 1:
        fault = "there is more than one From field"
    else:
        fault = "another From field is hidden in the header" if fields else "From stands behind a line that is no field"
    return Author(domains[:MAX_DOMAINS], fault, complete)


def _behind(block: bytes, at: int) -> list[bytes]:
    """The values of From from ``at`` to the end of the header, whatever stands between, one more than is looked at."""
    end, _ = find_body(block)
    values = []
    for found in islice(_FROM_LINE.finditer(block, max(at - 1, 0), end), MAX_DOMAINS + 1):
        ending = _VALUE_END.search(block, found.end(), end)
        values.append(block[found.end() : end if ending is None else ending.start()])
    return values


def _line_behind(field: Field, header: Header, block: bytes) -> bytes:
    """The line that is no field and ends the header right behind a field; b"" where there is none."""
    end = find_body(block)[0] if block and field.end == header.end else 0
    return block[field.end : end].partition(b"\r\n")[0] if field.end < end else b""


def _gone_on(author: Author, value: bytes, rest: bytes) -> Author:
    """What From may mean where a careless reader takes the line behind it for a part of it."""
    longer = _read_value((value + b" " + rest).decode("utf-8", "replace"))
    domains = _each_once((*author.domains, *longer.domains))
    if domains == author.domains and longer.complete:
        return author
    complete = author.complete and longer.complete and len(domains) <= MAX_DOMAINS
    return Author(domains[:MAX_DOMAINS], "behind From stands a line that is no field", complete)


def _is_elsewhere(header: Header, block: bytes) -> bool:
    """Whether a second From stands where we see no field: behind a line that is none, or after a bare CR or LF."""
    if not block:
        return any(_FROM_WITHIN.search(field.value) is not None for field in header.fields)
    end, _ = find_body(block)
    return count_authors(block[:end]) > 1


def count_authors(block: bytes) -> int:
    """How many From fields somebody may see in a header as it came: also behind lines that are no fields, and where
    octets that cannot be seen stand in the name, for readers who pass them over.
    """
    seen = block.translate(None, _UNSEEN).replace(_NO_BREAK_SPACE, b"")
    return max(_count(block), _count(seen) if len(seen) != len(block) else 0)


def _count(block: bytes) -> int:
    lines = b"\n" + block.lower().replace(b"\r", b"\n")
    return sum([1 for _ in _LOWERED_FROM.finditer(lines)])


def _read_value(text: str) -> Author:
    plain = _PLAIN.fullmatch(text.strip(" \t")) if len(text) <= MAX_VALUE else None
    if plain is not None:
        return Author(((plain["angle"] or plain["bare"]).lower(),))
    named, seen, fault = _read_closely(text)
    domains = _each_once(domain for domain in (*named, *seen) if domain)
    if not fault and len(domains) > MAX_DOMAINS:
        fault = f"From names more than {MAX_DOMAINS} domains"
    complete = len(text) <= MAX_VALUE and len(domains) <= MAX_DOMAINS and len(seen) < _MAX_SEEN
    return Author(domains[:MAX_DOMAINS], fault, complete)


def _read_closely(text: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Anything but the usual: the domains that the grammar gives, those that others might see, and what is wrong."""
    if len(text) > MAX_VALUE:
        return (), _domains_in(_AT, text[:MAX_VALUE]), f"From is longer than {MAX_VALUE} characters"
    flat = text.replace("\r\n", "")
    seen = _domains_in(_AT, _without_comments(_QUOTED.sub('""', flat)))
    mailboxes = read_mailboxes(flat.strip())
    addresses = [each for each in mailboxes if each is not None]
    named = _each_once(each.domain for each in addresses if not each.domain.startswith("["))
    if _CONTROL.search(text):
        return named, seen, "From has a control character"
    if not mailboxes:
        return named, seen, "From names no author"
    if None in mailboxes:
        return named, (*seen, *_domains_in(_AT, flat)), "From is malformed"
    if any(each.domain.startswith("[") for each in addresses):
        return named, seen, "From has an address literal in place of a domain"
    if any(_ODD_LOCAL.search(each.local) for each in addresses):
        return named, seen, "From has an address that can be read in more than one way"
    if len(seen) >= _MAX_SEEN or not set(seen) <= set(named):
        return named, seen, "From can be read in more than one way"
    if not _hidden_domains(flat) <= set(named):
        return named, seen, "From hides another address in its display name"
    return named, seen, ""


def _hidden_domains(text: str) -> set[str]:
    """The domains of addresses that a reader finds who looks for brackets first, or decodes first and takes the
    field apart afterwards. A mere address in a display name is no such thing (RFC 9989 §11.4).
    """
    hidden: set[str] = set()

    def show(word: re.Match[str]) -> str:
        shown = read_encoded_word(word[0])
        if "@" in shown and _TAKEN_APART.search(shown):
            hidden.update(_domains_in(_AT, shown))
        return shown

    shown = _ENCODED_WORD.sub(show, text.replace("\\", ""))
    return hidden | set(_domains_in(_HIDDEN_ADDRESS, shown))


def _without_comments(text: str) -> str:
    """The text without its comments, the innermost first; what is nested deeper stays and is looked at."""
    for _ in range(_MAX_NESTING):
        text, count = _COMMENT.subn(" ", text)
        if not count:
            break
    return text


def read_encoded_word(word: str) -> str:
    """What an encoded word says (RFC 2047 §2), by ASCII where its charset is unknown, as many readers have it; the word
    itself where it says nothing.
    """
    try:
        (octets, charset), *_ = decode_header(word)
        if isinstance(octets, str):
            return octets
        try:
            return str(octets, charset or "ascii", "replace")
        except LookupError:
            return str(octets, "ascii", "replace")
    except (HeaderParseError, ValueError):
        return word


def _domains_in(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """The domains that the pattern finds, _MAX_SEEN at most; ``""`` for one that cannot be written."""
    return tuple(_written(found[1]) for found in islice(pattern.finditer(text), _MAX_SEEN))


def _written(text: str) -> str:
    text = text.strip(".")
    try:
        return normalise_domain(text)
    except ValueError:
        lowered = text.lower()
        return lowered if _HOST.fullmatch(lowered) and len(lowered) <= 253 else ""


def _each_once(domains: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(domains))
