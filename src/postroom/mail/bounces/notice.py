"""Reads a bounce that is only text, as programs without RFC 3464 write it: which addresses, given up or not, and why.

From the surest to the least sure: addresses in a list that a sentence announces; lines that say by themselves that an
address failed; lines that begin with an address; the only address there is. What is sure once is not added to by less.
"""

import re

from postroom.mail.address import Address
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
    r"(?:recipient|recipients|recipient address|address|addressee|user|rcpt to|to|e-?mail|e-?mail address|mailbox|name|"
    r"destination|error-for|empfänger|an|destinataire|destinatario|destinatário|bestemming|收件人)(?:\(s\)|\(es\))?\s*[:：=]\s*",
    re.IGNORECASE,
)
_BULLET = " \t>*•·|-–+#=:'\"`“«([\u00a0\u3000"
_X400 = re.compile(r"\W{0,4}[a-z]{1,4}=[^@]{0,200}?\bsmtp[=:]\s*", re.IGNORECASE)
"""What stands before the address in the form of Exchange's X.400 days: ``c=US;a= ;p=Org;o=Site;dda:SMTP=``."""

_BARE_NAME = re.compile(r"[ \t]+([\w.+-]{1,64})[ \t]*")
_EARLIER = re.compile(
    r"(?:expanded|generated|forwarded|redirected|aliased) from:? *<?([^\s<>()]{3,320})", re.IGNORECASE
)
_NOT_TO = re.compile(
    r"(?:(?<!generated )(?<!expanded )\b(?:from|sender|contact|by|von|de la part de)|mailto):?[ \t<\"']*\Z",
    re.IGNORECASE,
)
"""Before an address: it is not the one that was written to."""

_GOES_ON = re.compile(r"[^@:]{0,80}@[\w.-]{1,255} [a-z]")
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


def read_notice(text: str, excluded: frozenset[str] = frozenset(), domain: str = "") -> Notice:
    """The failed or delayed addresses of the text.

    ``excluded``: addresses in small letters that are not meant. ``domain``: the writer's, for names without one.
    """
    lines = [line[:MAX_LINE] for line in text.split("\n")[:MAX_LINES]]
    own = _own_words(lines)
    for part in (own, lines) if len(own) < len(lines) else (lines,):
        said = {place.group for place in _WORDS.places(folded("\n".join(part)))}
        found = (
            _listed(part, excluded)
            or _self_telling(part, excluded)
            or _beginning(part, excluded)
            or (_only_one(part, excluded) or _bare(part, domain) if said & {_FAILED, _DELAYED} else {})
        )
        if found:
            return Notice(found, _DELAYED in said and _GIVEN_UP not in said)
    return Notice({}, False)


def earlier_address(reason: str) -> str:
    """The address that was written to, where the reason says from which one the failed address was made."""
    match = _EARLIER.search(reason)
    return _trimmed(match[1]) if match is not None and "@" in match[1] else ""


def later_address(address: str, reason: str) -> str:
    """The address that it became: the only other one that the reason speaks of."""
    others = [other for other in _addresses(reason, frozenset()) if other.lower() != address.lower()]
    return others[0] if len(others) == 1 else address


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
    return stripped[0] in "-=_*[" or stripped[-1] in ":-=_*" or stripped.lower().rstrip(".").endswith(_FOLLOWS)


_FOLLOWS = ("follows", "below")
_BARE_HEADINGS = frozenset({"original message", "message header", "message headers", "returned message", "message"})


def _listed(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    """Addresses in the sentence that tells the failure, or at the start of lines after it, each with its reason."""
    found: dict[str, str] = {}
    announced = False
    current = ""
    for number, line in enumerate(lines):
        if len(found) >= MAX_RECIPIENTS:
            break
        address, rest = _item_at(lines, number, excluded) if announced else ("", "")
        if address:
            current = address
            _tell(found, address, rest)
            for more in _others_in_list(rest, excluded):
                found.setdefault(more, "")
        elif current:
            _tell(found, current, line)
        elif not announced and _announces(line, lines[number + 1] if number + 1 < len(lines) else ""):
            announced = True
            for named in _addresses(line, excluded):
                found.setdefault(named, line.strip())
                current = named
    return found


def _tell(found: dict[str, str], address: str, reason: str) -> None:
    """Add a line to what is said of the address."""
    found[address] = f"{found.get(address, '')} {reason.strip()}".strip()[:_REASON]


def _announces(line: str, after: str) -> bool:
    """The line tells of a failure or delay, in words that may run over into the next line."""
    if _QUOTED_REPLY.match(line.strip()):
        return False
    words = folded(line)
    return any(
        place.group in (_FAILED, _DELAYED) and place.start < len(words)
        for place in _WORDS.places(f"{words} {folded(after)}")
    )


def _self_telling(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    """Addresses in lines that tell the failure themselves: ``<user@example.org>: unknown``, ``550 no such user …``."""
    found: dict[str, str] = {}
    current = ""
    for line in lines:
        named = _addresses(line, excluded)
        if named and (_QUOTED_REPLY.match(line.strip()) or _tells(line)):
            if named[0] not in found and len(found) >= MAX_RECIPIENTS:
                break
            current = named[0]
        if current:
            _tell(found, current, line)
    return found


def _tells(line: str) -> bool:
    return any(place.group == _FAILED for place in _WORDS.places(folded(line)))


def _beginning(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    current = ""
    for number, line in enumerate(lines):
        address, rest = _item_at(lines, number, excluded)
        if address:
            if address not in found and len(found) >= MAX_RECIPIENTS:
                break
            current = address
        if current:
            _tell(found, current, rest if address else line)
    return found


def _only_one(lines: list[str], excluded: frozenset[str]) -> dict[str, str]:
    found = {address for line in lines if "@" in line for address in _addresses(line, excluded)}
    return dict.fromkeys(found, "") if len(found) == 1 else {}


def _bare(lines: list[str], domain: str) -> dict[str, str]:
    """Names without a domain in a list that a sentence announces: they are of the writer's own domain."""
    found: dict[str, str] = {}
    announced = False
    for line in lines:
        name = _BARE_NAME.fullmatch(line)
        if announced and name is not None and domain and len(found) < MAX_RECIPIENTS:
            found.setdefault(f"{name[1]}@{domain}", "")
        announced = announced or any(place.group in (_FAILED, _DELAYED) for place in _WORDS.places(folded(line)))
    return found


def _item(line: str, excluded: frozenset[str]) -> tuple[str, str]:
    """The address with which a line of a list begins, and what follows it; two empty texts if it begins otherwise."""
    if "@" not in line:
        return "", ""
    start = line.lstrip(_BULLET + "<")
    label = _LABEL.match(start) or _X400.match(start)
    if label is not None:
        start = start[label.end() :].lstrip(_BULLET + "<")
    if start[:5].lower() == "smtp:":
        start = start[5:]
    match = _ADDRESS.match(start)
    if match is None:
        return "", ""
    address = _trimmed(match[0])
    if _is_out(address, excluded):
        return "", ""
    return address, start[match.end() :].strip(" \t>)]:;,\"'")[:_REASON]


def _item_at(lines: list[str], number: int, excluded: frozenset[str]) -> tuple[str, str]:
    """The same, unless the line begins with an address only because a sentence was wrapped there."""
    line = lines[number]
    if number and "@" in line and lines[number - 1].strip()[-1:] not in {"", ":"} and _GOES_ON.match(line):
        return "", ""
    return _item(line, excluded)


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
    found = (_trimmed(match[0]) for match in _ADDRESS.finditer(text) if not _NOT_TO.search(text, 0, match.start()))
    return [address for address in dict.fromkeys(found) if not _is_out(address, excluded)]


def _trimmed(address: str) -> str:
    address = address.strip("'*=/|.-")
    return address[5:] if address[:5].lower() == "smtp=" else address


def _is_out(address: str, excluded: frozenset[str]) -> bool:
    """Not one that can have failed: nobody can write to it, or it is the reporter's or the sender's."""
    lowered = address.lower()
    if lowered in excluded or lowered.partition("@")[0] in _NEVER_MEANT:
        return True
    try:
        Address.parse(address)
    except ValueError:
        return True
    return False


_NEVER_MEANT = frozenset({"mailer-daemon", "postmaster", "maildaemon"})
