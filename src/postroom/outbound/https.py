"""HTTPS with hosts that others name: addresses by our own resolver and never inside, verified by name, all bounded."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from postroom import __version__
from postroom.dns.resolver import Family, Resolver
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.net.tls import verifying_context

MAX_ADDRESSES = 4
"""Addresses of one host that are tried."""

_CONNECT = 10.0  # seconds for one address
_MAX_ANSWER = 1024  # octets of an answer that nobody reads


class HttpsFailed(Exception):
    """There was no answer. ``untrusted``: the server's certificate was not accepted. The text is for the log."""

    def __init__(self, text: str, *, untrusted: bool = False) -> None:
        super().__init__(text)
        self.untrusted = untrusted


@value(frozen=True, slots=True)
class HttpsAnswer:
    """Status, media type in lower case without parameters, and the body, not decoded."""

    status: int
    media_type: str
    body: bytes


@value(frozen=True, slots=True)
class _Asked:
    method: str
    host: str
    port: int
    path: str
    body: bytes | None = None
    media_type: str = ""


class StrangersHttps:
    """A client for hosts that a stranger's DNS or policy names. OSError where ``ca_file`` cannot be used.

    Redirects are not followed, nothing is cached, no connection is kept. An address that is not a public one is not
    asked unless ``allow_loopback``: nobody shall use us to reach what only we can reach. ``port`` is that of ``get``.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        ca_file: Path | None = None,
        allow_loopback: bool = False,
        ipv6: bool = True,
        port: int = 443,
    ) -> None:
        self._resolver = resolver
        self._allow_loopback = allow_loopback
        self._families = (Family.IPV6, Family.IPV4) if ipv6 else (Family.IPV4,)
        self._port = port
        context = verifying_context(ca_file)
        context.hostname_checks_common_name = False  # RFC 8461 §3.3: DNS-IDs alone
        self._client = httpx2.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,  # RFC 8461 §3.3
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=0),
        )

    async def get(self, host: str, path: str, *, limit: int, seconds: float) -> HttpsAnswer:
        """What stands at ``path``, ``limit`` octets at most, within ``seconds``. HttpsFailed."""
        return await self._ask(_Asked("GET", host, self._port, path), limit=limit, seconds=seconds)

    async def post(self, url: str, body: bytes, media_type: str, *, seconds: float) -> int:
        """The status of a POST to an https URL. HttpsFailed."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError as error:
            raise HttpsFailed("the URL cannot be read") from error
        if parts.scheme != "https" or not host or parts.username is not None:
            raise HttpsFailed("the URL is not one of https with a host alone")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        asked = _Asked("POST", host, port, path, body, media_type)
        return (await self._ask(asked, limit=_MAX_ANSWER, seconds=seconds)).status

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _ask(self, asked: _Asked, *, limit: int, seconds: float) -> HttpsAnswer:
        host = asked.host
        failure = HttpsFailed(f"{host} has no address")
        try:
            async with asyncio.timeout(seconds):
                for address in await self._addresses(host):
                    try:
                        return await self._send(self._request(asked, address, seconds), limit)
                    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:  # another address may do
                        failure = HttpsFailed(f"{host}: {_say(error)}", untrusted=_is_untrusted(error))
                raise failure
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise HttpsFailed(f"{host} did not answer within {seconds:g} seconds") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise HttpsFailed(f"{host}: {_say(error)}") from error

    def _request(self, asked: _Asked, address: str, seconds: float) -> httpx2.Request:
        host, port = asked.host, asked.port
        shown = f"[{address}]" if ":" in address else address
        headers = {
            "Host": host if port == 443 else f"{host}:{port}",
            "User-Agent": f"postroom/{__version__}",
            "Accept-Encoding": "identity",
        }
        if asked.media_type:
            headers["Content-Type"] = asked.media_type
        return self._client.build_request(
            asked.method,
            f"https://{shown}:{port}{asked.path}",
            content=asked.body,
            headers=headers,
            timeout=httpx2.Timeout(seconds, connect=min(seconds, _CONNECT)),
            extensions={"sni_hostname": host},  # it is also the name that is verified
        )

    async def _send(self, request: httpx2.Request, limit: int) -> HttpsAnswer:
        response = await self._client.send(request, stream=True)
        try:
            body = b""
            async for piece in response.aiter_raw():  # not decoded: what is small must not become large
                body += piece
                if len(body) > limit:
                    if request.method == "POST":
                        break
                    raise HttpsFailed(f"the answer has more than {limit} octets")
        finally:
            await response.aclose()
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.headers.get("content-encoding", "identity") != "identity":
            raise HttpsFailed("the answer is compressed, although that was not asked for")
        return HttpsAnswer(response.status_code, media_type, body)

    async def _addresses(self, host: str) -> list[str]:
        """Where the host may be asked. HttpsFailed if nowhere."""
        found: list[str] = []
        failure = f"{host} has no address"
        for family in self._families:
            try:
                found += (await self._resolver.addresses(host, family)).records
            except ResolverUnavailable as error:
                failure = str(error)
        usable = [address for address in found if self._allow_loopback or _is_public(address)]
        if not usable:
            raise HttpsFailed(f"{host} has no public address" if found else failure)
        return usable[:MAX_ADDRESSES]


def _is_public(address: str) -> bool:
    parsed = ip_address(address)
    return parsed.is_global and not parsed.is_multicast


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _say(error: Exception) -> str:
    return str(error)[:500] or type(error).__name__
