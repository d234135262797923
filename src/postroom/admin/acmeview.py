"""The certificates of this host as people see them: which there are, until when, and how renewal stands."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from postroom.admin.acme import next_order
from postroom.admin.acmeshelf import Shelf
from postroom.admin.certificate import AREA, check_certificate
from postroom.admin.finding import Finding, Level
from postroom.admin.moments import iso, local, maybe_iso
from postroom.config.model import Settings
from postroom.net.certificates import CertificateError, host_names, read_chain


@dataclass(frozen=True, slots=True)
class CertificateView:
    """One certificate. ``source`` is settings or acme; times are RFC 3339; ``trouble`` is ``""`` where all is well.

    ``renews_at`` is when the next order is made, None where nobody renews it by itself.
    """

    path: str
    source: str
    names: tuple[str, ...]
    issuer: str
    serial: str
    begins_at: str | None
    expires_at: str | None
    renews_at: str | None
    trouble: str


def list_certificates(settings: Settings, now: float) -> list[CertificateView]:
    """All that listeners show: the default one first."""
    views = []
    if settings.tls.certificate is not None:
        views.append(_view(settings.tls.certificate, "settings", None, ""))
    if settings.acme.enabled:
        shelf = Shelf(settings.data)
        stored = shelf.stored()
        state = shelf.last_state()
        renews_at = max(next_order(settings.acme, settings.hostname, stored, state), now)
        if stored is None:
            missing = state.trouble or "none yet"
            views.append(
                CertificateView(str(shelf.certificate), "acme", (), "", "", None, None, iso(renews_at), missing)
            )
        else:
            views.append(_view(shelf.certificate, "acme", renews_at, state.trouble))
    return [*views, *(_view(more.certificate, "settings", None, "") for more in settings.tls.more)]


def _view(path: Path, source: str, renews_at: float | None, trouble: str) -> CertificateView:
    try:
        leaf = read_chain(path)[0]
    except CertificateError as error:
        return CertificateView(str(path), source, (), "", "", None, None, maybe_iso(renews_at), str(error))
    common = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return CertificateView(
        path=str(path),
        source=source,
        names=host_names(leaf),
        issuer=_issuer(leaf, str(common[0].value) if common else leaf.issuer.rfc4514_string()),
        serial=f"{leaf.serial_number:x}",
        begins_at=iso(leaf.not_valid_before_utc.timestamp()),
        expires_at=iso(leaf.not_valid_after_utc.timestamp()),
        renews_at=maybe_iso(renews_at),
        trouble=trouble,
    )


def _issuer(leaf: x509.Certificate, name: str) -> str:
    return "itself" if leaf.issuer == leaf.subject else name


def check_certificates(settings: Settings, now: float) -> Iterator[Finding]:
    """The default certificate, and where an authority gives it: how that goes."""
    if not settings.acme.enabled:
        yield from check_certificate(settings.tls, settings.hostname, now)
        return
    shelf = Shelf(settings.data)
    if shelf.folder.exists() and not os.access(shelf.folder, os.R_OK | os.X_OK):
        yield Finding(Level.SKIPPED, AREA, f"{shelf.folder} is not for you to read", "run this as root")
        return
    stored, state = shelf.stored(), shelf.last_state()
    if stored is not None:
        yield from check_certificate(shelf.dress(settings.tls), settings.hostname, now)
    if state.trouble:
        level = Level.WARNING if stored is not None and stored.expires_at > now else Level.ERROR
        what = f"acme: {state.trouble}; tried {state.failures} times, again {local(state.next_try)}"
        yield Finding(level, AREA, what, "mend that, then: postroom certificate renew")
    elif stored is None:
        what = "acme: no certificate yet; a self-signed one stands in"
        yield Finding(Level.WARNING, AREA, what, "start the server: it orders one, and the log tells how that goes")
    else:
        renews_at = next_order(settings.acme, settings.hostname, stored, state)
        yield Finding(Level.OK, AREA, f"acme: renewed {local(max(renews_at, now))}")
