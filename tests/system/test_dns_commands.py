"""``postroom dns`` and ``postroom check dns`` by the real program, over a real name server; and the policy's probe."""

import json
import ssl
from pathlib import Path

import pytest
from tests.fakes.chains import Issuer, make_root
from tests.fakes.clock import ManualClock
from tests.fakes.dns_server import DnsServer
from tests.fakes.https_server import HttpsServer
from tests.system.fixtures import MakeProgram
from tests.system.program import HOSTNAME

from postroom.admin.dnsfaults.model import Fault, Fetched
from postroom.admin.dnsrecords.model import NoDkim
from postroom.app.inspecting import Inspection, PolicyProbe
from postroom.config.model import Settings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.outbound.https import StrangersHttps

HOST = "mta-sts.example.org"
PATH = "/.well-known/mta-sts.txt"
POLICY = b"version: STSv1\r\nmode: testing\r\nmx: mx.example.org\r\nmax_age: 604800\r\n"


def test_what_is_printed_is_a_zone_file(make_program: MakeProgram) -> None:
    """A name server takes it as it is."""
    program = make_program({"publish": {"public_addresses": ["8.8.8.8"], "mta_sts": "off"}})
    text = program.command("dns", "example.org")
    zone = Zone.parse(text)
    assert zone.find("MX", "example.org").texts == (f"10 {HOSTNAME}.",)
    records = json.loads(program.command("dns", "example.org", "--json"))["records"]
    assert {"mx", "spf", "dmarc", "tlsrpt", "srv", "reverse"} <= {each["purpose"] for each in records}


async def test_the_inspection_asks_real_servers() -> None:
    zone = Zone.of(
        {
            "mx.example.org": {"A": ["8.8.8.8"]},
            "example.org": {"MX": ["10 mx.example.org."], "TXT": ["v=spf1 mx -all", "v=spf1 -all"]},
        }
    )
    async with DnsServer(zone) as server:
        settings = Settings.model_validate(
            {
                "hostname": "mx.example.org",
                "dns": {"servers": [server.address]},
                "publish": {"public_addresses": ["8.8.8.8"]},
            }
        )
        inspection = Inspection(settings, NoDkim(), ManualClock())
        found = {each.fault for each in await inspection.look(["example.org"])}
        assert {Fault.SPF_SEVERAL, Fault.PTR_MISSING, Fault.DMARC_MISSING} <= found
        zone.records["example.org"]["TXT"] = ("v=spf1 mx -all",)
        again = {each.fault for each in await inspection.look(["example.org"])}
        assert Fault.SPF_SEVERAL not in again, "each look asks anew"
        await inspection.close()


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


@pytest.mark.parametrize(
    ("put", "fault", "why"),
    [
        ({"body": POLICY}, None, ""),
        ({"body": POLICY, "media_type": "text/html"}, Fault.STS_TYPE, "text/html"),
        ({"body": POLICY, "status": "302 Found"}, Fault.STS_STATUS, "302"),
        ({"body": b"hello\n"}, Fault.STS_POLICY_INVALID, "line 1"),
        ({"body": b"x" * 70_000}, Fault.STS_UNREACHABLE, "octets"),
        (None, Fault.STS_STATUS, "404"),
    ],
)
async def test_the_policy_is_fetched_as_a_sender_would(
    root: Issuer, tmp_path: Path, put: dict[str, object] | None, fault: Fault | None, why: str
) -> None:
    server = HttpsServer()
    if put is not None:
        server.put(PATH, **put)  # type: ignore[arg-type]
    (tmp_path / "ca.pem").write_bytes(root.pem)
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        fetched = await probe(tmp_path / "ca.pem", port)
    assert fetched.fault is fault
    assert why in fetched.why
    assert (fetched.policy is not None) is (fault is None)


async def test_a_certificate_for_another_name_and_silence(root: Issuer, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put(PATH, POLICY)
    (tmp_path / "ca.pem").write_bytes(root.pem)
    context: ssl.SSLContext = root.server_context("other.example.org", folder=tmp_path)
    async with server.serve(context) as port:
        assert (await probe(tmp_path / "ca.pem", port)).fault is Fault.STS_UNTRUSTED
    assert (await probe(tmp_path / "ca.pem", port)).fault is Fault.STS_UNREACHABLE


async def probe(ca_file: Path, port: int) -> Fetched:
    resolver = ZoneResolver(Zone.of({HOST: {"A": ["127.0.0.1"]}}))
    https = StrangersHttps(resolver, ca_file=ca_file, allow_loopback=True, port=port)
    try:
        return await PolicyProbe(https, ManualClock()).fetch("example.org")
    finally:
        await https.close()
