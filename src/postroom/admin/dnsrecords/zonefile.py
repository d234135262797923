"""Writes the records as a zone file that can be pasted (RFC 1035 §5): comments say what each is for."""

from collections.abc import Iterable, Iterator

from postroom.admin.dnsrecords.model import Desired, Published, Way
from postroom.dns.record import ZoneRecord

_TITLES = {
    Way.FILL: "not known here: write the public address in place of ADDRESS",
    Way.ASK: "for others to publish",
    Way.CHOOSE: "as you like",
}


def zone_file(published: Published) -> str:
    """The whole text. What cannot be pasted as it is stands in comments."""
    domain, hostname = published.domain, published.hostname
    lines = [f"; What {domain} should publish for its mail to come to {hostname}, and to arrive elsewhere."]
    pasted = [each for each in published.records if each.way is Way.PASTE]
    for zone in dict.fromkeys([_zone_of(each, domain) for each in pasted]):
        lines += ["", f"; ---- in the zone that {zone} is in"]
        lines += _block([each for each in pasted if _zone_of(each, domain) == zone])
    for way, title in _TITLES.items():
        others = [each for each in published.records if each.way is way]
        if others:
            lines += ["", f"; ---- {title}"]
            lines += _block(others, comment="; ")
    if published.notes:
        lines += ["", "; ---- mind", *(f"; {note}" for note in published.notes)]
    if published.policy:
        lines += ["", f"; ---- the policy at https://mta-sts.{domain}/.well-known/mta-sts.txt"]
        lines += [f"; {line}" for line in published.policy.splitlines()]
    return "\n".join(lines) + "\n"


def zone_line(record: ZoneRecord) -> str:
    """One record."""
    return f"{record.name}. {record.ttl} IN {record.kind} {record.data}"


def _zone_of(desired: Desired, domain: str) -> str:
    """A host below the domain stands in the domain's zone, as far as anybody knows."""
    return domain if desired.zone == domain or desired.zone.endswith(f".{domain}") else desired.zone


def _block(records: Iterable[Desired], comment: str = "") -> Iterator[str]:
    why = ""
    for each in records:
        if each.why != why:
            yield f"; {each.why}"
            why = each.why
        yield comment + zone_line(each.record)
