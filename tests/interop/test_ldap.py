"""The source ldap against OpenLDAP's own server: binds, searches, TLS, and a server that hangs (RFC 4511, RFC 4513)."""

import asyncio
import smtplib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.credential_house import CredentialHouse
from tests.interop.slapd import BASE, PEOPLE, SEARCHER, SEARCHER_PASSWORD, Slapd
from tests.system.fixtures import MakeProgram

from postroom.admin.finding import Finding, Level
from postroom.admin.sourcecheck import check_sources
from postroom.config.identity import LdapSettings
from postroom.config.model import Settings
from postroom.directory.checker import Authenticated, Refused, Unavailable
from postroom.directory.sources.ldap import LdapSource
from postroom.directory.sources.source import Claim, SourceUnavailable
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Password

pytestmark = [
    pytest.mark.needs("slapd", "slapadd"),
    pytest.mark.skipif(find_spec("bonsai") is None, reason="not installed: bonsai (make ldap)"),
]

BY_DN = {"bind_dn": f"uid={{local}},ou=people,{BASE}"}
BY_SEARCH = {"search_base": BASE}


def claim(address: str, password: str) -> Claim:
    return Claim(Address.parse(address), Password(password), password.encode())


def alice() -> Claim:
    return claim("alice@example.org", PEOPLE["alice"])


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    server.prepare()
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Sources:
    """Makes sources, and ends them."""

    def __init__(self, slapd: Slapd) -> None:
        self.slapd = slapd
        self.made: list[LdapSource] = []

    def __call__(self, **settings: Any) -> LdapSource:
        values = {"url": f"ldap://127.0.0.1:{self.slapd.port}", "ca_file": self.slapd.authority, "timeout": 5}
        self.made.append(LdapSource(LdapSettings.model_validate(values | settings)))
        return self.made[-1]


@pytest.fixture
async def sources(slapd: Slapd) -> AsyncIterator[Sources]:
    sources = Sources(slapd)
    yield sources
    for source in sources.made:
        await source.close()


@pytest.mark.parametrize("way", [BY_DN, BY_SEARCH], ids=["by DN", "by search"])
@pytest.mark.parametrize("transport", ["StartTLS", "ldaps", "ldapi"])
async def test_passwords(sources: Sources, way: dict[str, str], transport: str) -> None:
    slapd = sources.slapd
    urls = {
        "StartTLS": f"ldap://127.0.0.1:{slapd.port}",
        "ldaps": f"ldaps://127.0.0.1:{slapd.tls_port}",
        "ldapi": f"ldapi://{slapd.socket}",
    }
    source = sources(url=urls[transport], **way)
    await source.try_out()
    for name, password in PEOPLE.items():
        assert await source.verify(claim(f"{name}@example.org", password)) is True
        assert await source.verify(claim(f"{name}@example.org", f"{password}x")) is False
    await source.imitate(claim("zoe@example.org", "secret"))


async def test_strangers(sources: Sources) -> None:
    by_dn, by_search = sources(**BY_DN), sources(**BY_SEARCH)
    for stranger in (
        claim("zoe@example.org", "x"),
        claim('"*"@example.org', "x"),
        claim('"a)(uid=*"@example.org', "x"),
    ):
        assert await by_dn.verify(stranger) is False
        assert await by_search.verify(stranger) is None


async def test_a_name_cannot_become_another_dn(sources: Sources) -> None:
    """``alice,ou=people`` as a local part under another template would bind as alice if it were not escaped."""
    source = sources(bind_dn=f"uid={{local}},{BASE}")
    assert await source.verify(claim('"alice,ou=people"@example.org', PEOPLE["alice"])) is False


async def test_an_empty_password_is_no_login(sources: Sources) -> None:
    """RFC 4513 §5.1.2: the server would answer with success."""
    for way in (BY_DN, BY_SEARCH):
        assert await sources(**way).verify(claim("alice@example.org", "")) is not True


async def test_several_entries_are_the_operators_trouble(sources: Sources) -> None:
    with pytest.raises(SourceUnavailable, match="several"):
        await sources(**BY_SEARCH).verify(claim("shared@example.org", "x"))


async def test_searching_as_somebody(sources: Sources, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SEARCHER_PASSWORD}\nand more\n")
    source = sources(search_dn=SEARCHER, search_password_file=secret, **BY_SEARCH)
    assert await source.verify(alice()) is True
    secret.write_text("wrong\n")
    wrong = sources(search_dn=SEARCHER, search_password_file=secret, **BY_SEARCH)
    for ask in (wrong.verify(alice()), wrong.try_out()):
        with pytest.raises(SourceUnavailable):  # our own password is wrong: the client is not refused for it
            await ask
    with pytest.raises(ValueError, match="search_password_file"):
        sources(search_dn=SEARCHER, search_password_file=tmp_path / "missing", **BY_SEARCH)


async def test_the_server_must_be_whom_it_says(sources: Sources, tmp_path: Path) -> None:
    stranger = Slapd(tmp_path / "stranger")
    stranger.prepare()
    for url in (f"ldap://127.0.0.1:{sources.slapd.port}", f"ldaps://127.0.0.1:{sources.slapd.tls_port}"):
        for authority in (stranger.authority, None):
            with pytest.raises(SourceUnavailable):
                await sources(url=url, ca_file=authority, **BY_DN).verify(alice())


async def test_the_name_in_the_certificate_counts(tmp_path: Path) -> None:
    other = Slapd(tmp_path / "other", host="ldap.example.org")
    other.prepare()
    source = Sources(other)(**BY_DN)
    try:
        other.start()
        with pytest.raises(SourceUnavailable):
            await source.verify(alice())
    finally:
        await source.close()
        other.stop()


async def test_a_restart_of_the_server_is_not_noticed(tmp_path: Path) -> None:
    server = Slapd(tmp_path / "restarted")
    server.prepare()
    source = Sources(server)(**BY_SEARCH)
    try:
        server.start()
        assert await source.verify(alice()) is True
        server.stop()
        with pytest.raises(SourceUnavailable):
            await source.verify(alice())
        server.start()
        assert await source.verify(alice()) is True
        server.stop()
        server.start()
        assert await source.verify(alice()) is True
    finally:
        await source.close()
        server.stop()


async def test_many_at_once(sources: Sources) -> None:
    source = sources(connections=3, **BY_SEARCH)
    asked = [claim("alice@example.org", PEOPLE["alice"] if number % 2 else "wrong") for number in range(20)]
    assert await asyncio.gather(*map(source.verify, asked)) == [bool(number % 2) for number in range(20)]


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
@pytest.mark.parametrize("start_tls", [True, False])
async def test_a_server_that_hangs_hangs_nothing_else(sources: Sources, scheme: str, start_tls: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        source = sources(url=url, start_tls=start_tls, timeout=0.5, **BY_DN)
        asking = asyncio.create_task(source.verify(alice()))
        longest, last = 0.0, time.monotonic()
        while not asking.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        with pytest.raises(SourceUnavailable):
            await asking
        assert longest < 0.4


async def test_logins(sources: Sources) -> None:
    """The whole of it: LDAP knows the password, the directory who lives here."""
    source = sources(**BY_SEARCH)
    house = CredentialHouse({"sources": ["directory", "ldap"]}, {"ldap": source})
    alice = house.store.add_account("alice@example.org")
    house.store.add_account("carl@example.org")
    assert house.credentials.mechanisms == ("PLAIN", "LOGIN")
    assert await house.check("Alice@example.org", PEOPLE["alice"]) == Authenticated(alice)
    for name, password in (("alice@example.org", "x"), ("bob@example.org", PEOPLE["bob"]), ("carl@example.org", "x")):
        assert isinstance(await house.check(name, password), Refused)
    await house.credentials.close()
    down = CredentialHouse({"sources": ["ldap"]}, {"ldap": sources(url="ldap://127.0.0.1:1", **BY_DN)})
    assert isinstance(await down.check("anna@example.org", "secret"), Unavailable)
    await down.credentials.close()


async def test_check(sources: Sources) -> None:
    """``postroom check`` says whether it can be asked."""

    async def look(**ldap: Any) -> Finding:
        values = {
            "hostname": "mx.example.org",
            "auth": {"sources": ["ldap"]},
            "ldap": {"timeout": 5} | BY_SEARCH | ldap,
        }
        (found,) = [each async for each in check_sources(Settings.model_validate(values), ManualClock())]
        return found

    url = f"ldaps://127.0.0.1:{sources.slapd.tls_port}"
    assert await look(url=url, ca_file=sources.slapd.authority) == Finding(Level.OK, "logins", f"{url} answers")
    for broken in (
        {"url": "ldap://127.0.0.1:1"},
        {"url": url},
        {"url": url, "ca_file": sources.slapd.authority, "search_dn": SEARCHER, "search_password_file": "/nonexistent"},
    ):
        found = await look(**broken)
        assert (found.level, bool(found.remedy)) == (Level.ERROR, True)


def test_the_whole_program(make_program: MakeProgram, slapd: Slapd) -> None:
    """SMTP and POP3 by a password that LDAP knows; a wrong one is refused; while LDAP is down nobody is."""
    alice, password = "alice@example.org", PEOPLE["alice"]
    ldap = {"url": f"ldaps://127.0.0.1:{slapd.tls_port}", "ca_file": str(slapd.authority), "search_base": BASE}
    program = make_program({"auth": {"sources": ["ldap"]}, "ldap": ldap | {"timeout": 2}}).add(alice).start()

    def refusal(given: str) -> int:
        with program.smtp("submissions") as client, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login(alice, given)
        return refused.value.smtp_code

    program.submission(alice, password).quit()
    program.pop3(alice, password).quit()
    assert refusal("wrong") == 535
    slapd.stop()
    try:
        assert refusal(password) == 454
    finally:
        slapd.start()
    program.submission(alice, password).quit()
    assert password not in program.log_text()
