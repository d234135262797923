"""The policy hosts of the world: MTA-STS policies by HTTPS, at the one port that they may be at (RFC 8461 §3.3)."""

import asyncio
import ssl
from collections import Counter

from tests.world.model import Domain, Sts, World

PORT = 443
_PATH = "/.well-known/mta-sts.txt"
_MODES = {
    Sts.ENFORCE: "enforce",
    Sts.ENFORCE_WILDCARD: "enforce",
    Sts.ENFORCE_OTHER_HOST: "enforce",
    Sts.STRANGE_HOST: "enforce",
    Sts.TESTING: "testing",
    Sts.MODE_NONE: "none",
}


def policy_of(domain: Domain) -> str | None:
    """The policy as its file has it (RFC 8461 §3.2); None where there is none."""
    mode = _MODES.get(domain.sts)
    if mode is None or domain.site is None:
        return None
    hosts = [host.name for host in domain.site.hosts]
    if domain.sts is Sts.ENFORCE_OTHER_HOST:
        hosts = ["mx.elsewhere.example"]
    elif domain.sts is Sts.ENFORCE_WILDCARD:
        hosts = [f"*.{host.partition('.')[2]}" for host in hosts]
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), "max_age: 86400"]
    return "".join([f"{line}\r\n" for line in lines])


class PolicyHost:
    """Serves them all at one address. ``fetched`` counts by domain.

    ``strange`` is the context for the domains whose policy host has a certificate for another name.
    """

    def __init__(self, world: World, context: ssl.SSLContext, strange: ssl.SSLContext) -> None:
        self.fetched: Counter[str] = Counter()
        self._address = world.policy_address
        self._context = context
        self._strange = strange
        self._strangers = {f"mta-sts.{d.name}" for d in world.domains if d.sts is Sts.STRANGE_HOST}
        context.sni_callback = self._choose
        self._policies = {f"mta-sts.{d.name}": (d.name, policy_of(d)) for d in world.domains if d.sts is not Sts.NONE}

    async def start(self) -> asyncio.Server:
        """Listen from now on."""
        return await asyncio.start_server(self._serve, self._address, PORT, ssl=self._context)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name in self._strangers:
            connection.context = self._strange

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                writer.write(self._answer(head).encode())
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # the client went away, or is not one
        finally:
            writer.close()

    def _answer(self, head: str) -> str:
        request, *fields = head.split("\r\n")
        names = [field.partition(":")[2].strip() for field in fields if field.lower().startswith("host:")]
        domain, policy = self._policies.get(names[0].partition(":")[0].lower() if names else "", ("", None))
        if domain:
            self.fetched[domain] += 1
        found = policy is not None and request.split(" ")[:2] == ["GET", _PATH]
        status, body = ("200 OK", policy or "") if found else ("404 Not Found", "no such policy\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        return f"{head}\r\n{body}"
