"""The whole of it over real sockets: a policy is fetched, obeyed, changed, kept over a restart, and reported on."""

import gzip
import json
from pathlib import Path

import pytest
from tests.fakes.chains import Issuer, make_root
from tests.fakes.hand_clock import HandClock
from tests.fakes.https_server import HttpsServer
from tests.fakes.peer import ScriptedPeer
from tests.fakes.tls_store import MemoryTlsStore
from tests.unit.outbound.making import StoredContent, make_request

from postroom.config.road import OutboundSettings, TlsrptSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Outcome, Site
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.https import StrangersHttps
from postroom.outbound.route import MailRouter
from postroom.outbound.tlsroom import TlsRoom
from postroom.report.events import Report
from postroom.report.reporter import Reporter
from postroom.report.road import StsPolicyFetched, TlsDowngraded, TlsReportSent

POLICY_HOST, MX_HOST = "mta-sts.example.org", "mx.example.org"


def policy(mx: str, mode: str = "enforce") -> bytes:
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 1000000\r\n".encode()


class House:
    """Router, carrier and room of one process, on a store that outlives it."""

    def __init__(self, zone: Zone, store: MemoryTlsStore, clock: HandClock, ca_file: Path, mx: int, https: int) -> None:
        self.told: list[Report] = []
        resolver = ZoneResolver(zone)
        settings = OutboundSettings(port=mx, ipv6=False, allow_loopback=True, sts_ca_file=ca_file)
        self.room = TlsRoom(
            settings,
            TlsrptSettings(enabled=True),
            hostname="us.example",
            resolver=resolver,
            store=store,
            clock=clock,
            reporter=Reporter([self.told.append]),
            https=StrangersHttps(resolver, ca_file=ca_file, allow_loopback=True, ipv6=False, port=https),
        )
        self.router = MailRouter(
            hostname="us.example",
            settings=settings,
            routes=(),
            smarthosts=(),
            resolver=resolver,
            is_local=self._is_local,
            clock=clock,
            sts_of=self.room.sts_of,
        )
        self.carrier = SmtpCarrier(
            hostname="us.example",
            settings=settings,
            smarthosts=(),
            resolver=resolver,
            content=StoredContent(),
            clock=clock,
            note_tls=self.room.note,
        )

    async def _is_local(self, domain: str) -> bool:
        return False

    async def deliver(self) -> Outcome:
        """One message to the domain."""
        site = await self.router.site_of("example.org")
        assert isinstance(site, Site)
        request: DeliveryRequest = make_request(site=site)
        return (await self.carrier.deliver(request))[1]

    async def close(self) -> None:
        await self.carrier.close()
        await self.room.close()


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


async def test_the_story_of_a_policy(root: Issuer, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(root.pem)
    zone = Zone.of(
        {
            "example.org": {"MX": [f"10 {MX_HOST}"]},
            MX_HOST: {"A": ["127.0.0.1"]},
            POLICY_HOST: {"A": ["127.0.0.1"]},
            "_mta-sts.example.org": {"TXT": ["v=STSv1; id=1"]},
        }
    )
    store, clock = MemoryTlsStore(), HandClock(20_000 * 86400 + 1000.0)
    web, peer = HttpsServer(), ScriptedPeer()
    web.put("/.well-known/mta-sts.txt", policy(MX_HOST))
    web.put("/report", b"", status="201 Created")
    async with (
        web.serve(root.server_context(POLICY_HOST, folder=tmp_path)) as https,
        peer.serve(root.server_context(MX_HOST, folder=tmp_path)) as port,
    ):
        zone.add("_smtp._tls.example.org", "TXT", f"v=TLSRPTv1; rua=https://{POLICY_HOST}:{https}/report")
        house = House(zone, store, clock, tmp_path / "ca.pem", port, https)
        await house.room.start()

        outcome = await house.deliver()
        assert (type(outcome), outcome.peer.policy) == (Delivered, "sts enforce")
        assert house.told == [StsPolicyFetched("example.org", "enforce", "1")]

        # The domain moves and forgets to say so to its servers.
        web.put("/.well-known/mta-sts.txt", policy("elsewhere.example.org"))
        zone.records["_mta-sts.example.org"] = {"TXT": ("v=STSv1; id=2",)}
        clock.advance(10)
        outcome = await house.deliver()
        assert isinstance(outcome, Deferred)
        assert "not in the MTA-STS policy" in str(outcome.reply)
        await house.close()

        # A restart, and an attacker who takes away what the DNS and the policy host say.
        zone.records.pop("_mta-sts.example.org")
        web.answers.pop("/.well-known/mta-sts.txt")
        house = House(zone, store, clock, tmp_path / "ca.pem", port, https)
        await house.room.start()
        assert isinstance(await house.deliver(), Deferred)

        # The domain mends it.
        web.put("/.well-known/mta-sts.txt", policy(MX_HOST, "testing"))
        zone.records["_mta-sts.example.org"] = {"TXT": ("v=STSv1; id=3",)}
        clock.advance(10)
        outcome = await house.deliver()
        assert (type(outcome), outcome.peer.policy) == (Delivered, "sts testing")
        assert len(peer.taken) == 2
        await house.carrier.close()

        # The next day: the report, and a host that has lost its TLS.
        clock.advance(86400 + 4 * 3600)
        reporter = house.room.reports(None)  # type: ignore[arg-type]  # this report goes by HTTPS
        await reporter.send_due()
        (body,) = [body for body, (_, line) in zip(web.bodies, web.asked, strict=True) if "/report" in line]
        counted = {
            (each["policy"]["policy-string"][1], each["policy"]["mx-host"][0]): tuple(each["summary"].values())
            for each in json.loads(gzip.decompress(body))["policies"]
        }
        assert counted == {
            ("mode: enforce", MX_HOST): (1, 0),
            ("mode: enforce", "elsewhere.example.org"): (0, 2),
            ("mode: testing", MX_HOST): (1, 0),
        }
        peer.tls = False
        outcome = await house.deliver()
        assert isinstance(outcome, Delivered)
        assert "would fail" in outcome.peer.policy
        assert TlsDowngraded(MX_HOST, MX_HOST, "verified", "none") in house.told
        assert [report.trouble for report in house.told if isinstance(report, TlsReportSent)] == [""]
        await house.close()
