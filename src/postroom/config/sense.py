"""Whether settings that are well-formed one by one make sense together."""

from collections.abc import Iterator
from ipaddress import ip_address

from postroom.config.authsense import check_auth
from postroom.config.finding import Finding
from postroom.config.guard import LockoutSettings
from postroom.config.lines import KeyPath
from postroom.config.mailauthsense import check_mailauth
from postroom.config.model import UNPRIVILEGED_PORTS, ListenerSettings, QueueSettings, Settings
from postroom.config.publishsense import check_publishing
from postroom.config.reportsense import check_reports
from postroom.config.returnsense import check_returns
from postroom.config.road import OutboundSettings
from postroom.config.roadsense import check_road
from postroom.config.sendingsense import check_sending
from postroom.config.trustsense import check_trust
from postroom.config.upkeepsense import check_acme, check_alerts, check_pages
from postroom.mail.session import Role

_SMTP_PORT = 25
_LOGIN_ROLES = frozenset(Role) - {Role.MX, Role.LMTP}
_NO_CERTIFICATE = "run postroom init to make a self-signed certificate, or name one in [tls] (certificate and key)"


def check_sense(settings: Settings) -> Iterator[Finding]:
    """Everything in the settings that contradicts something else in them."""
    yield from _check_host(settings)
    yield from _check_listeners(settings)
    yield from _check_networks(settings)
    yield from check_road(settings)
    yield from _check_queue(settings.queue)
    yield from _check_lockout(settings.lockout)
    yield from _check_outbound(settings.outbound)
    yield from _check_resolvers(settings)
    yield from check_auth(settings)
    yield from check_acme(settings)
    yield from check_alerts(settings.alert)
    yield from check_pages(settings)
    yield from check_returns(settings)
    yield from check_reports(settings)
    yield from check_sending(settings)
    yield from check_trust(settings)
    yield from check_mailauth(settings)
    yield from check_publishing(settings)


def listeners_of(settings: Settings) -> tuple[ListenerSettings, ...]:
    """The listeners to open: those of the settings, else the standard roles on unprivileged ports (DESIGN §6).

    These are on the loopback. Without a certificate nobody can log in (AUTH needs TLS): only mx is among them then.
    """
    if settings.listener:
        return settings.listener
    has_tls = _has_tls(settings)
    return tuple(
        ListenerSettings(role=role, port=port)
        for role, port in UNPRIVILEGED_PORTS.items()
        if has_tls or role not in _LOGIN_ROLES
    )


def _has_tls(settings: Settings) -> bool:
    """Whether there is a certificate, or will be."""
    return settings.tls.certificate is not None or settings.acme.enabled


def _check_host(settings: Settings) -> Iterator[Finding]:
    name = settings.hostname
    if "." not in name and not name.startswith("["):
        yield Finding(
            ("hostname",),
            f"{name!r} is not a full host name; other servers may refuse mail from it",
            "write the name that the DNS knows this machine by, such as mail.example.org",
            is_error=False,
        )
    if (settings.tls.certificate is None) != (settings.tls.key is None):
        given, lacking = ("certificate", "key") if settings.tls.key is None else ("key", "certificate")
        yield Finding(("tls", given), f"{given} without {lacking}", f"add {lacking} to [tls], or remove {given}")
    if settings.tls.more and not _has_tls(settings):
        remedy = "name the one that is shown by default as certificate and key of [tls]"
        yield Finding(("tls", "more"), "further certificates without a first one", remedy)


def _check_listeners(settings: Settings) -> Iterator[Finding]:
    has_tls = _has_tls(settings)
    if not settings.listener and not has_tls:
        yield Finding(
            ("tls",), "no certificate: only the mx port is opened, nobody can log in", _NO_CERTIFICATE, is_error=False
        )
    taken: dict[tuple[str, int], str] = {}
    if settings.web.enabled:
        taken[settings.web.address, settings.web.port] = "the web port"
    if settings.acme.enabled:
        taken[settings.acme.address, settings.acme.port] = "the port for ACME challenges"
    for number, listener in enumerate(settings.listener):
        path: KeyPath = ("listener", number)
        if listener.role in _LOGIN_ROLES and not has_tls:
            what = f"{listener.role.value} needs a TLS certificate: logins are never taken in the clear"
            yield Finding((*path, "role"), what, _NO_CERTIFICATE)
        if not listener.addresses:
            yield Finding((*path, "addresses"), "no address", "name at least one, such as 127.0.0.1, 0.0.0.0 or ::")
        for address in listener.addresses:
            if not _is_address(address):
                what = f"{address!r} is not an IP address"
                yield Finding((*path, "addresses"), what, "write addresses such as 127.0.0.1, 0.0.0.0 or ::")
            where = (address, listener.port)
            if listener.port and where in taken:
                what = f"{address} port {listener.port} is taken by {taken[where]} already"
                yield Finding((*path, "port"), what, "choose another port or address")
            taken.setdefault(where, f"listener[{number + 1}] ({listener.role.value})")
        if listener.role is Role.LMTP:
            yield from _check_lmtp(listener, path)


def _check_lmtp(listener: ListenerSettings, path: KeyPath) -> Iterator[Finding]:
    if listener.port == _SMTP_PORT:
        yield Finding((*path, "port"), "lmtp where others expect smtp (RFC 2033 §5)", "choose another port, such as 24")
    for address in listener.addresses:
        if _is_public(address):
            what = f"lmtp on {address}: whoever reaches it delivers to the mailboxes unchecked"
            yield Finding((*path, "addresses"), what, "offer lmtp on a loopback or private address", is_error=False)


def _check_networks(settings: Settings) -> Iterator[Finding]:
    for number, network in enumerate(settings.smtp.trusted_networks):
        path: KeyPath = ("smtp", "trusted_networks", number)
        if network.prefixlen == 0:
            yield Finding(
                path,
                f"{network} is everyone: this would be an open relay",
                "name only networks whose machines you control",
            )
        elif network.prefixlen < 8 and not network.is_private:
            what = f"{network} is {network.num_addresses} addresses that may relay without AUTH"
            yield Finding(path, what, "name only networks whose machines you control", is_error=False)
    for number, network in enumerate(settings.smtp.xclient_networks):
        if network.prefixlen == 0:
            what = f"{network} is everyone: anybody could say that it speaks for anybody"
            yield Finding(("smtp", "xclient_networks", number), what, "name only your own proxies and filters")
    for number, listener in enumerate(settings.listener):
        for place, network in enumerate(listener.proxy_networks):
            if network.prefixlen == 0:
                what = f"{network} is everyone: anybody could say that it speaks for anybody"
                remedy = "name only your own load balancers"
                yield Finding(("listener", number, "proxy_networks", place), what, remedy)


def _check_queue(queue: QueueSettings) -> Iterator[Finding]:
    if queue.longest_retry < queue.first_retry:
        what = "longest_retry is shorter than first_retry"
        yield Finding(("queue", "longest_retry"), what, "make it at least as long as first_retry")
    if queue.first_retry >= queue.lifetime:
        what = "a message would expire before its first retry"
        yield Finding(("queue", "lifetime"), what, "make lifetime longer than first_retry")
    if queue.delay_warning >= queue.lifetime:
        what = "delay_warning is not before the end of lifetime: it is never sent"
        yield Finding(("queue", "delay_warning"), what, "make it shorter than lifetime, or 0", is_error=False)


def _check_outbound(outbound: OutboundSettings) -> Iterator[Finding]:
    families: set[int] = set()
    for number, address in enumerate(outbound.source_addresses):
        path: KeyPath = ("outbound", "source_addresses", number)
        if not _is_address(address):
            yield Finding(path, f"{address!r} is not an IP address", "write an address of this machine")
            continue
        family = ip_address(address).version
        if family in families:
            yield Finding(path, f"a second IPv{family} address", "keep one of each family")
        families.add(family)


def _check_resolvers(settings: Settings) -> Iterator[Finding]:
    for number, server in enumerate(settings.dns.servers):
        host, port = _split_port(server)
        if not _is_address(host) or not (port.isdecimal() and 0 < int(port) < 65536):
            what = f"{server!r} is not the address of a resolver"
            yield Finding(
                ("dns", "servers", number), what, 'write "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"'
            )


def _split_port(server: str) -> tuple[str, str]:
    """Address and port of ``address``, ``address:port`` or ``[v6]:port``."""
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        return host, rest.removeprefix(":") or "53"
    if server.count(":") == 1:
        host, _, port = server.partition(":")
        return host, port
    return server, "53"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_public(text: str) -> bool:
    return _is_address(text) and (ip_address(text).is_unspecified or not ip_address(text).is_private)


def _check_lockout(lockout: LockoutSettings) -> Iterator[Finding]:
    if lockout.longest_ban < lockout.ban:
        what = "longest_ban is shorter than ban"
        yield Finding(("lockout", "longest_ban"), what, "make it at least as long as ban")
    if lockout.longest_delay < lockout.delay:
        what = "longest_delay is shorter than delay"
        yield Finding(("lockout", "longest_delay"), what, "make it at least as long as delay")
