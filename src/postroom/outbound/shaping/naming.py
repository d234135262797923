"""A router that tells the shaper which recipient domains lead to a site, for rules of traffic that go by domains."""

from postroom.mail.address import Address
from postroom.mail.delivery import Outcome, Site
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.outbound.shaping.shaper import SiteShaper
from postroom.queue.carrier import Router


class NamingRouter:
    """Answers as ``router`` does."""

    def __init__(self, router: Router, shaper: SiteShaper) -> None:
        self._router = router
        self._shaper = shaper

    def destination(self, message: Message, recipient: Recipient) -> str:
        """As the router has it."""
        return self._router.destination(message, recipient)

    def holds(self, message: Message, recipient: Recipient, *, ours: bool = False) -> str:
        """As the router has it."""
        return self._router.holds(message, recipient, ours=ours)

    def takes(self, message: Message, address: Address) -> bool:
        """As the router has it."""
        return self._router.takes(message, address)

    async def site_of(self, destination: str) -> Site | Outcome:
        """As the router has it; the shaper hears of it."""
        answer = await self._router.site_of(destination)
        if isinstance(answer, Site):
            self._shaper.learn_domain(destination.partition(" ")[0], answer)
        return answer
