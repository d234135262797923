"""Builds what checks incoming mail: SPF, DKIM with ARC, and DMARC over the resolver of this node."""

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.dns.resolver import Resolver
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dmarc.evaluating import DmarcEvaluator
from postroom.mailauth.results import without_forged, write_results
from postroom.mailauth.spf import SpfChecker
from postroom.policy.authentication import DmarcTally, MailChecks, Methods
from postroom.report.reporter import Reporter


def make_checks(
    settings: Settings, resolver: Resolver, clock: Clock, reporter: Reporter, tally: DmarcTally | None = None
) -> MailChecks:
    """The checks as the settings want them. ``tally`` counts for aggregate reports."""
    # Each within its part of the time (see policy.authentication): who is slow in one of them is slow in that alone.
    seconds = settings.mailauth.timeout
    methods = Methods(
        spf=SpfChecker(resolver, hostname=settings.hostname, clock=clock, helo_seconds=seconds / 6),
        signatures=SignatureChecker(resolver, clock, seconds=seconds / 2),
        dmarc=DmarcEvaluator(resolver, seconds=seconds / 4),
        write=write_results,
        without_forged=without_forged,
    )
    return MailChecks(
        settings.mailauth,
        methods,
        hostname=settings.hostname,
        trusted_networks=settings.smtp.trusted_networks,
        resolver=resolver,
        clock=clock,
        reporter=reporter,
        tally=tally,
    )
