"""Whether the settings of received reports make sense: addresses that can be ones, and where mail is kept."""

from collections.abc import Iterator

from postroom.config.finding import Finding
from postroom.config.lines import KeyPath
from postroom.config.model import Settings
from postroom.mail.address import Address

_DAY = 86400.0


def check_reports(settings: Settings) -> Iterator[Finding]:
    """What contradicts itself in ``[reports]``."""
    reports = settings.reports
    written: list[tuple[KeyPath, str]] = [
        (("reports", "dmarc"), reports.dmarc),
        (("reports", "failures"), reports.failures),
        (("reports", "tls"), reports.tls),
    ]
    written += [(("reports", "addresses", number), text) for number, text in enumerate(reports.addresses)]
    for path, text in written:
        if not _is_address(text if "@" in text else f"{text}@example.org"):
            remedy = 'write a local part, as in "dmarc-reports", or a full address, as in "dmarc@example.org"'
            yield Finding(path, f"{text!r} is neither a local part nor an address", remedy)
    if reports.keep_in and not _is_address(reports.keep_in):
        remedy = "name an account or an alias, as in postmaster@example.org"
        yield Finding(("reports", "keep_in"), f"{reports.keep_in!r} is no full address", remedy)
    if reports.keep < _DAY:
        what = "shorter than a day: most reports are about the day before"
        yield Finding(("reports", "keep"), what, "set it to some months", is_error=False)


def _is_address(text: str) -> bool:
    try:
        return bool(Address.parse(text).domain)
    except ValueError:
        return False
