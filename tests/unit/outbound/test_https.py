"""HTTPS with strangers, against a real server on loopback."""

import gzip
from pathlib import Path

import pytest
from tests.fakes.chains import Issuer, make_root
from tests.fakes.https_server import HttpsServer

from postroom.dns.zone import Zone, ZoneResolver
from postroom.outbound.https import HttpsFailed, StrangersHttps

HOST = "mta-sts.example.org"


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


@pytest.fixture
def ca_file(root: Issuer, tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(root.pem)
    return tmp_path / "ca.pem"


def client(ca_file: Path, port: int, *, allow: bool = True, **zone: list[str]) -> StrangersHttps:
    records = {HOST: zone or {"A": ["127.0.0.1"]}, "other.example": {"A": ["127.0.0.1"]}}
    resolver = ZoneResolver(Zone.of(records))
    return StrangersHttps(resolver, ca_file=ca_file, allow_loopback=allow, port=port)


async def test_what_stands_there(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put("/policy", b"hello\n", media_type='Text/PLAIN; charset="utf-8"')
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port)
        answer = await https.get(HOST, "/policy", limit=100, seconds=5)
        assert (answer.status, answer.media_type, answer.body) == (200, "text/plain", b"hello\n")
        assert (await https.get(HOST, "/nothing", limit=100, seconds=5)).status == 404
        await https.close()
    assert server.asked == [(HOST, "GET /policy HTTP/1.1"), (HOST, "GET /nothing HTTP/1.1")]
    assert server.names == [HOST, HOST]  # RFC 8461 §7.1


async def test_a_redirect_is_an_answer_and_is_not_followed(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put("/policy", b"", status="301 Moved", more="Location: https://other.example/policy\r\n")
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port)
        assert (await https.get(HOST, "/policy", limit=100, seconds=5)).status == 301
        await https.close()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("names", "expired", "ours"),
    [(("other.example",), False, True), ((HOST,), True, True), ((HOST,), False, False)],
)
async def test_who_is_not_who_it_should_be(
    root: Issuer, ca_file: Path, tmp_path: Path, names: tuple[str, ...], expired: bool, ours: bool
) -> None:
    issuer = root if ours else make_root()
    server = HttpsServer()
    server.put("/policy", b"hello\n")
    async with server.serve(issuer.server_context(*names, folder=tmp_path, expired=expired)) as port:
        https = client(ca_file, port)
        with pytest.raises(HttpsFailed) as caught:
            await https.get(HOST, "/policy", limit=100, seconds=5)
        await https.close()
    assert caught.value.untrusted
    assert not server.asked


async def test_what_is_too_much(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put("/policy", b"x" * 101)
    server.put("/bomb", gzip.compress(bytes(1 << 20)), more="Content-Encoding: gzip\r\n")
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port)
        for path in ("/policy", "/bomb"):
            with pytest.raises(HttpsFailed) as caught:
                await https.get(HOST, path, limit=100 if path == "/policy" else 10000, seconds=5)
            assert not caught.value.untrusted
        await https.close()


async def test_silence_has_an_end(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer(silent=True)
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port)
        with pytest.raises(HttpsFailed, match="did not answer"):
            await https.get(HOST, "/policy", limit=100, seconds=0.2)
        await https.close()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1", "0.0.0.0"],
)
async def test_nobody_reaches_what_only_we_can_reach(ca_file: Path, address: str) -> None:
    kind = "AAAA" if ":" in address else "A"
    https = client(ca_file, 1, allow=False, **{kind: [address]})
    with pytest.raises(HttpsFailed, match="no public address"):
        await https.get(HOST, "/policy", limit=100, seconds=5)
    await https.close()


async def test_the_next_address_is_tried(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put("/policy", b"hello\n")
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port, AAAA=["::1"], A=["127.0.0.1"])
        assert (await https.get(HOST, "/policy", limit=100, seconds=5)).body == b"hello\n"
        await https.close()


async def test_posting(root: Issuer, ca_file: Path, tmp_path: Path) -> None:
    server = HttpsServer()
    server.put("/v1?a=b", b"", status="201 Created")
    async with server.serve(root.server_context(HOST, folder=tmp_path)) as port:
        https = client(ca_file, port)
        status = await https.post(f"https://{HOST}:{port}/v1?a=b", b"report", "application/tlsrpt+gzip", seconds=5)
        assert status == 201
        await https.close()
    assert server.bodies == [b"report"]
    assert server.headers[0]["content-type"] == "application/tlsrpt+gzip"


@pytest.mark.parametrize(
    "url",
    ["http://mta-sts.example.org/", "https:///x", "https://user@mta-sts.example.org/", "https://[x/", "file:///etc"],
)
async def test_urls_that_are_not_asked(ca_file: Path, url: str) -> None:
    https = client(ca_file, 1)
    with pytest.raises(HttpsFailed, match="URL"):
        await https.post(url, b"", "text/plain", seconds=5)
    await https.close()
