"""Whether ports are free, ours already, or somebody else's."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from postroom.admin import portcheck
from postroom.admin.finding import Finding, Level
from postroom.admin.portcheck import check_ports, places_of
from postroom.config.certificates import AcmeSettings
from postroom.config.model import Settings, WebSettings
from postroom.config.pages import HttpsSettings


def settings(port: int, address: str = "127.0.0.1") -> Settings:
    return Settings.model_validate(
        {
            "hostname": "mx.example.org",
            "web": {"enabled": False},
            "listener": [{"role": "mx", "addresses": [address], "port": port}],
        }
    )


def the_finding(settings: Settings) -> Finding:
    (finding,) = check_ports(settings)
    return finding


@contextmanager
def somebody(greeting: bytes) -> Iterator[int]:
    """Someone who listens and greets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                peer.sendall(greeting)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_every_port_that_the_server_opens_is_tried() -> None:
    opened = settings(0).model_copy(
        update={
            "web": WebSettings(port=8025),
            "https": HttpsSettings(enabled=True, address="127.0.0.1", port=8443),
            "acme": AcmeSettings(enabled=True, agree=True, address="127.0.0.1", port=8080),
        }
    )
    names = [str(place) for place in places_of(opened)]
    assert names == ["mx 127.0.0.1:0", "web 127.0.0.1:8025", "https 127.0.0.1:8443", "acme 127.0.0.1:8080"]


def test_free() -> None:
    assert the_finding(settings(0)).level is Level.OK


def test_ours() -> None:
    with somebody(b"220 mx.example.org ESMTP Postroom\r\n") as port:
        finding = the_finding(settings(port))
    assert finding.level is Level.OK
    assert "this server runs" in finding.what


@pytest.mark.parametrize(("greeting", "says"), [(b"220 other ESMTP\r\n", "greets with '220 other"), (b"", "is in use")])
def test_somebody_elses(greeting: bytes, says: str) -> None:
    with somebody(greeting) as port:
        finding = the_finding(settings(port))
    assert finding.level is Level.ERROR
    assert says in finding.what


def test_silent_ports_are_ours_while_our_server_greets() -> None:
    """submissions waits for TLS and says nothing by itself."""
    with somebody(b"220 mx.example.org ESMTP\r\n") as mx, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        both = Settings.model_validate(
            {
                "hostname": "mx.example.org",
                "web": {"enabled": False},
                "listener": [
                    {"role": "mx", "addresses": ["127.0.0.1"], "port": mx},
                    {"role": "submissions", "addresses": ["127.0.0.1"], "port": port},
                ],
            }
        )
        found = list(check_ports(both))
    assert [finding.level for finding in found] == [Level.OK, Level.OK]


@pytest.mark.parametrize(
    ("address", "number", "level", "says"),
    [
        ("127.0.0.1", errno.EACCES, Level.WARNING, "needs privileges"),
        ("::1", errno.EADDRNOTAVAIL, Level.OK, "no IPv6"),
        ("192.0.2.1", errno.EADDRNOTAVAIL, Level.ERROR, "no such address"),
        ("127.0.0.1", errno.EINVAL, Level.ERROR, "Invalid argument"),
    ],
)
def test_what_the_system_says(
    monkeypatch: pytest.MonkeyPatch, address: str, number: int, level: Level, says: str
) -> None:
    monkeypatch.setattr(portcheck, "_try", lambda place: OSError(number, "Invalid argument"))
    finding = the_finding(settings(25, address))
    assert finding.level is level
    assert says in finding.what


def test_an_address_of_somewhere_else() -> None:
    assert the_finding(settings(0, "192.0.2.1")).level is Level.ERROR


def test_ipv6_is_bound_by_itself() -> None:
    assert the_finding(settings(0, "::1")).level is Level.OK


def test_all_places() -> None:
    places = places_of(Settings.model_validate({"hostname": "x.example"}))
    assert [str(place) for place in places] == ["mx 127.0.0.1:2025", "mx [::1]:2025", "web 127.0.0.1:8025"]
