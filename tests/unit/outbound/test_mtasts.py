"""MTA-STS policies: found, kept, renewed; what fails never undoes what is known (RFC 8461 §3.3, §5.1)."""

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.dns.resolver import Answer
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.outbound import mtasts
from postroom.outbound.https import HttpsAnswer, HttpsFailed
from postroom.outbound.mtasts import AGAIN, RENEW_AGAIN, RENEWED_AFTER, MtaSts
from postroom.report.events import Report
from postroom.report.road import StsPolicyFetched

DOMAIN = "example.org"


def policy_text(mode: str = "enforce", age: int = 10 * 86400) -> bytes:
    return f"version: STSv1\nmode: {mode}\nmx: mx.{DOMAIN}\nmax_age: {age}\n".encode()


@dataclass
class ScriptedHttps:
    """``failure`` is raised; ``gate``: nothing is answered until it is set."""

    body: bytes = policy_text()
    status: int = 200
    media_type: str = "text/plain"
    failure: HttpsFailed | None = None
    gate: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list)

    async def get(self, host: str, path: str, *, limit: int, seconds: float) -> HttpsAnswer:
        self.asked.append(f"https://{host}{path}")
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return HttpsAnswer(self.status, self.media_type, self.body)


class World:
    """A domain with a policy, and what was told of it."""

    def __init__(self) -> None:
        self.zone = Zone.of({f"_mta-sts.{DOMAIN}": {"TXT": ["v=STSv1; id=1"]}})
        self.https = ScriptedHttps()
        self.clock = HandClock(1_000_000.0)
        self.told: list[StsPolicyFetched] = []
        self.failures: list[tuple[str, str]] = []
        self.sts = self.make()

    def make(self) -> MtaSts:
        return MtaSts(ZoneResolver(self.zone), self.https, self.clock, self.tell, self.note)

    def tell(self, report: Report) -> None:
        assert isinstance(report, StsPolicyFetched)
        self.told.append(report)

    def note(self, domain: str, policy: StsPolicy | None, result: str, why: str) -> None:
        assert why
        self.failures.append((domain, result))

    def publish(self, record: str) -> None:
        self.zone.records[f"_mta-sts.{DOMAIN}"] = {"TXT": (record,)}


@pytest.fixture
def world() -> World:
    return World()


async def test_a_policy_is_found_and_kept(world: World) -> None:
    policy = await world.sts.of(DOMAIN)
    assert policy is not None
    assert (policy.mode, policy.mx, policy.policy_id) == (StsMode.ENFORCE, ("mx.example.org",), "1")
    assert policy.expires_at == world.clock.now() + 10 * 86400
    assert await world.sts.of(DOMAIN) is policy
    assert world.https.asked == ["https://mta-sts.example.org/.well-known/mta-sts.txt"]
    assert world.told == [StsPolicyFetched(DOMAIN, "enforce", "1")]
    assert [kept.policy for kept in world.sts.changed()] == [policy]
    assert world.sts.changed() == ()


async def test_it_survives_a_restart_and_a_dead_policy_host(world: World) -> None:
    policy = await world.sts.of(DOMAIN)
    later = world.make()
    later.load(world.sts.changed())
    world.https.failure = HttpsFailed("gone")
    assert await later.of(DOMAIN) == policy
    assert len(world.https.asked) == 1


async def test_without_a_record_nothing_is_fetched(world: World) -> None:
    assert await world.sts.of("other.example") is None
    assert await world.sts.of("sub.example.org") is None  # RFC 8461 §3.4
    assert not world.https.asked


@pytest.mark.parametrize("trouble", ["record gone", "record broken", "servfail", "fetch fails", "policy broken"])
async def test_what_fails_later_leaves_the_policy_in_force(world: World, trouble: str) -> None:
    policy = await world.sts.of(DOMAIN)
    match trouble:
        case "record gone":
            world.zone.records.clear()
        case "record broken":
            world.publish("v=STSv1; id=-")
        case "servfail":
            world.zone.servfail.add(f"_mta-sts.{DOMAIN}")
        case "fetch fails":
            world.publish("v=STSv1; id=2")
            world.https.failure = HttpsFailed("down")
        case "policy broken":
            world.publish("v=STSv1; id=2")
            world.https.body = b"nonsense"
    assert await world.sts.of(DOMAIN) == policy
    world.clock.advance(10 * 86400)
    assert await world.sts.of(DOMAIN) is None  # it has expired


async def test_a_new_id_brings_the_new_policy_at_once(world: World) -> None:
    await world.sts.of(DOMAIN)
    world.publish("v=STSv1; id=2")
    world.https.body = policy_text("testing")
    policy = await world.sts.of(DOMAIN)
    assert policy is not None
    assert (policy.mode, policy.policy_id) == (StsMode.TESTING, "2")


async def test_a_policy_of_none_is_as_no_policy(world: World) -> None:
    await world.sts.of(DOMAIN)
    world.publish("v=STSv1; id=2")
    world.https.body = policy_text("none")
    assert await world.sts.of(DOMAIN) is None
    assert world.told[-1] == StsPolicyFetched(DOMAIN, "none", "2")
    world.publish("v=STSv1; id=3")
    world.https.failure = HttpsFailed("removed")  # RFC 8461 §8.3: that is how it is taken away
    assert await world.sts.of(DOMAIN) is None
    assert world.failures == []


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"failure": HttpsFailed("refused")}, "sts-policy-fetch-error"),
        ({"failure": HttpsFailed("certificate", untrusted=True)}, "sts-webpki-invalid"),
        ({"status": 301}, "sts-policy-fetch-error"),
        ({"status": 404}, "sts-policy-fetch-error"),
        ({"media_type": "text/html"}, "sts-policy-fetch-error"),
        ({"body": b"nonsense"}, "sts-policy-invalid"),
    ],
)
async def test_a_fetch_that_fails_means_no_policy_and_is_told(
    world: World, fields: dict[str, object], result: str
) -> None:
    for name, given in fields.items():
        setattr(world.https, name, given)
    assert await world.sts.of(DOMAIN) is None
    assert await world.sts.of(DOMAIN) is None
    assert len(world.https.asked) == 1  # RFC 8461 §3.3: five minutes or longer
    assert world.failures == [(DOMAIN, result)]
    assert world.told[0].trouble
    world.clock.advance(AGAIN)
    assert await world.sts.of(DOMAIN) is None
    assert len(world.https.asked) == 2
    world.publish("v=STSv1; id=2")  # per version id
    assert await world.sts.of(DOMAIN) is None
    assert len(world.https.asked) == 3


async def test_mail_for_one_domain_waits_for_one_fetch_and_not_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mtasts, "WAIT", 0.02)
    world.https.gate = asyncio.Event()
    assert await asyncio.gather(*[world.sts.of(DOMAIN) for _ in range(5)]) == [None] * 5
    assert len(world.https.asked) == 1
    world.https.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await world.sts.of(DOMAIN) is not None
    assert len(world.https.asked) == 1


async def test_many_domains_at_once_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtasts, "WAIT", 0.02)
    monkeypatch.setattr(mtasts, "MAX_FETCHES", 3)
    world.https.gate = asyncio.Event()
    for number in range(5):
        world.zone.add(f"_mta-sts.d{number}.example", "TXT", "v=STSv1; id=1")
    assert await asyncio.gather(*[world.sts.of(f"d{number}.example") for number in range(5)]) == [None] * 5
    assert len(world.https.asked) == 3
    await world.sts.close()


async def test_policies_are_renewed_daily(world: World) -> None:
    await world.sts.of(DOMAIN)
    await world.sts.renew()
    assert len(world.https.asked) == 1
    world.clock.advance(RENEWED_AFTER)
    await world.sts.renew()
    assert len(world.https.asked) == 2
    (kept,) = world.sts.changed()
    assert kept.policy.expires_at == world.clock.now() + 10 * 86400


async def test_a_renewal_that_fails_is_told_and_tried_again(world: World) -> None:
    await world.sts.of(DOMAIN)
    world.zone.records.clear()
    world.https.failure = HttpsFailed("down")
    world.clock.advance(RENEWED_AFTER)
    for _ in range(2):
        await world.sts.renew()
    assert len(world.https.asked) == 2
    assert world.told[-1].trouble == "down"
    assert world.failures == [(DOMAIN, "sts-policy-fetch-error")]
    world.clock.advance(RENEW_AGAIN)
    world.https.failure = None
    await world.sts.renew()
    assert world.told[-1].trouble == ""
    assert await world.sts.of(DOMAIN) is not None


async def test_only_so_many_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtasts, "MAX_KEPT", 2)
    for number in range(3):
        world.zone.add(f"_mta-sts.d{number}.example", "TXT", "v=STSv1; id=1")
        assert await world.sts.of(f"d{number}.example") is not None
        await world.sts.of("d0.example")
    asked = len(world.https.asked)
    await world.sts.of("d0.example")
    assert len(world.https.asked) == asked
    await world.sts.of("d1.example")
    assert len(world.https.asked) == asked + 1


async def test_policies_together_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtasts, "MAX_OCTETS", 100_000)
    world.https.body = policy_text() + b"".join(b"mx: mx%d.example.org\n" % number for number in range(100))
    for number in range(20):
        world.zone.add(f"_mta-sts.d{number}.example", "TXT", "v=STSv1; id=1")
        assert await world.sts.of(f"d{number}.example") is not None
    asked = len(world.https.asked)
    await world.sts.of("d19.example")
    assert len(world.https.asked) == asked
    await world.sts.of("d0.example")
    assert len(world.https.asked) == asked + 1


async def test_a_policy_that_had_to_make_room_while_the_record_was_asked_for_holds_for_this_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = await world.sts.of(DOMAIN)
    answer = ZoneResolver.txt

    async def slow(resolver: ZoneResolver, name: str) -> Answer[bytes]:
        found = await answer(resolver, name)
        monkeypatch.setattr(ZoneResolver, "txt", answer)
        monkeypatch.setattr(mtasts, "MAX_KEPT", 1)
        world.zone.records["_mta-sts.other.example"] = {"TXT": ("v=STSv1; id=1",)}
        await world.sts.of("other.example")
        return found

    monkeypatch.setattr(ZoneResolver, "txt", slow)
    assert await world.sts.of(DOMAIN) == policy
