"""Changes zones by signed updates: single records, all of a call or nothing, safe beside others (RFC 2136)."""

from collections.abc import Sequence

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.update

from postroom.config.publishing import ZoneSettings
from postroom.dns.primary import TIMEOUT, Addresses, Primary, Standing
from postroom.dns.record import PublishFailed, ZoneRecord, txt_data
from postroom.dns.resolver import plain_name
from postroom.mail.value import value

ROUNDS = 4
"""How often a change is tried that others keep overtaking."""

MOST = 500
"""Records of one change."""

_Set = tuple[dns.name.Name, dns.rdatatype.RdataType]
_CNAME = dns.rdatatype.CNAME


@value(frozen=True, slots=True)
class _Step:
    """What is to become of the records of one type at one name."""

    add: tuple[dns.rdata.Rdata, ...]
    remove: tuple[dns.rdata.Rdata, ...]
    ttl: int


class ZoneUpdater:
    """The zones of the settings. See ``postroom.mailauth.publishing.Publisher``.

    What stands there is read from the primary first and then named as prerequisite (RFC 2136 §2.4.2): where somebody
    else was faster, the change is made anew. A record set that has others' records keeps them, and its TTL.
    """

    def __init__(self, zones: Sequence[ZoneSettings], resolver: Addresses, *, seconds: float = TIMEOUT) -> None:
        self._primaries = {zone.name: Primary(zone, resolver, seconds=seconds) for zone in zones}

    def covers(self, name: str) -> bool:
        """Whether a zone with this name is ours to change."""
        return bool(self.zone_of(name))

    def zone_of(self, name: str) -> str:
        """The zone of the settings that a name is in, ``""`` for none: the longest that fits."""
        rest = plain_name(name)
        while rest:
            if rest in self._primaries:
                return rest
            rest = rest.partition(".")[2]
        return ""

    async def current(self, name: str, kind: str) -> tuple[ZoneRecord, ...]:
        """The records of one type that stand at a name, or its CNAME. Raises PublishFailed."""
        primary = self._primary_of([name])
        standing = await primary.standing(_name(name), _kind(kind))
        if standing.alias:
            return (ZoneRecord(plain_name(name), "CNAME", standing.alias, standing.ttl),)
        return tuple([ZoneRecord(plain_name(name), kind, _shown(each), standing.ttl) for each in standing.records])

    async def change(self, add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord] = ()) -> None:
        """Add and remove single records, of one zone. Raises PublishFailed."""
        if not add and not remove:
            return
        if len(add) + len(remove) > MOST:
            raise PublishFailed(f"more than {MOST} records in one change: make it in parts")
        primary = self._primary_of([record.name for record in (*add, *remove)])
        steps = _steps(add, remove)
        for _ in range(ROUNDS):
            message = dns.update.UpdateMessage(primary.origin)
            if not await self._compose(primary, steps, message):
                return
            code = await primary.update(message)
            if code == dns.rcode.NOERROR:
                return
            if code == dns.rcode.YXDOMAIN:
                raise PublishFailed(
                    "other records stand at a name that is to become an alias (CNAME): remove them there first"
                )
        name = primary.settings.name
        raise PublishFailed(f"zone {name} is changed by others again and again: try again later")

    def _primary_of(self, names: Sequence[str]) -> Primary:
        zones = {self.zone_of(name): name for name in names}
        if "" in zones:
            raise PublishFailed(f"no [[zone]] of the settings has {zones['']}: add it, or publish by hand")
        if len(zones) > 1:
            raise PublishFailed(f"one change in several zones ({', '.join(sorted(zones))}): make one for each")
        return self._primaries[next(iter(zones))]

    async def _compose(self, primary: Primary, steps: dict[_Set, _Step], message: dns.update.UpdateMessage) -> bool:
        """Put what is still to be done into the update; False where nothing is."""
        something = False
        for (name, kind), step in steps.items():
            standing = await primary.standing(name, kind)
            known = {_meaning(record): record for record in standing.records}
            remove = [known[_meaning(record)] for record in step.remove if _meaning(record) in known]
            add = [record for record in step.add if _meaning(record) not in known]
            if not add and not remove:
                continue
            something = True
            if add and standing.alias:
                # RFC 2136 §3.4.2.2: the server would ignore it without a word
                raise PublishFailed(
                    f"{plain_name(name.to_text())} is an alias of {plain_name(standing.alias)}: "
                    f"remove that CNAME, or publish the {kind.name} record at its target"
                )
            _require(message, name, kind, standing, adds=bool(add))
            for record in remove:
                message.delete(name, record)
            ttl = standing.ttl if len(standing.records) > len(remove) else min(step.ttl, int(primary.settings.ttl))
            for record in add:
                message.add(name, ttl, record)
        return something


def _require(
    message: dns.update.UpdateMessage,
    name: dns.name.Name,
    kind: dns.rdatatype.RdataType,
    standing: Standing,
    *,
    adds: bool,
) -> None:
    """The record set is as it was read (RFC 2136 §2.4.2, §2.4.3), and no alias makes the server ignore an addition."""
    if standing.records:
        for record in standing.records:
            message.present(name, record)
    elif kind == _CNAME:
        message.absent(name)
    else:
        message.absent(name, kind)
    if adds and kind != _CNAME:
        message.absent(name, _CNAME)


def _steps(add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord]) -> dict[_Set, _Step]:
    steps: dict[_Set, _Step] = {}
    for records, adds in ((remove, False), (add, True)):
        for record in records:
            at = (_name(record.name), _kind(record.kind))
            data = _rdata(at[1], record)
            step = steps.get(at, _Step((), (), 0))
            if adds:
                # what is both removed and added stays
                gone = tuple([each for each in step.remove if _meaning(each) != _meaning(data)])
                steps[at] = _Step((*step.add, data), gone, record.ttl)
            else:
                steps[at] = _Step(step.add, (*step.remove, data), step.ttl)
    return steps


def _name(name: str) -> dns.name.Name:
    try:
        return dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise PublishFailed(f"{name[:80]!r} is no name of the DNS: {error}") from error


def _kind(kind: str) -> dns.rdatatype.RdataType:
    try:
        return dns.rdatatype.from_text(kind)
    except dns.exception.DNSException as error:
        raise PublishFailed(f"{kind[:20]!r} is no type of record") from error


def _rdata(kind: dns.rdatatype.RdataType, record: ZoneRecord) -> dns.rdata.Rdata:
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, kind, record.data, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        what = f"{record.name} {record.kind}: {record.data[:80]!r} is no data of that type: {error}"
        raise PublishFailed(what) from error


def _meaning(record: dns.rdata.Rdata) -> bytes:
    """What makes two records the same: of TXT what they say, however it is cut into strings."""
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(record.strings)
    return bytes(record.to_digestable(dns.name.root))


def _shown(record: dns.rdata.Rdata) -> str:
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return txt_data(b"".join(record.strings).decode("utf-8", "replace"))
    return record.to_text()
