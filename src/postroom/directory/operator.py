"""Who runs this server: the postmaster of the domain of ours that the host belongs to (RFC 5321 §4.5.1)."""

from collections.abc import Awaitable, Callable, Iterator

from postroom.mail.address import Address


async def postmaster_of(hostname: str, is_local: Callable[[str], Awaitable[bool]]) -> Address | None:
    """None where neither the host's name nor the domain above it is ours. Raises StoreUnavailable."""
    for domain in _domains_of(hostname):
        if await is_local(domain):
            return Address("postmaster", domain)
    return None


def _domains_of(hostname: str) -> Iterator[str]:
    """The host's own name, and the domain above it: mx.example.org, example.org."""
    yield hostname
    above = hostname.partition(".")[2]
    if "." in above:
        yield above
