"""Reads a bounce that is only text, as programs without RFC 3464 write it: which addresses, given up or not, and why.

From the surest to the least sure: addresses in a list that a sentence announces; lines that say by themselves that an
address failed; lines that begin with an address; the only address there is. What is sure once is not added to by less.
"""

import re

from postroom.mail.bounces import wording
from postroom.mail.bounces.model import MAX_RECIPIENTS
from postroom.mail.phrases import Phrases, folded
from postroom.mail.value import value

MAX_LINES = 2000
MAX_LINE = 1000
_REASON = 800

_ADDRESS = re.compile(r"(?<![\w.+@-])[\w!#$%&'*+/=?^{|}~.-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_LABEL = re.compile(
    r"(?:(?:final|original|failed|intended|invalid|unknown|bad|undeliverable|your)[ -])?"
    r"(?:recipient|recipients|address|addressee|user|rcpt to|to|e-?mail|e-?mail address|mailbox|name|destination|"
    r"empfänger|an|destinataire|destinatario|destinatário|bestemming|收件人)(?:\(s\)|\(es\))?\s*[:：=]\s*",
    re.IGNORECASE,
)
_BULLET = " \t>*•·|-–+#=:'\"`“«([\u00a0\u3000"
_QUOTED_REPLY = re.compile(r"(?:<<<|>>>)?\s*\(?(?:reason:|smtp;)?\s*[45]\d\d[ -]", re.IGNORECASE)
_HEADER_LINE = re.compile(r"[> ]{0,4}(received|return-path|message-id|mime-version|x-mailer|content-type)\s*:", re.I)
_WORDS = Phrases((wording.FAILED, wording.DELAYED, wording.GIVEN_UP, wording.COPY_FOLLOWS))
_FAILED, _DELAYED, _GIVEN_UP, _COPY = range(4)


@value(frozen=True, slots=True)
class Notice:
    """What a text tells: addresses with the reason that stands beside each, ``""`` if none does, and whether the
    program will try again."""

    reasons: dict[str, str]
    delayed: bool


def read_notice(text: str, excluded: frozenset[str] = frozenset()) -> Notice:
    """The failed or delayed addresses of the text. ``excluded``: addresses in small letters that are not meant."""
    lines = [line[:MAX_LINE] for line in text.split("\n")[:MAX_LINES]]
    own = _own_words(lines)
    for part in (own, lines) if len(own) < len(lines) else (lines,):
        said = {place.group for line in part for place in _WORDS.places(folded(line))}
        said |= {place.group for place in _WORDS.places(folded("\n".join(part)))}
        for read in (_listed, _self_telling, _beginning, _only_one):
            found = read(part, excluded)
            if found and (read is not _only_one or _FAILED in said or _DELAYED in said):
                return Notice(found, _DELAYED in said and _GIVEN_UP not in said)
        if part is own and own is not lines and _FAILED not in said and _DELAYED not in said:
            continue
    return Notice({}, False)


def _own_words(lines: list[str]) -> list[str]:
    """The lines before the message that came back."""
    for number, line in enumerate(lines):
        if number and _HEADER_LINE.match(line) and any(_is_header(after) for after in lines[number + 1 : number + 4]):
            return lines[:number]
        if number and _is_heading(line):
            return lines[:number]
    return lines


def _is_header(line: str) -> bool:
    return re.match(r"[> ]{0,4}[A-Za-z][A-Za-z-]{1,40}:\s", line) is not None or line[:1] in {" ", "\t"}


def _is_heading(line: str) -> bool:
    """It announces the copy: short, and either ruled off or ending as a heading does."""
    stripped = line.strip()
    if not stripped or len(stripped) > 100 or "@" in stripped:
        return False
    if all(place.group != _COPY for place in _WORDS.places(folded(stripped))):
        return stripped.strip("-=_* ").lower() in _BARE_HEADINGS and stripped[0] in "-=_*"
    return stripped[0] in "-=_*[>" or stripped[-1] in ":.-=_*" or len(stripped) < 40


_BARE_HEADINGS = frozenset({"original message", "message header", "message headers", "returned message", "message"})


def _listed(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    """Addresses in the sentence that tells the failure, or at the start of lines after it, each with its reason."""
    found: dict[str, str] = {}
    announced = False
    current = ""
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        address, rest = _item(line, excluded)
        if announced and address:
            if len(found) >= MAX_RECIPIENTS:
                break
            current = address
            found.setdefault(address, rest)
            for more in _others_in_list(rest, excluded):
                found.setdefault(more, "")
            continue
        words = folded(line)
        tells = any(
            place.group in (_FAILED, _DELAYED) and place.start < len(words)
            for place in _WORDS.places(f"{words} {folded(after)}")
        )
        if tells and not _QUOTED_REPLY.match(line.strip()) and not (current and line[:1] in {" ", "\t"}):
            named = _addresses(line, excluded)
            if named and not announced:
                for one in named:
                    found.setdefault(one, line.strip())
                current = named[-1]
            announced = True
        elif current and line.strip():
            found[current] = f"{found[current]} {line.strip()}"[:_REASON]
    return found


def _self_telling(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    """Addresses in lines that tell the failure themselves: ``<user@example.org>: unknown``, ``550 no such user …``."""
    found: dict[str, str] = {}
    for line in lines:
        if "@" not in line:
            continue
        named = _addresses(line, excluded)
        tells = any(place.group == _FAILED for place in _WORDS.places(folded(line)))
        if named and (tells or _QUOTED_REPLY.match(line.strip())):
            found.setdefault(named[0], line.strip()[:_REASON])
        if len(found) >= MAX_RECIPIENTS:
            break
    return found


def _beginning(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        address, rest = _item(line, excluded)
        if address and len(found) < MAX_RECIPIENTS:
            found.setdefault(address, rest)
    return found


def _only_one(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    found = {address for line in lines if "@" in line for address in _addresses(line, excluded)}
    return {address: "" for address in found} if len(found) == 1 else {}


def _item(line: str, excluded: frozenset[str]) -> tuple[str, str]:
    """The address with which a line of a list begins, and what follows it; two empty texts if it begins otherwise."""
    if "@" not in line:
        return "", ""
    start = line.lstrip(_BULLET + "<")
    label = _LABEL.match(start)
    if label is not None:
        start = start[label.end() :].lstrip(_BULLET + "<")
    match = _ADDRESS.match(start)
    if match is None:
        return "", ""
    address = _trimmed(match[0])
    if _is_out(address, excluded):
        return "", ""
    return address, start[match.end() :].strip(" \t>)]:;,\"'")[:_REASON]


def _others_in_list(rest: str, excluded: frozenset[str]) -> list[str]:
    """More addresses on the line, where it is nothing but addresses."""
    named = _addresses(rest, excluded)
    left = rest
    for address in named:
        left = left.replace(address, "")
    return named if named and not re.search(r"\w", left) else []


def _addresses(text: str, excluded: frozenset[str]) -> list[str]:
    if "@" not in text:
        return []
    found = (_trimmed(match[0]) for match in _ADDRESS.finditer(text))
    return [address for address in dict.fromkeys(found) if not _is_out(address, excluded)]


def _trimmed(address: str) -> str:
    return address.strip("'*=/|.-")


def _is_out(address: str, excluded: frozenset[str]) -> bool:
    lowered = address.lower()
    return "@" not in address or lowered in excluded or lowered.partition("@")[0] in wording.MAIL_SYSTEMS
