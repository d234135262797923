"""Whether what runs beside the mail makes sense: certificates from an authority, and alerts."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from postroom.config.finding import Finding
from postroom.config.guard import AlertSettings
from postroom.config.lines import KeyPath
from postroom.config.model import Settings

_NOT_PUBLIC = ("localhost", "localdomain", "local", "internal", "lan", "home", "test", "example", "invalid")
"""Top labels that no public authority issues for (RFC 2606 §2, RFC 6762 §3 and common habits)."""


def check_acme(settings: Settings) -> Iterator[Finding]:
    """``[acme]``: what an order would stumble over."""
    acme = settings.acme
    if not acme.enabled:
        return
    if not acme.agree:
        yield Finding(
            ("acme", "agree"),
            "the authority's terms of service are not agreed to",
            f"read them (the directory at {acme.directory} names them) and set agree = true",
        )
    if settings.tls.certificate is not None:
        yield Finding(
            ("tls", "certificate"),
            "both a certificate of your own and [acme]: which one is to be shown?",
            "remove certificate and key from [tls] (more certificates stand in [[tls.more]]), or [acme] enabled",
        )
    parts = urlsplit(acme.directory)
    if parts.scheme != "https" or not parts.hostname:  # RFC 8555 §6.1
        yield Finding(
            ("acme", "directory"), f"{acme.directory!r} is not an https URL", "write the URL that the authority names"
        )
    yield from _check_names(settings)
    if bool(acme.eab_kid) != (acme.eab_key_file is not None):
        given, lacking = ("eab_kid", "eab_key_file") if acme.eab_kid else ("eab_key_file", "eab_kid")
        yield Finding(("acme", given), f"{given} without {lacking}", f"add {lacking}, or remove {given}")
    if acme.contact and not (acme.contact.isascii() and "@" in acme.contact[1:-1] and "," not in acme.contact):
        yield Finding(("acme", "contact"), f"{acme.contact!r} is not a mail address", "write one, as in me@example.org")
    if not _is_address(acme.address):
        what = f"{acme.address!r} is not an IP address"
        yield Finding(("acme", "address"), what, "write an address such as 0.0.0.0, or :: for IPv6 and IPv4")
    if not acme.port and not settings.web.enabled:
        yield Finding(("acme", "port"), "no port answers challenges", "set port = 80, or [web] enabled = true")
    if find_spec("acme") is None:
        what = "the library for ACME is not installed"
        yield Finding(("acme", "enabled"), what, "install postroom[acme], or set enabled = false")


def _check_names(settings: Settings) -> Iterator[Finding]:
    for number, name in enumerate(settings.acme.domains or (settings.hostname,)):
        path: KeyPath = ("acme", "domains", number) if settings.acme.domains else ("hostname",)
        if name.startswith("[") or "." not in name:
            what = f"no authority issues a certificate for {name!r}"
            yield Finding(path, what, "name the host as the public DNS knows it, such as mail.example.org")
        elif name.rpartition(".")[2] in _NOT_PUBLIC and "letsencrypt.org" in settings.acme.directory:
            what = f"{name} is not in the public DNS: Let's Encrypt cannot confirm it"
            yield Finding(path, what, "name the host as the public DNS knows it", is_error=False)


def check_alerts(alerts: tuple[AlertSettings, ...]) -> Iterator[Finding]:
    """``[[alert]]``: each has one way out that can work."""
    for number, alert in enumerate(alerts):
        path: KeyPath = ("alert", number)
        if not alert.on:
            yield Finding((*path, "on"), "nothing raises this alert", 'name what counts, such as ["lockout"]')
        if bool(alert.webhook) == bool(alert.command):
            what = "both webhook and command" if alert.webhook else "neither webhook nor command: nobody is told"
            yield Finding((*path, "webhook"), what, "name one of them; a second [[alert]] may have the other")
        if alert.webhook:
            yield from _check_webhook(path, alert)
        if alert.command:
            yield from _check_command(path, alert.command[0])


def _check_webhook(path: KeyPath, alert: AlertSettings) -> Iterator[Finding]:
    try:
        parts = urlsplit(alert.webhook)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, brackets that do not close
        fits = False
    if not fits:
        what = "webhook is not an http or https URL"  # it may have a secret in it: it is not shown
        yield Finding((*path, "webhook"), what, "write a URL such as https://hooks.example.org/postroom")


def _check_command(path: KeyPath, program: str) -> Iterator[Finding]:
    if not Path(program).is_absolute():
        what = f"{program!r} is not an absolute path"
        yield Finding((*path, "command"), what, "write the program's whole path: it is not searched for")
    elif shutil.which(program) is None:
        what = f"{program} cannot be executed"
        yield Finding((*path, "command"), what, "name a program that is there, and chmod +x it")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def check_pages(settings: Settings) -> Iterator[Finding]:
    """``[https]``: it shows a certificate, and listens on an address."""
    https = settings.https
    if not https.enabled:
        return
    if settings.tls.certificate is None and not settings.acme.enabled:
        what = "HTTPS without a certificate"
        yield Finding(("https", "enabled"), what, "name one in [tls], or enable [acme], or set enabled = false")
    if not _is_address(https.address):
        what = f"{https.address!r} is not an IP address"
        yield Finding(("https", "address"), what, "write an address such as 0.0.0.0, or :: for IPv6 and IPv4")
