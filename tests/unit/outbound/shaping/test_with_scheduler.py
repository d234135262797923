"""The scheduler and the shaper together: a backlog travels at the pace of its site, and keeps nobody else waiting."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.clock import ManualClock
from tests.fakes.house import House
from tests.unit.outbound.shaping.simulated import BLOCKED, TAKEN, Limit, SlidingWindow

from postroom.config.road import OutboundSettings
from postroom.config.sending import ShapingSettings
from postroom.mail.delivery import DeliveryRequest, Outcome
from postroom.outbound.shaping.traffic import Traffic
from postroom.queue.expansion import build, expand


@dataclass
class LimitedCarrier:
    """Takes ``seconds`` for each message; ``limits`` say by site what is taken, ``refused`` what else."""

    clock: ManualClock
    limits: dict[str, Limit]
    seconds: float = 0.3
    attempts: list[tuple[float, str, bool]] = field(default_factory=list)

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        limit = self.limits.get(request.site.key)
        outcome = TAKEN if limit is None else limit.takes(self.clock.monotonic(), 1)
        self.attempts.append((self.clock.monotonic(), request.site.key, outcome is TAKEN))
        await self.clock.sleep(self.seconds)
        return {one.number: outcome for one in request.recipients}

    def at(self, site: str, since: float = 0.0) -> list[bool]:
        """Whether each attempt at the site was taken."""
        return [taken for at, key, taken in self.attempts if key == site and at >= since]


def shaped(limits: dict[str, Limit], *rules: ShapingSettings) -> tuple[House, LimitedCarrier, Traffic]:
    """A house whose mail for these sites is shaped."""
    house = House(first_retry=300)
    carrier = LimitedCarrier(house.clock, limits)
    traffic = Traffic(OutboundSettings(), house.clock, house.reporter, shaping=rules)
    house.carrier = carrier  # type: ignore[assignment] # a carrier too
    house.shaper = traffic.shaper  # type: ignore[assignment] # the real one
    return house, carrier, traffic


async def fill(house: House, count: int, domain: str) -> None:
    """Queue mail behind the scheduler's back, as it would be found after a restart."""
    for n in range(count):
        draft = house.draft(f"r{n}@{domain}")
        expansion = expand(draft, tuple([await house.resolve(r.address) for r in draft.envelope.recipients]), 0.0)
        await house.store.take_in([build(draft, expansion, 0.0)])


async def test_a_backlog_travels_at_the_pace_that_the_site_takes() -> None:
    house, carrier, traffic = shaped({"slow.example": SlidingWindow(100)})
    await fill(house, 3000, "slow.example")
    async with house.running():
        await house.clock.pass_time(900)
        learned = traffic.shaper.lanes["slow.example", ""].pace.known
        assert learned is not None
        assert 80 <= learned <= 120
        attempts = carrier.at("slow.example", 120)
        assert attempts.count(False) < 0.01 * len(attempts)
        assert len(carrier.at("slow.example", 600)) >= 0.8 * 100 * 5
        await house.send("bob@quick.example")
        await house.clock.pass_time(1)
        assert carrier.at("quick.example") == [True]


async def test_mail_for_a_blocked_site_waits_untried_and_goes_on_by_itself() -> None:
    @dataclass
    class Blocking:
        limit: float = 0
        until: float = 400.0

        def takes(self, now: float, connections: int) -> Outcome:
            return TAKEN if now >= self.until else BLOCKED

    house, carrier, _ = shaped({"far.example": Blocking()})
    await fill(house, 50, "far.example")
    async with house.running():
        await house.clock.pass_time(200)
        assert len(carrier.at("far.example")) <= 6  # those that were under way, and one more to be sure
        await house.clock.pass_time(1500)
        assert carrier.at("far.example").count(True) == 50


async def test_a_rate_of_a_rule_is_obeyed_to_the_message() -> None:
    rule = ShapingSettings.model_validate({"name": "partner", "mx": ["*"], "message_rates": ["30/1m"]})
    house, carrier, _ = shaped({}, rule)
    await fill(house, 200, "far.example")
    async with house.running():
        await house.clock.pass_time(180)
    assert len(carrier.at("far.example")) == 3 * 30  # within any minute 30, the first one included
