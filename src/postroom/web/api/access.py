"""Stands before the API: no request goes on without the token (RFC 6750), or with a body that is too long."""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

SHORTEST_TOKEN = 20
"""Characters of a token that nobody guesses, if a machine made it."""

MOST_OCTETS = 64 * 1024
"""Of a request's body."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def read_token(path: Path) -> bytes:
    """The token, from the first line of a file. Raises OSError, and ValueError for one that is too short."""
    with path.open("rb") as file:
        token = file.readline(4096).strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii():
        raise ValueError(
            f"{path}: a token has at least {SHORTEST_TOKEN} ASCII characters; openssl rand -hex 32 makes one"
        )
    return token


class Guarded:
    """The API behind the token. It is asked before anything of a request but its head is read."""

    def __init__(self, api: AsgiApp, token: bytes) -> None:
        self._api = api
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if not self._may(scope):
            # RFC 6750 §3: who brought nothing is not told of an error
            await _refuse(send, 401, "this needs the token of web.token_file", (b"www-authenticate", b"Bearer"))
            return
        body = await _read_body(receive)
        if body is None:
            await _refuse(send, 413, f"the body has more than {MOST_OCTETS} octets")
            return
        given = False

        async def give() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._api(scope, give, send)

    def _may(self, scope: Scope) -> bool:
        brought = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = brought[0].partition(b" ") if len(brought) == 1 else (b"", b"", b"")
        # Compared whole whatever the scheme, and in constant time
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None for one that is too long."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the client has left
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MOST_OCTETS:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _refuse(send: Send, status: int, error: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": error}).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
