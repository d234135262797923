"""Speaks with the primary name server of one zone: signed by TSIG, over TCP; troubles with remedies (RFC 8945)."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update

from postroom.config.publishing import ZoneSettings
from postroom.dns.record import PublishFailed
from postroom.dns.resolver import Answer, Family
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value

TIMEOUT = 15.0
"""Seconds for one question and its answer."""

_MOST_SECRET = 16 * 1024  # octets of a file with a secret
_SECRET = re.compile(r'\bsecret\s+"([^"]+)"')
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class Addresses(Protocol):
    """Who finds the addresses of a name server that is named."""

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        """The addresses of one family. Raises ResolverUnavailable."""
        ...


@value(frozen=True, slots=True)
class Standing:
    """What stands at a name: the records of one type with their TTL, or the alias that stands there instead."""

    records: tuple[dns.rdata.Rdata, ...]
    ttl: int
    alias: str = ""


class Primary:
    """The primary of one zone. Every method raises PublishFailed."""

    def __init__(self, settings: ZoneSettings, resolver: Addresses, *, seconds: float = TIMEOUT) -> None:
        self.settings = settings
        self.origin = dns.name.from_text(settings.name)
        self._resolver = resolver
        self._seconds = seconds

    async def standing(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Standing:
        """What stands at a name now, from the server itself: no cache is in between."""
        query = dns.message.make_query(name, kind)
        query.flags &= ~dns.flags.RD
        response = await self._exchange(query)
        if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._refused(response.rcode(), "the question for its records")
        if not response.flags & dns.flags.AA:
            raise PublishFailed(
                f"{self.settings.server} is not authoritative for {self.settings.name}: "
                "name the zone's primary server in [[zone]] server"
            )
        found = response.get_rrset(response.answer, name, dns.rdataclass.IN, kind)
        alias = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if found is not None:
            return Standing(tuple(found), found.ttl)
        return Standing((), 0, "" if alias is None else alias[0].to_text())

    async def update(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """NOERROR, or the code of a prerequisite that does not hold (RFC 2136 §2.2); other codes are raised."""
        code = (await self._exchange(message)).rcode()
        if code in (dns.rcode.NOERROR, dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.YXDOMAIN):
            return code
        raise self._refused(code, "the update")

    async def _exchange(self, message: dns.message.Message) -> dns.message.Message:
        message.use_tsig(self._key())
        server = self.settings.server
        address = await self._address()
        try:
            response = await dns.asyncquery.tcp(message, address, self._seconds, self.settings.port)
        except (dns.tsig.PeerError, dns.tsig.BadTime) as error:
            raise PublishFailed(self._explain(error)) from error
        except dns.exception.Timeout as error:
            what = f"{server} port {self.settings.port} did not answer within {self._seconds:g} seconds"
            raise PublishFailed(f"{what}: see that it runs and that TCP to it is let through") from error
        except (dns.exception.DNSException, EOFError) as error:
            raise PublishFailed(f"what {server} answers cannot be understood or verified: {_say(error)}") from error
        except OSError as error:
            what = f"{server} port {self.settings.port} cannot be reached: {error.strerror or error}"
            raise PublishFailed(f"{what}; see that it runs, and correct server and port in [[zone]]") from error
        if not response.had_tsig and response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            # RFC 8945 §5.3: what is not signed may be anybody's
            raise PublishFailed(f"the answer of {server} is not signed: it does not know TSIG, or it is not the server")
        return response

    async def _address(self) -> str:
        server = self.settings.server
        try:
            return str(ip_address(server))
        except ValueError:
            pass  # a name then
        try:
            for family in (Family.IPV6, Family.IPV4):
                for address in (await self._resolver.addresses(server, family)).records:
                    return address
        except ResolverUnavailable as error:
            raise PublishFailed(f"the address of {server} cannot be found now: {error}") from error
        raise PublishFailed(f"{server} has no address: correct server in [[zone]]")

    def _key(self) -> dns.tsig.Key:
        """Read each time, so that a new secret needs no restart."""
        settings = self.settings
        try:
            secret = read_secret(settings.secret_file)
            return dns.tsig.Key(settings.key, secret, settings.algorithm)
        except (ValueError, dns.exception.DNSException) as error:
            raise PublishFailed(f"the key of zone {settings.name} cannot be used: {error}") from error

    def _explain(self, error: dns.exception.DNSException) -> str:
        settings = self.settings
        match error:
            case dns.tsig.PeerBadKey():
                return (
                    f"{settings.server} does not know the key {settings.key} with {settings.algorithm} (BADKEY): "
                    "correct key and algorithm in [[zone]], or add the key to the name server"
                )
            case dns.tsig.PeerBadSignature():
                return (
                    f"{settings.server} has another secret for the key {settings.key} (BADSIG): "
                    f"store the same one in {settings.secret_file}"
                )
            case dns.tsig.PeerBadTime() | dns.tsig.BadTime():
                return f"the clocks of this host and of {settings.server} differ too much (BADTIME): set both by NTP"
            case _:
                return f"{settings.server} does not accept the signature: {_say(error)}"

    def _refused(self, code: dns.rcode.Rcode, what: str) -> PublishFailed:
        name, server, key = self.settings.name, self.settings.server, self.settings.key
        remedies = {
            dns.rcode.REFUSED: f"let the key {key} do it (bind: update-policy and allow-query; knot: acl); "
            "where it may, the server's log tells more, such as an MX whose host has no address in the zone",
            dns.rcode.NOTAUTH: f"{server} is not the primary of {name}, or does not know the key: correct [[zone]]",
            dns.rcode.NOTZONE: "a name is not in the zone: correct [[zone]] name",
            dns.rcode.NOTIMP: f"{server} takes no updates: name the primary, or switch updates on there",
            dns.rcode.SERVFAIL: f"look into the log of {server}: it may not be able to write its journal",
            dns.rcode.FORMERR: f"look into the log of {server}",
        }
        remedy = remedies.get(code, f"look into the log of {server}")
        return PublishFailed(f"{server} refused {what} of zone {name} ({dns.rcode.to_text(code)}): {remedy}")


def read_secret(path: Path) -> str:
    """The secret in a file, base64. ValueError, which does not repeat it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_SECRET).decode("utf-8", "replace")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    clause = _SECRET.search(text)
    secret = clause[1] if clause is not None else (text.splitlines() or [""])[0].strip()
    if not _BASE64.fullmatch(secret) or len(secret) % 4:
        raise ValueError(f"{path} holds no secret in base64 on its first line, nor a key as tsig-keygen writes it")
    return secret


def _say(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
