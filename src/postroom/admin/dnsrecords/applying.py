"""Brings a zone to what it should be: adds what is missing, replaces what is ours, leaves others' records alone."""

from collections.abc import Sequence
from typing import Protocol

from postroom.admin.dnsrecords.model import Desired, Published, Purpose, Way
from postroom.dns.record import ZoneRecord, txt_text
from postroom.mail.value import value

_VERSIONS = {
    Purpose.SPF: "v=spf1",
    Purpose.DMARC: "v=dmarc1",
    Purpose.MTA_STS: "v=stsv1",
    Purpose.TLSRPT: "v=tlsrptv1",
}
_BESIDE_CNAME = ("A", "AAAA", "TXT", "MX", "SRV")
"""Types that are looked for where an alias is to stand: it stands alone (RFC 1034 §3.6.2)."""


class ZoneEditor(Protocol):
    """Zones that we may change. All but ``zone_of`` raise PublishFailed."""

    def zone_of(self, name: str) -> str:
        """The zone of ours that a name is in, ``""`` for none."""
        ...

    async def current(self, name: str, kind: str) -> Sequence[ZoneRecord]:
        """The records of one type that stand at a name, or its CNAME."""
        ...

    async def change(self, add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord] = ()) -> None:
        """One update: all of it or nothing."""
        ...


@value(frozen=True, slots=True)
class Left:
    """A record that is not put there, and why."""

    record: ZoneRecord
    why: str


@value(frozen=True, slots=True)
class Change:
    """What is to be done in one zone, in one update."""

    zone: str
    add: tuple[ZoneRecord, ...]
    remove: tuple[ZoneRecord, ...]


@value(frozen=True, slots=True)
class Plan:
    """What is to be done, and what is not."""

    changes: tuple[Change, ...]
    left: tuple[Left, ...]


async def plan(published: Published, editor: ZoneEditor, *, replace: bool) -> Plan:
    """Compare with what the zones say now. ``replace``: also others' records that stand in the place of ours.

    Raises PublishFailed.
    """
    left: list[Left] = []
    add: dict[str, list[ZoneRecord]] = {}
    remove: dict[str, list[ZoneRecord]] = {}
    for group in _groups(published.records):
        zone = editor.zone_of(group[0].record.name)
        if group[0].way is Way.CHOOSE:
            continue
        if group[0].way is Way.FILL:
            left.append(Left(group[0].record, "the address is not known: set [publish] public_addresses"))
            continue
        if not zone:
            if group[0].way is Way.PASTE:
                left += [Left(each.record, "no [[zone]] of the settings has it") for each in group]
            continue
        more, less, why = await _compare(group, editor, replace=replace)
        add.setdefault(zone, []).extend(more)
        remove.setdefault(zone, []).extend(less)
        left += [Left(each.record, why) for each in group if why]
    changes = [Change(zone, tuple(add[zone]), tuple(remove[zone])) for zone in add if add[zone] or remove[zone]]
    return Plan(tuple(changes), tuple(left))


async def apply(planned: Plan, editor: ZoneEditor) -> None:
    """Do it, zone by zone. Raises PublishFailed; the zones before the one that fails are changed then."""
    for change in planned.changes:
        await editor.change(change.add, change.remove)


def is_ours(desired: Desired, standing: ZoneRecord) -> bool:
    """Whether a record that stands there can be but one of ours, so that it may be replaced without asking.

    A selector is ours, and so are the policy's id and keys of our host's certificates. What an SPF, DMARC, TLSRPT, MX,
    SRV or address record says may be an operator's decision.
    """
    match desired.purpose:
        case Purpose.DKIM:
            return True
        case Purpose.MTA_STS:
            return standing.kind == "TXT" and _is_version(desired.purpose, standing)
        case Purpose.TLSA:
            return standing.data.split()[:3] == ["3", "1", "1"]
        case _:
            return False


def meaning(record: ZoneRecord) -> str:
    """What makes two records of one name and type the same."""
    if record.kind == "TXT":
        return txt_text(record.data)
    words = record.data.lower().split()
    if record.kind == "TLSA":
        return " ".join([*words[:3], "".join(words[3:])])
    return " ".join(words)


async def _compare(
    group: Sequence[Desired], editor: ZoneEditor, *, replace: bool
) -> tuple[list[ZoneRecord], list[ZoneRecord], str]:
    """What to add, what to remove, and why nothing of it, for the records of one type and purpose at one name."""
    first = group[0]
    name, kind = first.record.name, first.record.kind
    standing = await editor.current(name, kind)
    alias = next((each for each in standing if each.kind == "CNAME"), None)
    if alias is not None and kind != "CNAME":
        return [], [], f"{name} is an alias of {alias.data}: no other record can stand beside it"
    known = {meaning(each) for each in standing}
    wanted = {meaning(each.record) for each in group}
    missing = [each.record for each in group if meaning(each.record) not in known]
    stale = [each for each in standing if meaning(each) not in wanted]
    ours = [each for each in stale if is_ours(first, each)]
    rivals = [each for each in stale if each not in ours and _is_rival(first, each)]
    if missing and kind == "CNAME" and not standing and await _is_taken(name, editor):
        return [], [], f"{name} has records of its own: remove them, if it is to be an alias"
    if missing and rivals and not replace:
        shown = "; ".join(each.data for each in rivals[:3])
        return [], [], f"{shown} stands there: compare them, then use --replace"
    return missing, ours + (rivals if replace and missing else []), ""


def _is_rival(desired: Desired, standing: ZoneRecord) -> bool:
    """Whether it takes the place of ours: of TXT the ones for the same purpose alone."""
    return standing.kind != "TXT" or _is_version(desired.purpose, standing)


def _is_version(purpose: Purpose, record: ZoneRecord) -> bool:
    version = _VERSIONS.get(purpose)
    return version is not None and txt_text(record.data).lower().lstrip().startswith(version)


async def _is_taken(name: str, editor: ZoneEditor) -> bool:
    for kind in _BESIDE_CNAME:
        if await editor.current(name, kind):
            return True
    return False


def _groups(records: Sequence[Desired]) -> list[list[Desired]]:
    groups: dict[tuple[str, str, Purpose, Way], list[Desired]] = {}
    for each in records:
        groups.setdefault((each.record.name, each.record.kind, each.purpose, each.way), []).append(each)
    return list(groups.values())
