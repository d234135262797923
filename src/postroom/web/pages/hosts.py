"""Which of our domains a request is about: by the host name that it was sent to."""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain

IsLocal = Callable[[str], Awaitable[bool]]
"""Whether a domain is ours; the directory's answer."""


def asked_host(request: Request) -> str:
    """The host name of a request, without its port, as an A-label; ``""`` where it is none."""
    host = request.headers.get("host", "")
    if len(host) > 300:
        return ""
    name, _, port = host.partition(":")
    if port and not port.isdigit():
        return ""
    try:
        return normalise_domain(name)
    except ValueError:
        return ""


async def domain_under(request: Request, label: str, is_local: IsLocal) -> str:
    """The domain of ours whose ``label`` host was asked. 404 where it is not ours."""
    first, _, domain = asked_host(request).partition(".")
    if first == label and domain and await is_local(domain):
        return domain
    raise HTTPException(404, f"this is not the {label} host of a domain of this server")


async def local_address(text: str, is_local: IsLocal) -> Address:
    """An address of a domain of ours that a program named; 404 for any other. Whether it exists is not told."""
    try:
        address = Address.parse(text.strip())
    except ValueError as error:
        raise HTTPException(404, "that is no mail address") from error
    if not await is_local(address.domain):
        raise HTTPException(404, "the domain of that address is not one of this server")
    return address
