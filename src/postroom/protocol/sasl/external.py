"""EXTERNAL: who the client is was shown below SASL already, here by its certificate (RFC 4422 Appendix A)."""

from postroom.protocol.sasl.exchange import Challenge, External, Malformed, Step, read_text

NAME = "EXTERNAL"


class ExternalServer:
    """The client says as whom it wants to act, or nothing."""

    def step(self, data: bytes | None) -> Step:
        """The authorization identity, perhaps empty; None to ask for it."""
        if data is None:
            return Challenge(b"")
        authzid = read_text(data, "authorization identity") if data else ""
        return authzid if isinstance(authzid, Malformed) else External(authzid)


class ExternalClient:
    """Says as whom it wants to act; ``""``: as whoever the certificate names."""

    def __init__(self, authzid: str = "") -> None:
        self._authzid = authzid.encode()
        self._said = False

    @property
    def name(self) -> str:
        """EXTERNAL."""
        return NAME

    @property
    def is_satisfied(self) -> bool:
        """TLS has shown who the server is."""
        return True

    def initial(self) -> bytes:
        """The authorization identity."""
        self._said = True
        return self._authzid

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """The authorization identity to an empty challenge, where the initial response was not sent."""
        if self._said or challenge:
            return Malformed("EXTERNAL has one message, and the server asks for more")
        return self.initial()
