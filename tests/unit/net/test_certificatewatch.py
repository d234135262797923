"""The operator hears of certificates that end soon, of files that broke, and that new ones were taken up."""

from collections.abc import Mapping
from pathlib import Path

import trustme
from tests.fakes.clock import ManualClock
from tests.unit.net.conftest import write_certificate
from tests.unit.net.tlspeer import Peer, trusting_any

from postroom.config.certificates import TlsSettings
from postroom.net.certificates import Certificate, self_signed
from postroom.net.certificatewatch import DAY, CertificateWatch, ExpiryWatch
from postroom.net.tls import ServerTls, server_tls
from postroom.report.events import CertificateExpiring, Report, SettingsReloaded
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0


def ending_in(days: int, path: str) -> Certificate:
    made = self_signed("mx.example.org", NOW, days)
    return Certificate(Path(path), made.chain, made.key)


def test_once_a_day_from_the_warning_on() -> None:
    soon, later = ending_in(10, "a.pem"), ending_in(100, "b.pem")
    watch = ExpiryWatch(14 * DAY)
    assert watch.due([soon, later], NOW) == [soon]
    assert watch.due([soon, later], NOW + 60) == []
    assert watch.due([soon, later], NOW + DAY) == [soon]
    assert watch.due([soon, later], NOW + 86 * DAY) == [soon, later]  # the first has ended, and is still in use


def test_a_renewed_one_is_another() -> None:
    watch = ExpiryWatch(14 * DAY)
    assert watch.due([ending_in(10, "a.pem")], NOW)
    assert not watch.due([ending_in(90, "a.pem")], NOW + 60)
    assert watch.due([ending_in(5, "a.pem")], NOW + 120)


class Desk:
    """A watch, and what it told and showed."""

    def __init__(self, tls: ServerTls | None, warn_before: float = 14 * DAY) -> None:
        self.clock = ManualClock()
        self.reports: list[Report] = []
        self.shown: Mapping[str, float] = {}
        self.watch = CertificateWatch(
            tls, warn_before, clock=self.clock, reporter=Reporter([self.reports.append]), show=self._show
        )

    def _show(self, ends: Mapping[str, float]) -> None:
        self.shown = ends


async def test_without_tls_there_is_nothing_to_watch() -> None:
    desk = Desk(None)
    await desk.watch.look()
    assert desk.reports == []


async def test_what_stands_in_is_not_spoken_of() -> None:
    desk = Desk(server_tls(TlsSettings(), stand_in_for="mx.example.org", now=NOW), warn_before=10_000 * DAY)
    await desk.watch.look()
    assert desk.reports == []
    assert desk.shown == {}


async def test_files_and_ends(authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path) -> None:
    tls = ServerTls(tls_settings)
    desk = Desk(tls, warn_before=500_000 * DAY)
    await desk.watch.look()
    (end,) = desk.shown.values()
    assert desk.reports == [CertificateExpiring(("mx.example.org",), str(tmp_path / "cert.pem"), end)]
    await desk.watch.look()
    assert len(desk.reports) == 1
    tmp_path.joinpath("cert.pem").write_text("broken")
    await desk.watch.look()
    await desk.watch.look()
    (trouble,) = desk.reports[1:]
    assert isinstance(trouble, SettingsReloaded)
    assert "cert.pem" in trouble.trouble
    write_certificate(authority, tmp_path, "new.example.org")
    await desk.watch.look()
    assert SettingsReloaded() in desk.reports
    assert list(desk.shown) == [str(tmp_path / "cert.pem")]


async def test_the_key_of_the_tickets_changes_once_a_day(tls_settings: TlsSettings) -> None:
    """RFC 9325 §3.4."""
    tls = ServerTls(tls_settings)
    desk, context = Desk(tls), trusting_any()
    peer = Peer(context, "mx.example.org")
    peer.shake(tls.channel())
    resumed = []
    for seconds in (DAY / 2, DAY / 2 + 1):
        await desk.clock.pass_time(seconds)
        await desk.watch.look()
        channel = tls.channel()
        Peer(context, "mx.example.org", peer.tls.session).shake(channel)
        assert channel.facts is not None
        resumed.append(channel.facts.resumed)
    assert resumed == [True, False]
