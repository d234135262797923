"""Where the reports on a domain may be sent: as its record asks, and as those agree who are not of it (RFC 9990 §4)."""

from collections.abc import Sequence
from urllib.parse import unquote

from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.mailauth.dmarc.record import read_record
from postroom.mailauth.dmarc.walk import TreeWalk

MAX_DESTINATIONS = 5
"""Addresses of one record that get reports; each may cost questions to the DNS, and a mail."""

_MAX_NAME = 253  # octets of a name in text (RFC 1035 §3.1)
_MAX_RECORDS = 20  # TXT records of one name that are looked at


@value(frozen=True, slots=True)
class Destinations:
    """``wanted``: anybody asks for reports at all. ``faults`` say of the others why they get none, for the domain's
    owner; ``unsure``: the DNS had no answer for some of them.
    """

    wanted: bool
    addresses: tuple[Address, ...] = ()
    faults: tuple[str, ...] = ()
    unsure: bool = False


async def find_destinations(resolver: Resolver, domain: str) -> Destinations:
    """What the record at a policy domain says now. Raises ResolverUnavailable where it cannot be had."""
    walk = TreeWalk(resolver)
    published = await walk.at(domain)
    if published is None or published.fault or not published.record.aggregate:
        return Destinations(wanted=False)
    uris = published.record.aggregate
    faults = [f"rua: only the first {MAX_DESTINATIONS} URIs are used"] if len(uris) > MAX_DESTINATIONS else []
    own = (await walk.organization(domain)).domain
    found: dict[Address, None] = {}
    unsure = False
    for uri in uris[:MAX_DESTINATIONS]:
        address = read_mailto(uri)
        if address is None:
            faults.append(f"rua: not used: {_cut(uri)}")
            continue
        try:
            addresses = await _authorized(resolver, walk, domain, own, address)
        except ResolverUnavailable:
            unsure = True
            continue
        if not addresses:
            faults.append(f"rua: {address.domain} does not accept reports on {domain}")
        found.update(dict.fromkeys(addresses))
    return Destinations(True, tuple(found)[:MAX_DESTINATIONS], tuple(faults), unsure)


def read_mailto(uri: str) -> Address | None:
    """The address of a ``mailto:`` URI that we can write to; None for anything else (RFC 6068 §2)."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return None
    try:
        address = Address.parse(unquote(rest.partition("?")[0], errors="strict"))
    except ValueError:
        return None
    return None if address.needs_smtputf8 or address.domain[:1] in {"", "["} else address


async def _authorized(
    resolver: Resolver, walk: TreeWalk, domain: str, own: str, address: Address
) -> tuple[Address, ...]:
    """The addresses that take the place of ``address``, most often itself; none where nobody agreed to it."""
    host = address.domain
    if (await walk.organization(host)).domain == own:
        return (address,)
    name = f"{domain}._report._dmarc.{host}"  # RFC 9990 §4 steps 2 and 3
    if len(name) > _MAX_NAME:  # step 4
        return ()
    answer = await resolver.txt(name)
    records = [read_record(domain, text) for text in answer.records[:_MAX_RECORDS]]  # steps 6 and 7
    agreed = [published.record for published in records if published is not None]
    if not agreed:
        return ()
    overriding = next((record.aggregate for record in agreed if record.aggregate), ())
    return _overridden(overriding, host) if overriding else (address,)


def _overridden(uris: Sequence[str], host: str) -> tuple[Address, ...]:
    """Step 9: what the destination would rather have. Who names another host gets nothing at either."""
    addresses = [read_mailto(uri) for uri in uris]
    known = [address for address in addresses if address is not None and address.domain == host]
    return tuple(known) if len(known) == len(addresses) else ()


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"
