"""What is known about the client of a session; frozen, passed to policy, trace and reports."""

from postroom.mail.value import Words, value


class Role(Words):
    """What a port is for (DESIGN §4 step 1)."""

    MX = "mx"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"
    LMTP = "lmtp"
    POP3 = "pop3"
    POP3S = "pop3s"


@value(frozen=True, slots=True)
class TlsFacts:
    """The protocol (``TLSv1.3``) and the cipher's name of an established TLS session.

    ``server_name`` is what the client asked for by SNI, ``""`` if nothing; ``peer_names`` are the mail addresses in the
    client's certificate, verified, or empty; ``resumed``: the session was resumed by a ticket; ``peer_trouble``: why
    the client's certificate counts for nothing, ``""`` if it does or there is none.
    """

    version: str
    cipher: str
    server_name: str = ""
    peer_names: tuple[str, ...] = ()
    resumed: bool = False
    peer_trouble: str = ""


@value(frozen=True, slots=True)
class Client:
    """The peer of a server session.

    ``address`` is textual IPv4 or IPv6 (an IPv4-mapped address is shown as IPv4), ``helo`` what it called itself,
    ``account`` the canonical address of the authenticated account, or ``""``; ``proxy`` the address of the load
    balancer or filter that spoke for it (PROXY, XCLIENT), or ``""``.
    """

    session_id: int
    role: Role
    address: str
    port: int
    helo: str = ""
    esmtp: bool = False
    tls: TlsFacts | None = None
    account: str = ""
    proxy: str = ""

    @property
    def protocol(self) -> str:
        """The ``with`` word of the Received field (RFC 3848 §1): SMTP; ESMTP or LMTP, with S for TLS, A for AUTH."""
        if not self.esmtp:
            return "SMTP"
        word = "LMTP" if self.role is Role.LMTP else "ESMTP"
        return word + ("S" if self.tls else "") + ("A" if self.account else "")
