"""Settings that contradict each other are found before the server starts."""

import tomllib
from collections.abc import Iterable

import pytest

from postroom.config.finding import Finding
from postroom.config.lines import show_path
from postroom.config.model import Settings
from postroom.config.sense import check_sense, listeners_of
from postroom.mail.session import Role

BASE = 'hostname = "mx.example.org"\ntls = {certificate = "c", key = "k"}\n'


def findings(text: str, base: str = BASE) -> list[Finding]:
    return list(check_sense(Settings.model_validate(tomllib.loads(base + text))))


def shown(found: Iterable[Finding]) -> list[tuple[str, bool]]:
    return [(show_path(finding.path), finding.is_error) for finding in found]


def test_nothing_to_say_about_good_settings() -> None:
    good = """
[smtp]
trusted_networks = ["10.0.0.0/8", "::1/128", "fd00::/8"]
[[listener]]
role = "mx"
addresses = ["0.0.0.0", "::"]
port = 25
[[listener]]
role = "submissions"
port = 465
[[smarthost]]
name = "out"
host = "smtp.example.net"
user = "u"
password_file = "pw"
[[route]]
domains = ["*"]
via = "out"
[[route]]
domains = [".example.org"]
via = "discard"
[outbound]
source_addresses = ["192.0.2.1", "2001:db8::1"]
[dns]
servers = ["192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53", "[2001:db8::53]", "2001:db8::53"]
"""
    assert findings(good) == []


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('[[listener]]\nrole="mx"\naddresses=["localhost"]\nport=25\n', "listener[1].addresses", "not an IP address"),
        ('[[listener]]\nrole="mx"\naddresses=[]\nport=25\n', "listener[1].addresses", "no address"),
        ('[[listener]]\nrole="mx"\naddresses=["127.0.0.1"]\nport=8025\n', "listener[1].port", "the web port"),
        ('[smtp]\ntrusted_networks=["10.0.0.0/8","0.0.0.0/0"]\n', "smtp.trusted_networks[2]", "open relay"),
        ('[smtp]\ntrusted_networks=["::/0"]\n', "smtp.trusted_networks[1]", "open relay"),
        ('[smtp]\nxclient_networks=["0.0.0.0/0"]\n', "smtp.xclient_networks[1]", "everyone"),
        (
            '[[listener]]\nrole="mx"\nport=2525\nproxy_networks=["::/0"]\n',
            "listener[1].proxy_networks[1]",
            "everyone",
        ),
        ("[queue]\nfirst_retry=600\nlongest_retry=60\n", "queue.longest_retry", "shorter"),
        ("[lockout]\nban=600\nlongest_ban=60\n", "lockout.longest_ban", "shorter"),
        ("[lockout]\ndelay=20\n", "lockout.longest_delay", "shorter"),
        ('[queue]\nfirst_retry="1d"\nlongest_retry="1d"\nlifetime="1d"\n', "queue.lifetime", "expire before"),
        ('[outbound]\nsource_addresses=["eth0"]\n', "outbound.source_addresses[1]", "not an IP"),
        ('[outbound]\nsource_addresses=["192.0.2.1","192.0.2.2"]\n', "outbound.source_addresses[2]", "second IPv4"),
        ('[dns]\nservers=["dns.example"]\n', "dns.servers[1]", "not the address"),
        ('[dns]\nservers=["192.0.2.1:99999"]\n', "dns.servers[1]", "not the address"),
    ],
)
def test_errors(text: str, path: str, words: str) -> None:
    found = [finding for finding in findings(text) if finding.is_error]
    assert shown(found) == [(path, True)]
    assert words in found[0].what
    assert found[0].remedy


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[smtp]\ntrusted_networks=["64.0.0.0/4"]\n', "smtp.trusted_networks[1]"),
        ('[queue]\ndelay_warning="6d"\n', "queue.delay_warning"),
        ('[[listener]]\nrole="lmtp"\naddresses=["0.0.0.0"]\nport=24\n', "listener[1].addresses"),
        ('[[listener]]\nrole="lmtp"\naddresses=["127.0.0.1","198.41.0.4"]\nport=24\n', "listener[1].addresses"),
    ],
)
def test_warnings(text: str, path: str) -> None:
    assert shown(findings(text)) == [(path, False)]


def test_lmtp_is_not_for_the_port_of_smtp() -> None:
    # RFC 2033 §5
    found = findings('[[listener]]\nrole="lmtp"\naddresses=["127.0.0.1"]\nport=25\n')
    assert shown(found) == [("listener[1].port", True)]


def test_lmtp_needs_no_certificate() -> None:
    assert (
        findings(
            '[[listener]]\nrole="lmtp"\naddresses=["127.0.0.1","::1","10.0.0.1"]\nport=24\n', "hostname='a.example'\n"
        )
        == []
    )


def test_short_hostname_is_a_warning() -> None:
    assert shown(findings("", 'hostname="mail"\ntls={certificate="c",key="k"}\n')) == [("hostname", False)]
    assert findings("", 'hostname="[192.0.2.1]"\ntls={certificate="c",key="k"}\n') == []


def test_same_port_twice() -> None:
    listener = '[[listener]]\nrole="mx"\nport=2525\n'
    found = findings(listener + listener)
    assert shown(found) == [("listener[2].port", True)] * 2  # once an address
    assert "taken by listener[1] (mx)" in found[0].what
    free = '[[listener]]\nrole="mx"\nport=0\n'
    assert findings(free + free) == []


@pytest.mark.parametrize("role", ["submission", "submissions", "pop3", "pop3s"])
def test_logins_need_a_certificate(role: str) -> None:
    found = findings(f'[[listener]]\nrole="{role}"\nport=1\n', 'hostname="mx.example.org"\n')
    assert shown(found) == [("listener[1].role", True)]
    assert "postroom init" in found[0].remedy


@pytest.mark.parametrize(("given", "lacking"), [("certificate", "key"), ("key", "certificate")])
def test_certificate_and_key_go_together(given: str, lacking: str) -> None:
    found = [f for f in findings("", f'hostname="mx.example.org"\ntls={{{given}="x"}}\n') if f.is_error]
    assert shown(found) == [(f"tls.{given}", True)]
    assert f"add {lacking}" in found[0].remedy


def test_further_certificates_need_a_first_one() -> None:
    more = '[[listener]]\nrole="mx"\nport=2525\n[[tls.more]]\ncertificate="a.pem"\nkey="a.key"\n'
    assert shown(findings(more, 'hostname = "mx.example.org"\n')) == [("tls.more", True)]


def test_standard_listeners() -> None:
    with_tls = Settings.model_validate(tomllib.loads(BASE))
    ports = {(listener.role, listener.port) for listener in listeners_of(with_tls)}
    assert ports == {
        (Role.MX, 2025),
        (Role.SUBMISSION, 2587),
        (Role.SUBMISSIONS, 2465),
        (Role.POP3, 2110),
        (Role.POP3S, 2995),
    }
    assert all(listener.addresses == ("127.0.0.1", "::1") for listener in listeners_of(with_tls))
    without = Settings(hostname="mx.example.org")
    assert [listener.role for listener in listeners_of(without)] == [Role.MX]
    assert shown(check_sense(without)) == [("tls", False)]


def test_given_listeners_replace_the_standard_ones() -> None:
    settings = Settings.model_validate(tomllib.loads(BASE + '[[listener]]\nrole="mx"\nport=25\n'))
    assert [(listener.role, listener.port) for listener in listeners_of(settings)] == [(Role.MX, 25)]
