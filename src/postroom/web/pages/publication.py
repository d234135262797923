"""The routes of the pages for everyone: what they say derives from the settings; nobody learns who lives here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse

from postroom.admin.programs import apple, outlook, thunderbird
from postroom.admin.programs.offer import Offer, offer_of
from postroom.admin.stspolicy import POLICY_HOST, POLICY_PATH, policy_text, sts_offer
from postroom.config.model import Settings
from postroom.config.pages import AutoconfigSettings
from postroom.config.sense import listeners_of
from postroom.mail.domain import show_domain
from postroom.net.certificates import Certificate
from postroom.web.pages.hosts import IsLocal, asked_host, domain_under, local_address

Name = Annotated[str, Query(max_length=1100)]

_XML = "application/xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Publication:
    """What the pages say. ``policy`` is the MTA-STS policy, None for none; ``signer`` gives the certificate that
    signs profiles, None where there is none that others could trust.
    """

    policy: str | None
    offer: Offer
    autoconfig: AutoconfigSettings
    is_local: IsLocal
    signer: Callable[[], Certificate | None]

    def name(self, domain: str) -> str:
        """What the service is called."""
        return self.autoconfig.name or show_domain(domain)


def publication_routes(publication: Publication) -> APIRouter:
    """The MTA-STS policy, and the pages for mail programs where the settings want them."""
    router = APIRouter()

    policy = publication.policy
    if policy is not None:

        @router.get(POLICY_PATH)
        async def mta_sts(request: Request) -> PlainTextResponse:
            """The policy of the domain whose ``mta-sts`` host was asked (RFC 8461 §3.3: text/plain)."""
            await domain_under(request, POLICY_HOST, publication.is_local)
            return PlainTextResponse(policy)

    if publication.autoconfig.enabled:
        _thunderbird(router, publication)
        _outlook(router, publication)
        _apple(router, publication)
    return router


def _thunderbird(router: APIRouter, publication: Publication) -> None:
    async def autoconfig(request: Request, emailaddress: Name = "") -> Response:
        """By the host that was asked: ``autoconfig.`` and the domain, or the domain itself; else by the address."""
        domain = await _domain_of(request, emailaddress, thunderbird.HOST, publication)
        body = thunderbird.autoconfig(domain, publication.name(domain), publication.offer)
        return Response(body, media_type=_XML)

    for path in thunderbird.PATHS:
        router.get(path)(autoconfig)


def _outlook(router: APIRouter, publication: Publication) -> None:
    async def autodiscover(request: Request) -> Response:
        """Outlook posts the address in XML."""
        try:
            text = outlook.asked_address(await _body(request, outlook.MOST_OCTETS))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        address = await local_address(text, publication.is_local)
        body = outlook.autodiscover(str(address), publication.name(address.domain), publication.offer)
        return Response(body, media_type=_XML)

    # Programs differ in how they write it, and paths count case
    for path in (outlook.PATH, "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"):
        router.post(path)(autodiscover)


def _apple(router: APIRouter, publication: Publication) -> None:
    @router.get(apple.PATH)
    async def mobileconfig(address: Name) -> Response:
        """The profile for ``?address=``."""
        found = await local_address(address, publication.is_local)
        try:
            body = apple.profile(str(found), publication.name(found.domain), publication.offer)
        except ValueError as error:
            raise HTTPException(404, str(error)) from error
        certificate = publication.signer()
        if certificate is not None:
            body = apple.sign(body, certificate)
        name = {"Content-Disposition": 'attachment; filename="mail.mobileconfig"'}
        return Response(body, media_type=apple.MEDIA_TYPE, headers=name)


async def _domain_of(request: Request, address: str, label: str, publication: Publication) -> str:
    host = asked_host(request)
    for domain in (host.removeprefix(f"{label}."), host):
        if domain and await publication.is_local(domain):
            return domain
    if address:
        return (await local_address(address, publication.is_local)).domain
    raise HTTPException(404, "this host belongs to no domain of this server; add ?emailaddress=")


async def _body(request: Request, most: int) -> bytes:
    """The request's body. ValueError as soon as it has more than ``most`` octets."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise ValueError(f"the request has more than {most} octets")
    return body


def publication_of(settings: Settings, is_local: IsLocal, signer: Callable[[], Certificate | None]) -> Publication:
    """What the pages of a server with these settings say."""
    sts = sts_offer(settings)
    return Publication(
        None if sts is None else policy_text(sts),
        offer_of(listeners_of(settings), settings.autoconfig.host or settings.hostname),
        settings.autoconfig,
        is_local,
        signer,
    )
