"""Whether what is to be published makes sense, and the zones that are to be changed."""

from collections.abc import Iterator
from ipaddress import ip_address

from postroom.config.finding import Finding
from postroom.config.model import Settings


def check_publishing(settings: Settings) -> Iterator[Finding]:
    """Everything about the DNS of ours that contradicts something else."""
    for number, text in enumerate(settings.publish.public_addresses):
        path = ("publish", "public_addresses", number)
        try:
            address = ip_address(text)
        except ValueError:
            yield Finding(path, f"{text!r} is not an IP address", "write the address that the world reaches us by")
            continue
        if not address.is_global:
            what = f"{text} is not a public address: nobody outside reaches it"
            yield Finding(path, what, "write the address that the world reaches us by", is_error=False)
    yield from _check_zones(settings)


def _check_zones(settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, zone in enumerate(settings.zone):
        if zone.name in seen:
            what = f"a second [[zone]] is called {zone.name}"
            yield Finding(("zone", number, "name"), what, "name each zone once")
        seen.add(zone.name)
        for key, text in (("server", zone.server), ("key", zone.key)):
            if not text.strip() or not text.isprintable() or " " in text:
                remedy = "write an address or a host name" if key == "server" else "write the name of the TSIG key"
                yield Finding(("zone", number, key), f"{text!r} is of no use", remedy)
