"""Whether the settings of checking incoming mail make sense together."""

from collections.abc import Iterator

from postroom.config.finding import Finding
from postroom.config.mailauth import MailauthSettings
from postroom.config.model import Settings


def check_mailauth(settings: Settings) -> Iterator[Finding]:
    """What contradicts itself in ``[mailauth]``."""
    chosen = settings.mailauth
    if chosen.dmarc and not (chosen.spf and chosen.dkim):
        lacking = "spf" if not chosen.spf else "dkim"
        what = f"DMARC without {lacking.upper()}: mail that passes only by {lacking.upper()} would fail"
        yield Finding(("mailauth", lacking), what, f"set {lacking} = true, or dmarc = false")
    if chosen.roles and not (chosen.spf or chosen.dkim):
        what = "roles are to be checked, by no method"
        yield Finding(("mailauth", "roles"), what, "set roles = [], or switch a method on", is_error=False)
    if chosen.on_spf_fail != "tag" and not chosen.dmarc:
        what = "SPF decides alone, without DMARC: forwarded mail fails SPF though it is signed"
        yield Finding(("mailauth", "on_spf_fail"), what, 'set dmarc = true, or on_spf_fail = "tag"', is_error=False)
    yield from _check_exceptions(chosen)


def _check_exceptions(chosen: MailauthSettings) -> Iterator[Finding]:
    for number, network in enumerate(chosen.exempt_networks):
        if network.prefixlen == 0:
            what = f"{network} is everybody: no mail would be checked"
            yield Finding(("mailauth", "exempt_networks", number), what, "set roles = [] if you mean that")
    for number, text in enumerate(chosen.trusted_forwarders):
        if text.endswith("/0"):
            what = f"{text} is everybody: nothing would be refused"
            yield Finding(("mailauth", "trusted_forwarders", number), what, "name the networks of those who forward")
    if chosen.trusted_sealers and not chosen.dkim:
        what = "ARC seals are checked together with DKIM, which is off"
        yield Finding(("mailauth", "trusted_sealers"), what, "set dkim = true, or remove them", is_error=False)
    seen: set[str] = set()
    for number, override in enumerate(chosen.override):
        for domain in override.domains:
            if domain in seen:
                what = f"{domain} has an override already, and the first counts"
                yield Finding(("mailauth", "override", number, "domains"), what, "name it once", is_error=False)
            seen.add(domain)
