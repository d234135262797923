"""Asks an HTTPS server for a JSON object: the server is verified, size and time are bounded, redirects not followed."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from postroom.directory.sources.claims import read_object
from postroom.directory.sources.source import SourceUnavailable
from postroom.net.tls import verifying_context

MAX_ANSWER = 1 << 20  # octets
_CONNECTIONS = 16


class HttpsSource:
    """One client for one issuer. ValueError if the file with authorities cannot be used."""

    def __init__(self, ca_file: Path | None, timeout: float) -> None:
        try:
            context = verifying_context(ca_file)
        except OSError as error:
            raise ValueError(f"oauth.ca_file cannot be used: {error}") from error
        self._timeout = timeout
        self._client = httpx2.AsyncClient(
            verify=context, timeout=timeout, follow_redirects=False, limits=httpx2.Limits(max_connections=_CONNECTIONS)
        )

    async def get(self, url: str) -> dict[str, Any]:
        """SourceUnavailable if there is no such object to be had."""
        return await self._ask("GET", url)

    async def post(self, url: str, fields: Mapping[str, str], auth: tuple[str, str] | None) -> dict[str, Any]:
        """The same for a form."""
        return await self._ask("POST", url, fields, auth)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _ask(
        self, method: str, url: str, fields: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Whatever is said in an error, it quotes neither what we sent nor what came back."""
        data = None if fields is None else dict(fields)
        basic = None if auth is None else httpx2.BasicAuth(*auth)
        headers = {"accept": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(method, url, data=data, auth=basic, headers=headers) as response,
            ):
                if response.status_code != 200:
                    raise SourceUnavailable(f"OAuth: {url} answers {response.status_code}")
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise SourceUnavailable(f"OAuth: {url} answers with more than {MAX_ANSWER} octets")
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise SourceUnavailable(f"OAuth: {url} does not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceUnavailable(f"OAuth: {url} cannot be asked ({type(error).__name__})") from error
        try:
            return read_object(body)
        except ValueError as error:
            raise SourceUnavailable(f"OAuth: {url} answers something, but {error}") from error
