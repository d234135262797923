"""The records as programs see them."""

from dataclasses import dataclass

from postroom.admin.dnsrecords.model import Published


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record. ``data`` is as in a zone file, ``text`` what a TXT record says; ``zone`` whose zone it belongs in.

    ``way`` is paste, fill (a part is not known), ask (for others to publish) or choose.
    """

    name: str
    kind: str
    data: str
    text: str
    ttl: int
    purpose: str
    why: str
    zone: str
    way: str


@dataclass(frozen=True, slots=True)
class PublishedView:
    """What a domain should publish. ``policy`` is that of MTA-STS, ``""`` for none."""

    domain: str
    hostname: str
    records: tuple[RecordView, ...]
    notes: tuple[str, ...]
    policy: str


def view(published: Published) -> PublishedView:
    """All of it."""
    records = [
        RecordView(
            name=each.record.name,
            kind=each.record.kind,
            data=each.record.data,
            text=each.text,
            ttl=each.record.ttl,
            purpose=each.purpose.value,
            why=each.why,
            zone=each.zone,
            way=each.way.value,
        )
        for each in published.records
    ]
    return PublishedView(published.domain, published.hostname, tuple(records), published.notes, published.policy)
