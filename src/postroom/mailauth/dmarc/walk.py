"""The DNS tree walk: which records stand from a domain up, and which domain is the organization's (RFC 9989 §4.10)."""

from postroom.dns.resolver import Resolver
from postroom.mail.value import value
from postroom.mailauth.dmarc.record import Published, is_record, read_record

MAX_QUERIES = 8
"""Questions of one walk (RFC 9989 §4.10): the domain itself, then from seven labels down to one."""

_MAX_RECORDS = 100  # TXT records of one name that are looked at: a wildcard may have many, none of them of DMARC


@value(frozen=True, slots=True)
class Organization:
    """What a walk found: the organizational domain, and the record to be applied to the domain it began at.

    ``published`` is that of the domain itself, else of the organization, else of the public suffix (RFC 9989 §4.10.1);
    None where there is none.
    """

    domain: str
    published: Published | None


class TreeWalk:
    """Walks for one message; no name is asked about twice. Raises ResolverUnavailable where the DNS has no answer."""

    __slots__ = ("_found", "_resolver")

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._found: dict[str, Published | None] = {}

    async def at(self, domain: str) -> Published | None:
        """The record that is published for this very domain, None where there is none or are several."""
        if domain in self._found:
            return self._found[domain]
        answer = await self._resolver.txt(f"_dmarc.{domain}")
        records = [text for text in answer.records[:_MAX_RECORDS] if is_record(text)]
        # RFC 9989 §4.10 steps 2 and 6: several are as good as none.
        found = read_record(domain, records[0]) if len(records) == 1 else None
        self._found[domain] = found
        return found

    async def organization(self, domain: str) -> Organization:
        """Whose the domain is, and by which record (RFC 9989 §4.10.1, §4.10.2)."""
        found: list[Published] = []
        own = ""
        for name in targets(domain):
            published = await self.at(name)
            if published is None:
                continue
            found.append(published)
            if published.record.psd == "n":
                own = name
                break
            if published.record.psd == "y" and name != domain:
                own = _below(name, domain)
                break
            if published.record.psd == "y":  # the walk began at a public suffix: it stops (step 2)
                break
        if not own:
            own = found[-1].record.domain if found else domain
        by_name = {each.record.domain: each for each in found}
        applied = by_name.get(domain) or by_name.get(own)
        if applied is None and found and found[-1].record.psd == "y":
            applied = found[-1]
        return Organization(own, applied)


def targets(domain: str) -> list[str]:
    """The names that a walk asks about, in order (RFC 9989 §4.10 steps 1 to 7)."""
    labels = domain.split(".")
    rest = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1) :]
    return [domain, *(".".join(rest[at:]) for at in range(len(rest)))]


def _below(suffix: str, domain: str) -> str:
    """The domain one label below ``suffix`` on the way to ``domain``."""
    return domain.removesuffix("." + suffix).rpartition(".")[2] + "." + suffix
