"""What reports tell, in words: why DMARC passed or failed for messages that are alike, and what became of them."""

from collections.abc import Sequence

from postroom.mailauth.reports.store import Flow

_SHOWN = 3  # signatures that are named

_SPF = {
    "fail": "SPF failed: {domain} does not list this source",
    "softfail": "SPF soft-failed: {domain} does not list this source for sure",
    "neutral": "SPF is neutral: {domain} says nothing about this source",
    "none": "{domain} has no SPF record",
    "temperror": "SPF could not be checked: a DNS error at {domain}",
    "permerror": "the SPF record of {domain} is broken",
}
_DKIM = {
    "fail": "the DKIM signature of {domain} did not verify",
    "neutral": "the DKIM signature of {domain} could not be used",
    "policy": "the DKIM signature of {domain} was not acceptable to the receiver",
    "none": "no DKIM signature",
    "temperror": "the DKIM key of {domain} could not be fetched",
    "permerror": "the DKIM signature of {domain} or its key is broken",
}
_OVERRIDES = {
    "forwarded": "forwarded",
    "local_policy": "a local policy of the receiver",
    "mailing_list": "a mailing list",
    "policy_test_mode": "the policy is in test mode",
    "sampled_out": "left out by pct",
    "trusted_forwarder": "a forwarder that the receiver trusts",
    "other": "a reason of the receiver's own",
}

TLS_RESULTS = {
    "": "succeeded",
    "starttls-not-supported": "STARTTLS was not offered",
    "certificate-host-mismatch": "the certificate is for another name",
    "certificate-expired": "the certificate has expired",
    "certificate-not-trusted": "the certificate is not trusted",
    "validation-failure": "the certificate or policy could not be validated",
    "tlsa-invalid": "the TLSA records do not fit the certificate",
    "dnssec-invalid": "DNSSEC validation failed",
    "dane-required": "DANE was required and there are no TLSA records",
    "sts-policy-fetch-error": "the MTA-STS policy could not be fetched",
    "sts-policy-invalid": "the MTA-STS policy is invalid",
    "sts-webpki-invalid": "the certificate of the MTA-STS policy host is invalid",
    "no details": "failed, without details",
}
"""RFC 8460 §4.3."""


def tell_result(flow: Flow) -> str:
    """What SPF and DKIM found, and whether it counted: ``SPF passed for a.example, which is not aligned with ...``."""
    return f"{_tell_spf(flow)}; {_tell_dkim(flow)}"


def tell_fate(flow: Flow) -> str:
    """What the receiver did with messages that failed, and why not what the policy asks; ``""`` for the usual."""
    because = ", ".join(dict.fromkeys([_OVERRIDES.get(kind, kind) for kind in flow.overrides]))
    done = {"none": "", "quarantine": "quarantined", "reject": "rejected"}.get(flow.disposition, flow.disposition)
    if because:
        return f"{done or 'let through'} ({because})"
    return done


def tell_tls(result: str) -> str:
    """A result of TLSRPT."""
    return TLS_RESULTS.get(result, result)


def share(passed: int, failed: int) -> str:
    """How many passed, so that what is not all never looks like all: ``99.9 %`` of 100,000 with one failure."""
    total = passed + failed
    if not total:
        return "-"
    percent = 100 * passed / total
    if failed and percent > 99.9:
        return "over 99.9 %"
    return "100 %" if not failed else f"{percent:.1f} %"


def _tell_spf(flow: Flow) -> str:
    results = [each for each in flow.results if each[0] == "spf"]
    if flow.spf == "pass":
        passed = next((each[1] for each in results if each[2] == "pass"), flow.envelope_from or flow.header_from)
        return f"SPF passed for {passed}"
    if not results:
        return "SPF was not reported"
    # The identity of MAIL FROM counts; some reporters tell HELO's besides
    _, domain, result, _, scope = next((each for each in results if each[4] != "helo"), results[0])
    name = domain or flow.envelope_from or "the sender's domain"
    if result == "pass":
        of = " (its HELO name only)" if scope == "helo" else ""
        return f"SPF passed for {name}{of}, which is not aligned with {flow.header_from or 'From'}"
    return _SPF.get(result, f"SPF: {result} for {{domain}}").replace("{domain}", name)


def _tell_dkim(flow: Flow) -> str:
    results = [each for each in flow.results if each[0] == "dkim" and each[2] != "none"]
    passed = [each for each in results if each[2] == "pass"]
    if flow.dkim == "pass":
        if not passed:
            return "DKIM passed"
        best = max(passed, key=lambda each: _nearness(each[1], flow.header_from))
        return f"DKIM passed for {best[1]}" + (f" (selector {best[3]})" if best[3] else "")
    if not results:
        return "no DKIM signature"
    if passed:
        names = _names([each[1] for each in passed])
        return f"DKIM passed for {names}, which is not aligned with {flow.header_from or 'From'}"
    _, domain, result, selector, _ = results[0]
    name = (domain or "an unnamed domain") + (f" (selector {selector})" if selector else "")
    return _DKIM.get(result, f"DKIM: {result} for {{domain}}").replace("{domain}", name)


def _nearness(domain: str, author: str) -> int:
    """How many labels from the right are the same: the signature that is aligned has most."""
    same = 0
    for ours, theirs in zip(reversed(domain.split(".")), reversed(author.split(".")), strict=False):
        if ours != theirs:
            break
        same += 1
    return same


def _names(domains: Sequence[str]) -> str:
    names = list(dict.fromkeys(domains))
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
