"""The pages for everyone, asked as the ASGI server would ask them."""

import plistlib

import pytest
from fastapi import FastAPI

from postroom.admin.programs.offer import Offer, Security, Service
from postroom.config.pages import AutoconfigSettings
from postroom.web.app import make_public_app
from postroom.web.pages.publication import Publication, publication_routes

OFFER = Offer(
    (Service("pop3", "mail.example.org", 995, Security.TLS),),
    (Service("smtp", "mail.example.org", 465, Security.TLS),),
)
POLICY = "version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 604800\r\n"


async def is_local(domain: str) -> bool:
    return domain in {"example.org", "xn--mller-kva.example"}


def app(*, policy: str | None = POLICY, autoconfig: bool = True) -> FastAPI:
    settings = AutoconfigSettings(enabled=autoconfig)
    return make_public_app(publication_routes(Publication(policy, OFFER, settings, is_local, lambda: None)))


async def ask(
    application: FastAPI, host: str, path: str, query: str = "", method: str = "GET", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", host.encode())],
        "http_version": "1.1",
        "scheme": "https",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
    }
    sent: list[dict[str, object]] = []
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]

    async def receive() -> dict[str, object]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    await application(scope, receive, send)
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}  # type: ignore[attr-defined]  # ASGI
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status, headers, b"".join(m["body"] for m in sent[1:])  # type: ignore[misc]  # ASGI


async def test_the_policy_is_served_under_the_mta_sts_host_of_each_domain() -> None:
    # RFC 8461 §3.3: text/plain, over HTTPS, at the host mta-sts
    status, headers, body = await ask(app(), "mta-sts.example.org", "/.well-known/mta-sts.txt")
    assert (status, body.decode()) == (200, POLICY)
    assert headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "host",
    ["example.org", "mta-sts.example.net", "mail.example.org", "MTA-STS.EXAMPLE.ORG:443x", "", "mta-sts.", "a" * 400],
)
async def test_no_other_host_has_a_policy(host: str) -> None:
    status, _, _ = await ask(app(), host, "/.well-known/mta-sts.txt")
    assert status == 404


async def test_a_host_counts_in_any_case_and_with_its_port() -> None:
    status, _, _ = await ask(app(), "MTA-STS.Example.Org:443", "/.well-known/mta-sts.txt")
    assert status == 200


async def test_without_a_policy_there_is_none() -> None:
    status, _, _ = await ask(app(policy=None), "mta-sts.example.org", "/.well-known/mta-sts.txt")
    assert status == 404


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("autoconfig.example.org", "/mail/config-v1.1.xml"),
        ("example.org", "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ],
)
async def test_autoconfig_goes_by_the_host(host: str, path: str) -> None:
    status, headers, body = await ask(app(), host, path)
    assert (status, headers["content-type"]) == (200, "application/xml; charset=utf-8")
    assert b'<emailProvider id="example.org">' in body


async def test_autoconfig_goes_by_the_address_on_another_host() -> None:
    path, query = "/mail/config-v1.1.xml", "emailaddress=ann%40example.org"
    status, _, body = await ask(app(), "mail.example.org", path, query)
    assert status == 200
    assert b"<hostname>mail.example.org</hostname>" in body
    status, _, _ = await ask(app(), "mail.example.org", path, "emailaddress=ann%40example.net")
    assert status == 404
    status, _, _ = await ask(app(), "mail.example.org", path)
    assert status == 404


async def test_an_internationalised_domain_is_shown_as_people_write_it() -> None:
    _, _, body = await ask(app(), "autoconfig.xn--mller-kva.example", "/mail/config-v1.1.xml")
    assert "<displayName>müller.example</displayName>" in body.decode()


async def test_autodiscover_answers_a_post() -> None:
    body = b"<Autodiscover><Request><EMailAddress>ann@example.org</EMailAddress></Request></Autodiscover>"
    for path in ("/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"):
        status, _, answer = await ask(app(), "autodiscover.example.org", path, method="POST", body=body)
        assert status == 200
        assert b"<LoginName>ann@example.org</LoginName>" in answer


async def test_a_request_that_is_too_long_is_not_read_to_its_end() -> None:
    status, _, _ = await ask(
        app(), "autodiscover.example.org", "/autodiscover/autodiscover.xml", method="POST", body=b"<a>" * 20_000
    )
    assert status == 400


async def test_a_profile_is_given_for_an_address_of_ours() -> None:
    status, headers, body = await ask(app(), "example.org", "/profile.mobileconfig", "address=ann%40example.org")
    assert (status, headers["content-type"]) == (200, "application/x-apple-aspen-config")
    assert plistlib.loads(body)["PayloadContent"][0]["EmailAddress"] == "ann@example.org"


@pytest.mark.parametrize("address", ["ann%40example.net", "ann", "%22a%0d%0aX:%22%40example.net"])
async def test_no_profile_for_others(address: str) -> None:
    status, _, _ = await ask(app(), "example.org", "/profile.mobileconfig", f"address={address}")
    assert status == 404


async def test_accounts_are_not_told_apart_from_strangers() -> None:
    answers = [
        await ask(app(), "example.org", "/profile.mobileconfig", f"address={name}%40example.org")
        for name in ("ann", "nobody")
    ]
    assert [status for status, _, _ in answers] == [200, 200]


async def test_pages_for_mail_programs_can_be_left_out() -> None:
    closed = app(autoconfig=False)
    for path in ("/mail/config-v1.1.xml", "/profile.mobileconfig"):
        status, _, _ = await ask(closed, "autoconfig.example.org", path, "address=ann%40example.org")
        assert status == 404
    status, _, _ = await ask(closed, "mta-sts.example.org", "/.well-known/mta-sts.txt")
    assert status == 200


async def test_the_public_port_shows_nothing_of_the_node() -> None:
    for path in ("/metrics", "/healthz", "/api/v1/suppressions", "/openapi.json", "/docs"):
        status, _, _ = await ask(app(), "example.org", path)
        assert status == 404
