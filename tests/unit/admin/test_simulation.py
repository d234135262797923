"""The queue's days to come: what is simulated is what the queue does, in virtual time and from a sample."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from tests.fakes.queue_store import MemoryQueueStore, Stored

from postroom.admin.refusal import Refused
from postroom.admin.simulation import run as module
from postroom.admin.simulation.run import simulate
from postroom.admin.simulation.sample import Sample, take_sample
from postroom.admin.simulation.scripts import Behaviour, read_script
from postroom.admin.simulation.views import Simulation
from postroom.admin.simulation.virtual import VirtualClock, VirtualLoop
from postroom.config.model import Settings
from postroom.config.section import Rate
from postroom.mail.address import Address
from postroom.mail.delivery import Outcome, Peer, QueuedRecipient, RecipientState, Site
from postroom.mail.envelope import Envelope, Notify, Recipient
from postroom.mail.message import Message, QueueId, QueueIds
from postroom.mail.reply import Reply
from postroom.net.gcra import GcraTable
from postroom.queue.carrier import Grant, Wait
from postroom.queue.model import Pause, PauseKind, QueueFilter

NOW = 1_800_000_000.0
HOUR = 3600.0
DAY = 86400.0
EVERYTHING = QueueFilter()
FULL = Reply.of(450, "4.2.2", "mailbox full")
DOWN = Reply.of(451, "4.4.1", "no answer")


class Queue:
    """A store, filled in the order of time."""

    def __init__(self) -> None:
        self.store = MemoryQueueStore()
        self._at = NOW
        self._ids = QueueIds(lambda: self._at)

    def add(
        self,
        *addresses: str,
        age: float = 0.0,
        reply: Reply | None = None,
        attempts: int = 0,
        due: float = NOW,
        state: RecipientState | None = None,
        host: str = "",
        sender: str = "ann@home.example",
        notify: Notify | None = None,
        destination: str = "",
    ) -> QueueId:
        self._at = NOW - age
        recipients = tuple(Recipient(Address.parse(text), notify) for text in addresses)
        envelope = Envelope(Address.parse(sender) if sender else None, recipients)
        message = Message(self._ids.next(), NOW - age, envelope, b"", 10)
        standing = state or (RecipientState.DEFERRED if attempts else RecipientState.QUEUED)
        last = NOW - 60 if attempts else None
        queued = [
            QueuedRecipient(n, one, standing, attempts, due, last, reply, Peer(host), destination=destination)
            for n, one in enumerate(recipients)
        ]
        self.store.messages[message.queue_id] = Stored(message, b"", {one.number: one for one in queued})
        return message.queue_id

    def sample(self, limit: int = 1000, which: QueueFilter = EVERYTHING) -> Sample:
        return asyncio.run(take_sample(self.store, which, limit, NOW))


def settings(**sections: object) -> Settings:
    queue = {"retry_jitter": 0.0, **sections.pop("queue", {})}  # type: ignore[dict-item] # a table of settings
    return Settings.model_validate(
        {"hostname": "mx.home.example", "tls": {"certificate": "c", "key": "k"}, "queue": queue, **sections}
    )


def live(waiting: Queue, *sites: str, days: float = 5, every: float = 6 * HOUR, **sections: object) -> Simulation:
    scripts = [read_script(site) for site in sites]
    return simulate(
        waiting.sample(),
        settings(**sections),
        scripts,
        now=NOW,
        seconds=days * DAY,
        every=every,
        settings_file="a.toml",
    )


# Virtual time -----------------------------------------------------------------


def test_days_pass_at_once() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(NOW, loop)
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.now() - NOW)

    async def main() -> None:
        await asyncio.gather(sleeper(5 * DAY), sleeper(0.25), sleeper(60))

    began = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert woken == pytest.approx([0.25, 60, 5 * DAY])
    assert time.monotonic() - began < 5


def test_what_can_never_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(RuntimeError, match="virtual time"):
        runner.run(main())


def test_long_sleepers_wake_together() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(NOW, loop, tick=60)
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.monotonic())

    async def main() -> None:
        await asyncio.gather(*map(sleeper, (0.5, 61, 100)))

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert woken == pytest.approx([0.5, 120, 120])


# What becomes of the queue -----------------------------------------------------------------


def test_what_has_not_been_tried_is_delivered() -> None:
    queue = Queue()
    queue.add("bob@far.example", "carl@far.example")
    view = live(queue)
    assert (view.recipients, view.simulated, view.complete) == (2, 2, True)
    assert view.totals["delivered"] == 2
    assert view.totals["waiting"] == view.totals["deferred"] == 0
    assert len(view.timeline) == 20
    assert view.timeline[0].attempts == 2


def test_what_was_deferred_goes_on_until_it_expires() -> None:
    """The same as the queue does: waits that double to four hours, a warning after four hours, a report at the end."""
    queue = Queue()
    queue.add("bob@far.example", reply=FULL, attempts=1, due=NOW + 300, age=60)
    view = live(queue, days=6)
    (bob,) = view.destinations
    assert bob.assumed == "as now"
    assert view.totals["expired"] == 1
    assert view.totals["warned"] == 1
    assert view.totals["dsns"] == 2  # the warning and the failure
    assert bob.first_attempt is not None
    assert bob.first_attempt.startswith("2027-01-15T08:05:00")
    assert bob.first_warning is not None
    assert bob.first_warning.startswith("2027-01-15T11:5")  # four hours after it came in
    assert bob.first_expiry == bob.last_attempt
    assert bob.first_expiry is not None
    assert bob.first_expiry.startswith("2027-01-20T07:59")  # five days after it came in, to the minute
    # 10, 20, 40, 80, 160 minutes, the warning between, then every four hours to the end of the fifth day
    assert 34 <= bob.attempts <= 38


def test_settings_decide() -> None:
    queue = Queue()
    queue.add("bob@far.example", reply=FULL, attempts=1)
    short = live(queue, queue={"lifetime": 2 * HOUR, "delay_warning": 0}, days=1, every=HOUR)
    assert (short.totals["expired"], short.totals["warned"], short.totals["dsns"]) == (1, 0, 1)
    assert [span.expired for span in short.timeline][:3] == [0, 0, 1]
    assert short.settings["queue.lifetime"] == "2 h"


def test_senders_who_want_to_hear_nothing_do_not() -> None:
    queue = Queue()
    queue.add("bob@far.example", reply=FULL, attempts=1, notify=Notify.NEVER)
    queue.add("bob@far.example", reply=FULL, attempts=1, sender="")
    view = live(queue, queue={"lifetime": DAY})
    assert (view.totals["expired"], view.totals["dsns"]) == (2, 0)


def test_a_site_that_is_down_is_not_tried_by_all() -> None:
    queue = Queue()
    for number in range(50):
        queue.add(f"u{number}@far.example")
    view = live(queue, "far.example=down", days=0.5)
    assert view.destinations[0].assumed == "down"
    assert view.totals["deferred"] > view.totals["attempts"] > 0
    assert view.totals["delivered"] == 0
    assert view.totals["waiting"] == 50


def test_a_site_comes_back() -> None:
    queue = Queue()
    for number in range(20):
        queue.add(f"u{number}@far.example")
    view = live(queue, "far.*=down:..2h", days=1, every=HOUR)
    assert view.totals["delivered"] == 20
    assert view.timeline[0].delivered == view.timeline[1].delivered == 0
    assert view.destinations[0].last_attempt is not None


def test_new_mail_for_a_site_in_trouble_waits_too() -> None:
    queue = Queue()
    queue.add("bob@far.example", reply=DOWN, attempts=3, host="mx.far.example")
    queue.add("carl@far.example")
    view = live(queue, days=1)
    assert view.totals["delivered"] == 0
    assert view.destinations[0].assumed == "as now: down"


def test_destinations_of_one_host_are_one_site() -> None:
    queue = Queue()
    queue.add("bob@far.example", reply=DOWN, attempts=3, host="mx.hosting.example")
    queue.add("dora@other.example", reply=FULL, attempts=1, host="mx.hosting.example", due=NOW + 60)
    queue.add("carl@other.example")
    view = live(queue, "mx.hosting.example=accept", days=1)
    assert {each.assumed for each in view.destinations} == {"accept"}
    assert view.totals["delivered"] == 3


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("*=accept", {"delivered": 60}),
        ("*=refuse", {"failed": 60, "dsns": 60}),
        ("*=defer", {"waiting": 60, "delivered": 0}),
        ("*=greylist", {"delivered": 60, "deferred": 60}),
        ("*=slow:60s", {"delivered": 60}),
        ("*=rate:30/1h", {"delivered": 60}),
    ],
)
def test_behaviours(site: str, expected: dict[str, int]) -> None:
    queue = Queue()
    for number in range(60):
        queue.add(f"u{number}@far.example")
    view = live(queue, site, days=1)
    assert {name: view.totals[name] for name in expected} == expected


def test_a_rate_is_kept() -> None:
    queue = Queue()
    for number in range(60):
        queue.add(f"u{number}@far.example")
    view = live(queue, "*=rate:10/1h", days=1, every=HOUR)
    assert view.timeline[0].delivered <= 20  # a burst, and what the hour gives
    assert max(span.delivered for span in view.timeline[1:]) <= 11


def test_a_slow_site_takes_its_time() -> None:
    queue = Queue()
    for number in range(100):
        queue.add(f"u{number}@far.example")
    view = live(queue, "*=slow:60s", days=0.5, every=60, outbound={"concurrency_per_site": 10})
    assert [span.delivered for span in view.timeline][:12] == [0, *[10] * 10, 0]


def test_held_mail_is_left_out() -> None:
    queue = Queue()
    queue.add("bob@far.example", state=RecipientState.HELD)
    queue.add("carl@far.example", state=RecipientState.LEASED)
    view = live(queue)
    assert (view.recipients, view.held, view.totals["delivered"]) == (1, 1, 1)


def test_pauses_are_kept_and_end() -> None:
    queue = Queue()
    queue.add("bob@far.example")
    queue.add("carl@near.example")
    pause = Pause(PauseKind.DOMAIN, "far.example", NOW, NOW + 3 * HOUR)
    asyncio.run(queue.store.pause(pause))
    view = live(queue, days=1, every=HOUR)
    assert [span.delivered for span in view.timeline][:5] == [1, 0, 0, 1, 0]
    asyncio.run(queue.store.pause(replace(pause, until=None)))
    view = live(queue, days=6)
    assert (view.totals["delivered"], view.totals["waiting"], view.totals["expired"]) == (1, 0, 1)


def test_a_rule_has_its_schedule() -> None:
    queue = Queue()
    queue.add("bob@far.example", reply=FULL, attempts=1, destination="far.example slowly")
    queue.add("bob@near.example", reply=FULL, attempts=1)
    view = live(
        queue,
        days=6,
        route=[{"name": "slowly", "schedule": "long"}],
        schedule=[{"name": "long", "lifetime": 2 * DAY, "delay_warning": 0}],
    )
    far, near = view.destinations
    assert (far.destination, near.destination) == ("far.example slowly", "near.example")
    assert far.last_expiry is not None
    assert far.last_expiry < "2027-01-18"
    assert (far.warned, near.warned) == (0, 1)
    assert view.settings["schedule long.lifetime"] == "2 d"


def test_the_same_luck_each_time() -> None:
    queue = Queue()
    for number in range(20):
        queue.add(f"u{number}@far.example", reply=FULL, attempts=1)
    first, second = (live(queue, queue={"retry_jitter": 0.5}) for _ in range(2))
    assert first == second


def test_settings_without_measure_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REPORTS", 100)
    queue = Queue()
    queue.add("bob@far.example", reply=FULL, attempts=1)
    view = live(queue, queue={"first_retry": 1, "longest_retry": 1})
    assert not view.complete
    assert view.until < "2027-01-16"
    assert view.totals["attempts"] == pytest.approx(100, abs=2)


def test_an_empty_queue() -> None:
    view = live(Queue())
    assert (view.recipients, view.destinations, set(view.totals.values())) == (0, (), {0})


def test_rules_of_other_settings_lead_elsewhere() -> None:
    """A smarthost is one site for all who go by it."""
    queue = Queue()
    queue.add("bob@far.example", reply=DOWN, attempts=3, host="mx.far.example")
    queue.add("carl@near.example", reply=FULL, attempts=1, destination="near.example out/2")
    other = settings(
        smarthost=[{"name": "relay", "host": "relay.example"}], route=[{"name": "out", "via": ["relay", "mx"]}]
    )
    view = simulate(
        queue.sample(),
        other,
        [read_script("relay=down:..1h")],
        now=NOW,
        seconds=DAY,
        every=HOUR,
        by_rules=lambda _, recipient: f"{recipient.address.domain} out",
    )
    assert view.totals["delivered"] == 2
    assert view.timeline[0].delivered == 0
    assert {one.assumed for one in view.destinations} == {"down:..1h"}


class Metered:
    """So many requests a minute, and no learning but of how many were noted."""

    def __init__(self, per_minute: int) -> None:
        self._table: GcraTable[str] = GcraTable((Rate(per_minute, 60),))
        self.noted = 0

    def limit(self, site: Site) -> int:
        return 50

    def together(self, site: Site) -> int:
        return 0

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        exceeded = self._table.take(site.key, now)
        return Grant() if exceeded is None else Wait(exceeded.wait, "the rate")

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        self.noted += 1

    def flush(self) -> None: ...


@pytest.mark.parametrize("limit", [1000, 50], ids=["whole", "sample"])
def test_the_shaper_has_its_say(limit: int) -> None:
    """600 messages at 10 a minute take an hour, however many of them are simulated."""
    queue = Queue()
    for number in range(600):
        queue.add(f"u{number}@far.example")
    shaper = Metered(10)
    view = simulate(
        queue.sample(limit), settings(), now=NOW, seconds=DAY, every=600, make_shaper=lambda _, __, ___: shaper
    )
    assert view.totals["delivered"] == 600
    assert view.timeline[0].delivered == pytest.approx(110, abs=25)
    assert [span.delivered for span in view.timeline][1:5] == pytest.approx([100] * 4, abs=25)
    assert sum(span.delivered for span in view.timeline[8:]) == 0
    assert shaper.noted == pytest.approx(600, abs=15)


# The sample -----------------------------------------------------------------


def fill(queue: Queue, count: int, name: Callable[[int], str], age: Callable[[int], float]) -> None:
    for number in range(count):
        queue.add(f"u{number}@{name(number)}", age=age(number), reply=FULL, attempts=number % 3, due=NOW + number)


def test_a_short_queue_is_taken_whole() -> None:
    queue = Queue()
    fill(queue, 700, lambda n: f"d{n % 7}.example", lambda n: 7000 - n)
    sample = queue.sample(1000)
    assert sample.is_whole
    assert len(sample.weights) == sample.recipients == 700


def test_a_longer_one_is_thinned_out_evenly() -> None:
    queue = Queue()
    fill(queue, 3000, lambda n: "big.example" if n % 10 else f"d{n % 70}.example", lambda n: 7000 - n)
    sample = queue.sample(200)
    assert len(sample.weights) <= 200
    assert sample.recipients == 3000
    by_name: dict[str, float] = {}
    for entry in sample.entries:
        for one in entry.recipients:
            weight = sample.weights[entry.message.queue_id, one.number]
            by_name[one.waits_under] = by_name.get(one.waits_under, 0.0) + weight
    assert by_name["big.example"] == 2700
    assert set(by_name) == {"big.example", *(f"d{n}.example" for n in range(0, 70, 10))}


def test_a_very_long_one_is_not_read_through() -> None:
    """Half of it came in one minute: the pages are where the mail is, and the totals are the store's."""
    queue = Queue()
    fill(queue, 9000, lambda n: "far.example", lambda n: 5 * DAY - n * 10)
    fill(queue, 9000, lambda n: "near.example", lambda n: 60 - n / 200)
    read = 0
    entries = queue.store.entries

    async def counted(which: QueueFilter, *, limit: int, after: QueueId | None = None):  # type: ignore[no-untyped-def] # as the store's
        nonlocal read
        found = await entries(which, limit=limit, after=after)
        read += len(found)
        return found

    queue.store.entries = counted  # type: ignore[method-assign] # to count what is read
    sample = queue.sample(300)
    assert read < 10_000
    assert sample.recipients == 18_000
    assert sum(sample.weights.values()) == pytest.approx(18_000)
    far = sum(
        sample.weights[entry.message.queue_id, one.number]
        for entry in sample.entries
        for one in entry.recipients
        if one.waits_under == "far.example"
    )
    assert far == pytest.approx(9000, rel=0.15)


def test_numbers_of_a_sample_speak_of_the_whole_queue() -> None:
    queue = Queue()
    for number in range(2000):
        queue.add(f"u{number}@far.example", reply=FULL, attempts=1, due=NOW + number)
    view = simulate(queue.sample(50), settings(), now=NOW, seconds=6 * DAY, every=DAY)
    assert view.recipients == 2000
    assert 45 <= view.simulated <= 50
    assert (view.totals["expired"], view.totals["warned"], view.totals["waiting"]) == (2000, 2000, 0)


def test_a_dead_site_is_not_tried_more_often_for_a_long_queue() -> None:
    queue = Queue()
    for number in range(2000):
        queue.add(f"u{number}@far.example", due=NOW + number)
    view = simulate(queue.sample(50), settings(), [read_script("*=down")], now=NOW, seconds=DAY, every=DAY)
    assert view.totals["deferred"] > 2000 * 6
    assert view.totals["attempts"] < 500


def test_one_domain_only() -> None:
    queue = Queue()
    queue.add("bob@far.example", "carl@near.example")
    sample = queue.sample(which=QueueFilter(domain="far.example"))
    assert [str(one.recipient.address) for entry in sample.entries for one in entry.recipients] == ["bob@far.example"]


# Scripts -----------------------------------------------------------------


def test_what_operators_write() -> None:
    script = read_script("*.Example=down:2h..5h")
    assert (script.pattern, script.behaviour, script.begins, script.ends) == ("*.example", Behaviour.DOWN, 7200, 18000)
    assert script.matches("far.example")
    assert not script.matches("far.example.org", "")
    assert read_script("a=down:2h..").ends == float("inf")
    assert read_script("a=slow").seconds == 60
    assert read_script("a=greylist:5m").seconds == 300
    assert str(read_script("a=rate:50/1m").rate) == "50/1m"


@pytest.mark.parametrize(
    "text",
    ["", "far.example", "=down", "a=up", "a=down:2h", "a=down:x..y", "a=rate", "a=rate:5", "a=accept:1", "a=slow:x"],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is no site") as caught:
        read_script(text)
    assert "rate:50/1m" in caught.value.remedy
