"""What one look after another comes to: twice in a row is an alarm, a flap is none."""

from collections.abc import Sequence

import pytest

from postroom.admin.dnsfaults.model import DnsFinding, Fault
from postroom.admin.dnswatch.comparing import MOST, compare, has_doubts
from postroom.admin.dnswatch.model import WatchedDomain
from postroom.admin.finding import Level

DOMAIN = "postroom.net"


def finding(fault: Fault, level: Level = Level.ERROR, subject: str = DOMAIN) -> DnsFinding:
    return DnsFinding(level, fault, DOMAIN, subject, f"{fault.value} is wrong", "so", "do")


SPF = finding(Fault.SPF_SEVERAL)
MX = finding(Fault.MX_ELSEWHERE, Level.WARNING)
BLIND = DnsFinding(Level.SKIPPED, Fault.UNAVAILABLE, DOMAIN, DOMAIN, "no answer")
BOGUS = finding(Fault.DNSSEC_BOGUS)
GOOD = DnsFinding(Level.OK, None, DOMAIN, DOMAIN, "fine")
NOTE = finding(Fault.DMARC_NONE, Level.NOTE)


def run(*looks: Sequence[DnsFinding], known: bool = True) -> tuple[list[str], WatchedDomain]:
    """What is told over some looks, as +fault and -fault, a bar between looks; the first is one where all is well."""
    told: list[str] = []
    before = WatchedDomain(DOMAIN, 0.0) if known else None
    for number, look in enumerate(looks, 1):
        compared = compare(DOMAIN, before, look, float(number))
        told += [f"+{each.fault.value}" for each in compared.broke if each.fault is not None]
        told += [f"-{each.fault}" for each in compared.mended]
        told.append("|")
        before = compared.after
    assert before is not None
    return told, before


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([[SPF], [SPF]], "| +spf-several |"),
        ([[SPF], [SPF], [SPF], [SPF]], "| +spf-several | | |"),
        ([[SPF], [GOOD], [SPF], [GOOD]], "| | | |"),
        ([[SPF], [SPF], [], []], "| +spf-several | | -spf-several |"),
        ([[SPF], [SPF], [], [SPF], [], []], "| +spf-several | | | | -spf-several |"),
        ([[SPF, MX], [SPF], [SPF, MX], [SPF, MX]], "| +spf-several | | +mx-elsewhere |"),
        ([[NOTE], [NOTE], [GOOD], [GOOD]], "| | | |"),
        # nobody answers: nothing is mended by that, and what is found still counts
        ([[SPF], [SPF], [BLIND], [BLIND], [BLIND], [SPF]], "| +spf-several | | | | |"),
        ([[SPF], [SPF], [BOGUS], [BOGUS], [SPF], [SPF]], "| +spf-several | | +dnssec-bogus | | -dnssec-bogus |"),
        # what becomes worse is told again
        (
            [[finding(Fault.TLSA_MISMATCH, Level.WARNING)]] * 2 + [[finding(Fault.TLSA_MISMATCH)]] * 2,
            "| +tlsa-mismatch | | +tlsa-mismatch |",
        ),
        ([[finding(Fault.TLSA_MISMATCH)]] * 2 + [[finding(Fault.TLSA_MISMATCH, Level.WARNING)]] * 2, None),
    ],
)
def test_told(looks: list[list[DnsFinding]], told: str | None) -> None:
    found, _ = run(*looks)
    assert " ".join(found) == (told or "| +tlsa-mismatch | | |")


def test_what_is_wrong_from_the_beginning_is_not_told() -> None:
    assert run([SPF], [SPF], [], [], known=False)[0] == ["|", "|", "|", "|"]


def test_what_comes_after_the_beginning_is() -> None:
    assert run([SPF], [SPF, MX], [SPF, MX], known=False)[0] == ["|", "|", "+mx-elsewhere", "|"]


def test_names_are_told_apart() -> None:
    other = finding(Fault.SPF_SEVERAL, subject="other")
    assert run([SPF], [other], [SPF], [other])[0] == ["|"] * 4


def test_doubts_ask_for_another_look_soon() -> None:
    assert has_doubts(run([SPF])[1])
    assert not has_doubts(run([SPF], [SPF])[1])
    assert has_doubts(run([SPF], [SPF], [])[1])
    assert not has_doubts(run([SPF], known=False)[1])


def test_memory_is_bounded() -> None:
    many = [finding(Fault.MX_ALIAS, subject=str(number)) for number in range(10 * MOST)]
    _, after = run(many, many)
    assert len(after.faults) == MOST
