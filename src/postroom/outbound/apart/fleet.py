"""Spreads requests over the children: a site belongs to one of them, and so does all that is kept for it."""

import asyncio
import zlib
from collections.abc import Sequence

from postroom.mail.delivery import DeliveryRequest, RouteKind
from postroom.net.apart.keeper import Keeper
from postroom.outbound.apart.remote import RemoteCarrier
from postroom.queue.carrier import Promise


class Fleet:
    """A carrier (``queue.carrier.Carrier``) that is several. ``start`` it before the first request."""

    def __init__(self, carriers: Sequence[RemoteCarrier], keepers: Sequence[Keeper]) -> None:
        self._carriers = tuple(carriers)
        self._keepers = tuple(keepers)

    async def start(self) -> None:
        """Have all children ready. OSError if one of them does not get ready."""
        results = await asyncio.gather(*[keeper.start() for keeper in self._keepers], return_exceptions=True)
        for trouble in results:
            if isinstance(trouble, BaseException):
                await self.close()
                raise trouble

    async def close(self) -> None:
        """End all children in good order."""
        await asyncio.gather(*[keeper.close() for keeper in self._keepers])

    def deliver(self, request: DeliveryRequest) -> Promise:
        """One attempt; see the port."""
        carriers = self._carriers
        site = request.site
        if len(carriers) == 1 or site.kind is not RouteKind.MX:
            return carriers[0].deliver(request)  # logins are kept, and tokens renewed, in one place
        return carriers[zlib.crc32(site.key.encode()) % len(carriers)].deliver(request)
