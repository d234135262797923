"""Issuer: an OAuth issuer on a free port of the loopback, with keys and an introspection endpoint; it fails as told."""

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

ISSUER = "https://id.example"
AUDIENCE = "postroom"
CLIENT, CLIENT_SECRET = "postroom client", "a secret: with/odd %characters"


def make_keys() -> dict[str, RSAKey | ECKey | OKPKey]:
    """One of each kind, by key id."""
    return {
        "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
        "ec": ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}),
        "okp": OKPKey.generate_key("Ed25519", {"kid": "okp", "use": "sig"}),
    }


def key_set(*keys: RSAKey | ECKey | OKPKey) -> dict[str, Any]:
    """The public halves, as an issuer publishes them."""
    return dict(KeySet(list(keys)).as_dict(private=False))


def claims(now: float, **other: Any) -> dict[str, Any]:
    """What a good token says; None takes a claim away."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(now) + 600, "email": "anna@example.org"} | other
    return {name: value for name, value in said.items() if value is not None}


def sign(key: Any, said: dict[str, Any], algorithm: str = "ES256", **header: Any) -> str:
    """A signed token; a header of None takes it away."""
    fields = {"alg": algorithm, "kid": key.kid} | header
    present = {name: value for name, value in fields.items() if value is not None}
    return jwt.encode(present, said, key, algorithms=[algorithm])


@dataclass
class Issuer:
    """``keys`` is what the key set's address answers; ``active`` the tokens by what introspection says of them.

    ``status`` and ``body`` are answered in place of everything, ``silent``: nothing is. ``requests`` are the paths.
    """

    folder: Path
    keys: dict[str, Any] = field(default_factory=dict)
    active: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    silent: bool = False
    requests: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "issuer-authority.pem"

    async def start(self) -> "Issuer":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode().split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                method, path, _ = line.split(" ")
                self.requests.append(path)
                if self.silent:
                    await asyncio.Event().wait()
                answer = self._answer(method, path, fields, body)
                writer.write(
                    b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\nLocation: /keys\r\nContent-Length: %d\r\n\r\n"
                    % (answer[0], len(answer[1]))
                    + answer[1]
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has gone
        finally:
            writer.transport.abort()  # closed twice, a transport of Python 3.11.2 cannot be aborted any more

    def _answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.body is not None or self.status != 200:
            return self.status, self.body or b""
        if (method, path) == ("GET", "/keys"):
            return 200, json.dumps(self.keys).encode()
        if (method, path) == ("POST", "/introspect"):
            # RFC 6749 §2.3.1: both are form-encoded before they are joined.
            expected = "postroom+client:a+secret%3A+with%2Fodd+%25characters"
            if fields.get("authorization") != f"Basic {base64.b64encode(expected.encode()).decode()}":
                return 401, b"{}"
            token = parse_qs(body.decode())["token"][0]
            return 200, json.dumps({"active": token in self.active} | self.active.get(token, {})).encode()
        return 404, b"{}"
