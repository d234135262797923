"""Answers from a zone in memory, for tests and demos; failures are fields."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from postroom.dns.resolver import (
    Answer,
    CaaRecord,
    Existence,
    Family,
    MxRecord,
    SrvRecord,
    TlsaRecord,
    plain_name,
    reverse_name,
)
from postroom.mail.trouble import ResolverUnavailable

Record = TypeVar("Record")

MAX_CHAIN = 8  # CNAMEs followed; real resolvers give up at about this many

_TYPES = frozenset({"A", "AAAA", "MX", "TXT", "PTR", "CNAME", "TLSA", "SRV", "NS", "CAA"})
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|;.*|[^\s";]+')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Found:
    """What a zone has for a question: the texts of the records, the name they stand at, and the CNAMEs on the way."""

    texts: tuple[str, ...]
    existence: Existence
    name: str
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Zone:
    """Records by name and type as text in the form of zone files, host names absolute with or without a final dot.

    ``servfail`` and ``silent`` are names for which the server fails or does not answer at all; ``secure`` are names
    whose records are signed, so that answers from them alone carry the AD bit; ``bogus`` are names whose signatures are
    broken: the server fails for them unless DNSSEC is left unchecked; ``asked`` holds the last questions as
    ``(type, name)``.
    """

    records: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    ttl: int = 300
    negative_ttl: int = 60
    servfail: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    secure: set[str] = field(default_factory=set)
    bogus: set[str] = field(default_factory=set)
    asked: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=1000))

    @classmethod
    def of(cls, records: Mapping[str, Mapping[str, Iterable[str]]]) -> "Zone":
        """A zone from ``{"example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 -all"]}}``."""
        zone = cls()
        for name, types in records.items():
            for kind, texts in types.items():
                for text in texts:
                    zone.add(name, kind, text)
        return zone

    @classmethod
    def parse(cls, text: str) -> "Zone":
        """A zone from lines of ``name [ttl] [IN] type data``; ``;`` begins a comment, ``$TTL n`` sets the zone's TTL.

        Every name is absolute, one record a line. ValueError, with the line's number, for anything else.
        """
        zone = cls()
        for number, line in enumerate(text.splitlines(), 1):
            tokens = [token for token in _TOKEN.findall(line) if not token.startswith(";")]
            if not tokens:
                continue
            try:
                zone._read(tokens)
            except (ValueError, IndexError) as error:
                raise ValueError(f"line {number}: {line.strip()!r} is not a record: {error}") from error
        return zone

    def add(self, name: str, kind: str, text: str) -> None:
        """One more record."""
        kind = kind.upper()
        if kind not in _TYPES:
            raise ValueError(f"the type {kind!r} is not one of {', '.join(sorted(_TYPES))}")
        types = self.records.setdefault(plain_name(name), {})
        types[kind] = (*types.get(kind, ()), text)

    def find(self, kind: str, name: str) -> Found:
        """The records of a type at a name, CNAMEs followed (RFC 1034 §4.3.2). ResolverUnavailable for a failure."""
        name = plain_name(name)
        self.asked.append((kind, name))
        aliases: list[tuple[str, str]] = []
        for _ in range(MAX_CHAIN):
            if name in self.silent:
                raise ResolverUnavailable(f"no answer for {name} {kind}: timed out")
            if name in self.servfail or name in self.bogus:
                raise ResolverUnavailable(f"no answer for {name} {kind}: SERVFAIL")
            types = self._types_at(name)
            if types is None:
                return Found((), Existence.NO_SUCH_DOMAIN, name, tuple(aliases))
            texts = types.get(kind, ())
            if texts or "CNAME" not in types:
                return Found(texts, Existence.FOUND if texts else Existence.NO_DATA, name, tuple(aliases))
            target = plain_name(types["CNAME"][0])
            aliases.append((name, target))
            name = target
        raise ResolverUnavailable(f"no answer for {name} {kind}: too many CNAMEs")

    def vouches_for(self, found: Found) -> bool:
        """Whether every name on the way to the answer is secure (RFC 4035 §3.2.3)."""
        return all(name in self.secure for name in (found.name, *(alias for alias, _ in found.aliases)))

    def _types_at(self, name: str) -> Mapping[str, tuple[str, ...]] | None:
        types = self.records.get(name)
        if types is not None:
            return types
        if any(other.endswith("." + name) for other in self.records):
            return {}  # an empty non-terminal exists (RFC 8020 §2)
        parent = name
        while "." in parent:
            parent = parent.partition(".")[2]
            types = self.records.get("*." + parent)
            if types is not None:
                return types
        return None

    def _read(self, tokens: list[str]) -> None:
        if tokens[0].upper() == "$TTL":
            self.ttl = int(tokens[1])
            return
        name, *rest = tokens
        while rest and (rest[0].isdigit() or rest[0].upper() == "IN"):
            rest = rest[1:]
        if len(rest) < 2:
            raise ValueError("the type or the data is missing")
        self.add(name, rest[0], " ".join(rest[1:]))


class ZoneResolver:
    """A resolver that knows one zone and nothing else."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    async def mx(self, domain: str) -> Answer[MxRecord]:
        """The MX records, in the zone's order."""
        found = self.zone.find("MX", domain)
        return self._answer(found, tuple(_read_mx(text) for text in found.texts))

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        """The addresses of one family as text."""
        found = self.zone.find(family.value, host)
        return self._answer(found, found.texts)

    async def txt(self, name: str) -> Answer[bytes]:
        """The TXT records, the strings of each joined."""
        found = self.zone.find("TXT", name)
        return self._answer(found, tuple(b"".join(txt_strings(text)) for text in found.texts))

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """The TLSA records, in the zone's order."""
        found = self.zone.find("TLSA", name)
        return self._answer(found, tuple(_read_tlsa(text) for text in found.texts))

    async def cname(self, name: str) -> Answer[str]:
        """The name that ``name`` itself is an alias of."""
        found = self.zone.find("CNAME", name)
        return self._answer(found, tuple(plain_name(text) for text in found.texts))

    async def ptr(self, address: str) -> Answer[str]:
        """The names that an address points back to."""
        found = self.zone.find("PTR", reverse_name(address))
        return self._answer(found, tuple(plain_name(text) for text in found.texts))

    async def srv(self, name: str) -> Answer[SrvRecord]:
        """The SRV records, in the zone's order."""
        found = self.zone.find("SRV", name)
        return self._answer(found, tuple(_read_srv(text) for text in found.texts))

    async def caa(self, name: str) -> Answer[CaaRecord]:
        """The CAA records at the name itself."""
        found = self.zone.find("CAA", name)
        return self._answer(found, tuple(_read_caa(text) for text in found.texts))

    async def ns(self, name: str) -> Answer[str]:
        """The name servers of a zone."""
        found = self.zone.find("NS", name)
        return self._answer(found, tuple(plain_name(text) for text in found.texts))

    async def answers_unchecked(self, name: str) -> bool:
        """Whether there is an answer once DNSSEC is left unchecked."""
        name = plain_name(name)
        return name not in self.zone.silent and name not in self.zone.servfail

    def _answer(self, found: Found, records: tuple[Record, ...]) -> Answer[Record]:
        ttl = self.zone.ttl if found.existence is Existence.FOUND else self.zone.negative_ttl
        return Answer(records, float(ttl), self.zone.vouches_for(found), found.existence, found.name)


def txt_strings(text: str) -> tuple[bytes, ...]:
    """The strings of a TXT record: the quoted ones, or the whole text where nothing is quoted."""
    if not text.startswith('"'):
        return (text.encode(),)
    return tuple(_ESCAPE.sub(r"\1", string).encode() for string in _STRING.findall(text))


def _read_tlsa(text: str) -> TlsaRecord:
    usage, selector, matching, data = text.split(maxsplit=3)
    return TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(data))


def _read_mx(text: str) -> MxRecord:
    preference, host = text.split()
    return MxRecord(int(preference), plain_name(host))


def _read_srv(text: str) -> SrvRecord:
    priority, weight, port, target = text.split()
    return SrvRecord(int(priority), int(weight), int(port), plain_name(target))


def _read_caa(text: str) -> CaaRecord:
    flags, tag, value = text.split(maxsplit=2)
    return CaaRecord(bool(int(flags) & 0x80), tag.lower(), b"".join(txt_strings(value)).decode())
