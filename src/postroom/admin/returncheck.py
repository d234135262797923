"""Looks whether what comes back would arrive: the domain of return paths, and where complaints go."""

from collections.abc import AsyncIterator

from postroom.admin.finding import Finding, Level
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.directory.model import Unknown
from postroom.mail.address import Address

AREA = "returns"


async def check_returns(settings: Settings, directory: Directory) -> AsyncIterator[Finding]:
    """What the settings name and the directory does not know. Raises StoreUnavailable."""
    returns = settings.returns
    if returns.domain and not await directory.is_local(returns.domain):
        what = f"{returns.domain} is not a domain of this server: no return paths are made"
        yield Finding(Level.ERROR, AREA, what, f"postroom domain add {returns.domain}, or change returns.domain")
    for text in returns.complaints:
        resolution = await directory.resolve(Address.parse(text))
        if not resolution.is_ours or isinstance(resolution, Unknown):
            remedy = f"postroom alias add {text} WHO, or change returns.complaints"
            yield Finding(Level.ERROR, AREA, f"{text} does not exist: complaints to it are refused", remedy)
