"""Whether the zones that we may change know us: each is read with its key. Nothing is changed."""

from collections.abc import AsyncIterator, Sequence

from postroom.admin.dnsrecords.applying import ZoneEditor
from postroom.admin.finding import Finding, Level
from postroom.config.publishing import ZoneSettings
from postroom.dns.record import PublishFailed

AREA = "zones"


async def check_zones(zones: Sequence[ZoneSettings], editor: ZoneEditor) -> AsyncIterator[Finding]:
    """One finding for each zone. Whether the key may change records too shows only a change."""
    for zone in zones:
        try:
            await editor.current(zone.name, "TXT")
        except PublishFailed as failure:
            what, _, remedy = str(failure).partition(": ")
            yield Finding(Level.ERROR, AREA, f"{zone.name}: {what}", remedy)
        else:
            yield Finding(Level.OK, AREA, f"{zone.name}: {zone.server} knows the key {zone.key}")
