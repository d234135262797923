"""Why messages passed or failed, in words that an operator can act on."""

import pytest

from postroom.admin.reportwords import share, tell_fate, tell_result, tell_tls
from postroom.mailauth.reports.store import Flow

Results = tuple[tuple[str, str, str, str, str], ...]


def flow(
    *results: tuple[str, str, str, str, str],
    dkim: str = "fail",
    spf: str = "fail",
    disposition: str = "none",
    overrides: tuple[str, ...] = (),
    envelope_from: str = "",
) -> Flow:
    return Flow("192.0.2.1", "example.org", envelope_from, disposition, dkim, spf, results, overrides, 1, 1)


def spf(domain: str, result: str, scope: str = "") -> tuple[str, str, str, str, str]:
    return ("spf", domain, result, "", scope)


def dkim(domain: str, result: str, selector: str = "") -> tuple[str, str, str, str, str]:
    return ("dkim", domain, result, selector, "")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            flow(spf("bounce.example.net", "pass")),
            "SPF passed for bounce.example.net, which is not aligned with example.org; no DKIM signature",
        ),
        (
            flow(spf("example.org", "pass"), dkim("example.org", "pass", "s1"), spf="pass", dkim="pass"),
            "SPF passed for example.org; DKIM passed for example.org (selector s1)",
        ),
        (
            flow(spf("list.example", "pass"), dkim("list.example", "pass"), dkim("example.org", "fail", "s1")),
            "SPF passed for list.example, which is not aligned with example.org; "
            "DKIM passed for list.example, which is not aligned with example.org",
        ),
        (
            flow(spf("list.example", "none"), dkim("esp.example", "pass"), dkim("m.example.org", "pass"), dkim="pass"),
            "list.example has no SPF record; DKIM passed for m.example.org",
        ),
        (
            flow(spf("example.org", "fail"), dkim("example.org", "fail", "s1")),
            "SPF failed: example.org does not list this source; "
            "the DKIM signature of example.org (selector s1) did not verify",
        ),
        (
            flow(spf("example.org", "temperror"), dkim("example.org", "temperror")),
            "SPF could not be checked: a DNS error at example.org; the DKIM key of example.org could not be fetched",
        ),
        (
            flow(spf("mail.example", "pass", "helo")),
            "SPF passed for mail.example (its HELO name only), which is not aligned with example.org; "
            "no DKIM signature",
        ),
        (
            flow(spf("mail.example", "pass", "helo"), spf("", "softfail", "mfrom"), envelope_from="e.example"),
            "SPF soft-failed: e.example does not list this source for sure; no DKIM signature",
        ),
        (flow(), "SPF was not reported; no DKIM signature"),
        (flow(dkim="pass"), "SPF was not reported; DKIM passed"),
        (
            flow(spf("a.example", "hardfail"), dkim("b.example", "expired")),
            "SPF: hardfail for a.example; DKIM: expired for b.example",
        ),
        (
            flow(*[dkim(f"d{n}.example", "pass") for n in range(5)]),
            "SPF was not reported; DKIM passed for d0.example, d1.example, d2.example and 2 more, "
            "which is not aligned with example.org",
        ),
    ],
)
def test_why(given: Flow, words: str) -> None:
    assert tell_result(given) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (flow(), ""),
        (flow(disposition="reject"), "rejected"),
        (flow(disposition="quarantine"), "quarantined"),
        (flow(overrides=("mailing_list", "mailing_list")), "let through (a mailing list)"),
        (flow(overrides=("own_word",), disposition="quarantine"), "quarantined (own_word)"),
        (flow(disposition="delayed"), "delayed"),
    ],
)
def test_what_became_of_it(given: Flow, words: str) -> None:
    assert tell_fate(given) == words


def test_a_share_is_never_rounded_to_all_or_more() -> None:
    assert [share(*pair) for pair in ((987, 13), (100, 0), (99_999, 1), (0, 5), (0, 0))] == [
        "98.7 %", "100 %", "over 99.9 %", "0.0 %", "-",
    ]  # fmt: skip


def test_tls() -> None:
    assert tell_tls("certificate-expired") == "the certificate has expired"
    assert tell_tls("something-new") == "something-new"
