"""Troubles with what is demanded of TLS, in the shape that ``outbound/trouble.py`` gives all of them.

All are of the host: the next one may do better. Nothing is ever final for a policy's sake (RFC 8461 §5, RFC 7672 §2.2):
the domain may mend its policy or its servers meanwhile. Only REQUIRETLS makes it so.
"""

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Failed, Peer
from postroom.mail.reply import Reply
from postroom.net.peercerts import CertificateFault
from postroom.outbound.trouble import Scope, Step, Trouble


def unverified(peer: Peer, fault: CertificateFault) -> Trouble:
    """The host's certificate is not what its policy demands (``peer.policy``)."""
    reply = Reply.of(451, "4.7.5", f"{peer.host}[{peer.address}] has a certificate that does not do ({peer.policy})")
    return Trouble(Scope.HOST, Deferred(reply, peer, detail=fault.text, cause=Cause.TLS), Step.TLS)


def tlsa_unavailable(host: str, error: Exception) -> Trouble:
    """Whether the host has TLSA records cannot be known now: it counts as unreachable (RFC 7672 §2.1.2)."""
    reply = Reply.of(451, "4.7.5", f"the DNS does not say whether {host} has TLSA records")
    return Trouble(
        Scope.HOST, Deferred(reply, Peer(host, policy="dane"), detail=str(error), cause=Cause.TLS), Step.ROUTE
    )


def not_in_policy(host: str, domain: str) -> Trouble:
    """The host is none of those that the domain's MTA-STS policy names (RFC 8461 §4.1, §8.4): as though unreachable."""
    reply = Reply.of(451, "4.7.5", f"the mail server {host} is not in the MTA-STS policy of {domain}")
    return Trouble(Scope.HOST, Deferred(reply, Peer(host, policy="sts enforce"), cause=Cause.TLS), Step.ROUTE)


def name_not_vouched(host: str) -> Trouble:
    """REQUIRETLS, and neither DNSSEC nor MTA-STS vouch for the host's name (RFC 8689 §4.2.1)."""
    text = f"encryption needed: neither DNSSEC nor MTA-STS vouch for the mail server {host}"
    return Trouble(Scope.HOST, Failed(Reply.of(550, "5.7.10", text), Peer(host), cause=Cause.TLS), Step.TLS)


def authorities_unreadable(error: Exception) -> Trouble:
    """Our own file of authorities is of no use."""
    reply = Reply.of(451, "4.3.5", "the route is not set up")
    detail = f"the authorities for MX hosts cannot be read: {error}"
    return Trouble(Scope.SITE, Deferred(reply, detail=detail, cause=Cause.LOCAL), Step.ROUTE)
