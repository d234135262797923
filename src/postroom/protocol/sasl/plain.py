"""PLAIN: name and password in one message (RFC 4616)."""

from postroom.protocol.sasl.exchange import Challenge, Credentials, Malformed, Password, Step, read_text

NAME = "PLAIN"


class PlainServer:
    """The client sends ``[authzid] NUL authcid NUL passwd``, at once or after an empty challenge."""

    def step(self, data: bytes | None) -> Step:
        """The message, or None to ask for it."""
        if data is None:
            return Challenge(b"")
        fields = data.split(b"\x00", 3)
        if len(fields) != 3:  # RFC 4616 §2: NUL stands between the fields and nowhere else
            return Malformed("PLAIN has not three fields")
        authzid = read_text(fields[0], "authorization identity") if fields[0] else ""
        name = read_text(fields[1], "name")
        password = read_text(fields[2], "password")
        for field in (authzid, name, password):
            if isinstance(field, Malformed):
                return field
        return Credentials(str(name), Password(str(password)), str(authzid))


class PlainClient:
    """Says everything at once, in the initial response. ValueError if a NUL stands in it."""

    def __init__(self, name: str, password: Password, authzid: str = "") -> None:
        if "\x00" in f"{authzid}{name}{password.text}":
            raise ValueError("a name or password for PLAIN has a NUL")
        self._message = f"{authzid}\x00{name}\x00{password.text}".encode()
        self._said = False

    @property
    def name(self) -> str:
        """PLAIN."""
        return NAME

    @property
    def is_satisfied(self) -> bool:
        """Nothing is asked of the server."""
        return True

    def initial(self) -> bytes:
        """The message."""
        self._said = True
        return self._message

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """The message to an empty challenge, where the initial response was not sent; nothing else is ever asked."""
        if self._said or challenge:
            return Malformed("PLAIN has one message, and the server asks for more")
        return self.initial()
