"""What the records are made from: settings and certificates on the disk."""

from pathlib import Path
from typing import Any

import pytest

from postroom.admin.acmeshelf import Shelf
from postroom.admin.dnsrecords.facts import digest_of, gather, local_addresses
from postroom.admin.dnsrecords.model import Sender, Service
from postroom.admin.setup import lay_out
from postroom.config.load import load
from postroom.config.model import Settings
from postroom.mail.session import Role
from postroom.net.certificates import load_certificate, self_signed

HOST = "mx.example.org"
MX = {"role": "mx", "addresses": ["0.0.0.0", "::"], "port": 25}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"hostname": HOST, **sections})


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"publish": {"public_addresses": ["8.8.8.8", "2001:4860:0::8"]}}, ("8.8.8.8", "2001:4860::8")),
        ({"listener": [{**MX, "addresses": ["8.8.4.4"]}]}, ("8.8.4.4",)),
        ({"listener": [MX]}, ("9.9.9.9",)),
        ({"listener": [{**MX, "addresses": ["127.0.0.1"]}]}, ()),
        ({"listener": [{**MX, "role": "pop3"}]}, ()),
    ],
)
def test_public_addresses(sections: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert gather(settings(**sections), lambda: ["9.9.9.9", "10.0.0.1", "fe80::1"]).addresses == expected


def test_this_machine_knows_its_addresses() -> None:
    assert all(":" in each or each.count(".") == 3 for each in local_addresses())


def test_where_mail_leaves_from() -> None:
    sources = [{"name": "a", "ipv4": "8.8.8.1", "hostname": "a.example.org"}, {"name": "b", "ipv4": "10.0.0.1"}]
    facts = gather(settings(source=sources, outbound={"source_addresses": ["8.8.8.2"], "hostname": "o.example.org"}))
    assert facts.senders == (Sender("8.8.8.1", "a.example.org"), Sender("8.8.8.2", "o.example.org"))
    assert facts.helo == "o.example.org"
    assert any("10.0.0.1" in note for note in facts.notes)
    public = gather(settings(source=sources, publish={"public_addresses": ["8.8.8.1"]}))
    assert not any("10.0.0.1" in note for note in public.notes)


@pytest.mark.parametrize(
    ("route", "relays", "itself"),
    [
        ({"via": "hub"}, ("smtp.example.net",), False),
        ({"via": "hub", "domains": ["example.com"]}, ("smtp.example.net",), True),
        ({"via": "mx"}, (), True),
        ({"via": "box"}, (), True),
    ],
)
def test_smarthosts(route: dict[str, Any], relays: tuple[str, ...], itself: bool) -> None:
    hosts = [
        {"name": "hub", "host": "smtp.example.net"},
        {"name": "box", "host": "lmtp.example.net", "protocol": "lmtp"},
    ]
    facts = gather(settings(smarthost=hosts, route=[route]))
    assert facts.relays == relays
    assert facts.sends_itself is itself


def test_services() -> None:
    submission = {"role": "submission", "addresses": ["::"], "port": 2587}
    facts = gather(settings(listener=[MX, submission, {**submission, "port": 587}]))
    assert facts.services == (Service(Role.MX, 25), Service(Role.SUBMISSION, 587))
    behind = gather(settings(listener=[{**MX, "port": 2025}]))
    assert any("port 25" in note for note in behind.notes)
    inside = gather(settings(listener=[{**MX, "addresses": ["127.0.0.1"], "port": 2025}]))
    assert inside.services == (Service(Role.MX, 25),)
    assert any("no listener is open to the world" in note for note in inside.notes)


def test_the_key_of_the_certificate(tmp_path: Path) -> None:
    laid = lay_out(tmp_path, HOST, 1_800_000_000.0, public=False, acme=False)
    known = load(laid.settings)
    assert known.tls.certificate is not None
    facts = gather(known)
    certificate = load_certificate(known.tls.certificate, known.tls.key)
    assert [key.digest for key in facts.keys] == [digest_of(certificate.key)]
    known.tls.certificate.write_text("nothing")
    assert any("cannot be used" in note for note in gather(known).notes)


def test_the_next_key_of_an_authority(tmp_path: Path) -> None:
    acme = {"enabled": True, "agree": True, "keep_key": False}
    known = settings(data=tmp_path, acme=acme)
    assert any("still to come" in note for note in gather(known).notes)
    shelf = Shelf(tmp_path)
    shelf.prepare()
    made = self_signed(HOST, 1_800_000_000.0, 30)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shelf.keep(pem, made.leaf.public_bytes(Encoding.PEM))
    shelf.next_key()
    facts = gather(known)
    assert [key.is_next for key in facts.keys] == [False, True]
    assert facts.keys[0].digest == digest_of(made.key)
    kept = gather(settings(data=tmp_path, acme={**acme, "keep_key": True}))
    assert [key.is_next for key in kept.keys] == [False]
    assert kept.keeps_key
