"""What a transcript's line ``-- auth MECHANISM NAME SECRET`` means: a client that logs in with our own mechanisms.

``-- relayed auth ...``: somebody stands between the two, so that the client has another TLS session than the server.
``-- downgraded auth ...``: somebody took the -PLUS from what the client was told.
"""

from base64 import b64decode, b64encode

from postroom.protocol.sasl.exchange import Binding, ClientMechanism, Password, Secrets, no_binding
from postroom.protocol.sasl.mechanisms import begin_client

BINDINGS = {"tls-exporter": b"what both ends of this TLS session know"}
_ELSEWHERE: Binding = {"tls-exporter": b"what both ends of another one know"}.get


def client_of(text: str) -> ClientMechanism | None:
    """The client's side, None if the line is none of these."""
    how, auth, rest = text.partition("auth ")
    if not auth or how not in {"", "relayed ", "downgraded "}:
        return None
    mechanism, name, secret = rest.split(" ", 2)
    binding: Binding = BINDINGS.get if mechanism.endswith("-PLUS") or how == "downgraded " else no_binding
    token = Password(secret) if "AUTH" in mechanism else None
    client = begin_client(
        [mechanism],
        Secrets(name, Password(secret), token, mechanism == "EXTERNAL", secret if mechanism == "EXTERNAL" else ""),
        "a-nonce-of-the-client",
        _ELSEWHERE if how == "relayed " else binding,
    )
    assert client is not None, text
    assert client.name == mechanism, text
    return client


def begin(client: ClientMechanism) -> bytes:
    """The AUTH command."""
    initial = client.initial()
    if initial is None:
        return f"AUTH {client.name}\r\n".encode()
    return b"AUTH %s %s\r\n" % (client.name.encode(), b64encode(initial) or b"=")


def go_on(client: ClientMechanism, challenge: str) -> bytes:
    """The line that answers a challenge in base64: a response, or that the client gives up."""
    response = client.respond(b64decode(challenge, validate=True))
    return b64encode(response) + b"\r\n" if isinstance(response, bytes) else b"*\r\n"
