"""docs/commands.md names every field of the JSON shapes, and no other."""

import dataclasses
import re
from pathlib import Path

import pytest

from postroom.admin import dkim
from postroom.admin.accounts import AccountView
from postroom.admin.acmeview import CertificateView
from postroom.admin.aliases import AliasView
from postroom.admin.apppasswords import AppPasswordView, NewAppPassword
from postroom.admin.dnsrecords.views import PublishedView, RecordView
from postroom.admin.domains import DomainView
from postroom.admin.finding import Finding
from postroom.admin.history import Life, Moment, Standing
from postroom.admin.pauses import PauseView
from postroom.admin.queue import QueueView, RecipientView
from postroom.admin.reports import DmarcView, Imported, ReportPart, ReportTotal, ReportView, TlsPart
from postroom.admin.simulation.views import DestinationView, Simulation, SpanView
from postroom.admin.sites import SiteView
from postroom.admin.suppression import SuppressionPage, SuppressionView
from postroom.admin.tallies import CauseTally, DomainTally, SenderTally, Stats
from postroom.cli.checkdns import DnsFindingView
from postroom.outbound.wayfinding import HostView, RouteView, RuleView, WayView

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "view"),
    [
        ("`domain show`", DomainView),
        ("`user show`", AccountView),
        ("`user app-password add`", NewAppPassword),
        ("app password", AppPasswordView),
        ("`alias show`", AliasView),
        ("`queue show`", QueueView),
        ("recipient of an entry", RecipientView),
        ("`queue pauses`", PauseView),
        ("`sites`, `sites show`", SiteView),
        ("life", Life),
        ("moment of a life", Moment),
        ("standing of a life", Standing),
        ("`route`", RouteView),
        ("way of a route", WayView),
        ("rule of a way", RuleView),
        ("host of a way", HostView),
        ("`stats`", Stats),
        ("domain of stats", DomainTally),
        ("cause of stats", CauseTally),
        ("sender of stats", SenderTally),
        ("`suppression list`", SuppressionPage),
        ("entry of the suppression list", SuppressionView),
        ("`reports`", ReportTotal),
        ("`reports dmarc`", DmarcView),
        ("part of `reports dmarc`", ReportPart),
        ("`reports tls`", TlsPart),
        ("`reports list`, `reports failures`, `reports complaints`, `reports show`", ReportView),
        ("`reports import`", Imported),
        ("simulation", Simulation),
        ("span of a simulation", SpanView),
        ("destination of a simulation", DestinationView),
        ("`certificate list`", CertificateView),
        ("`dns`", PublishedView),
        ("`dkim list`", dkim.KeyView),
        ("`dkim show`", dkim.RecordView),
        ("`dkim check`", dkim.LookView),
        ("record of dns", RecordView),
        ("`check`", Finding),
        ("`check dns`", DnsFindingView),
    ],
)
def test_fields(row: str, view: type) -> None:
    line = next(line for line in PAGE.partition("## JSON")[2].splitlines() if line.startswith(f"| {row} |"))
    documented = re.findall(r"`(\w+)`", line.split("|")[2])
    assert documented == [field.name for field in dataclasses.fields(view)]
