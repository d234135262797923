"""The public suite of ARC validation tests, whole (RFC 8617 §5.2)."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.fakes.clock import ManualClock
from tests.unit.mailauth.vectors import vectors

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import SignatureChecker

SUITE = "arc-draft-validation-tests.yml"
CASES = 171


def scenarios() -> Iterator[tuple[Zone, dict[str, dict[str, Any]]]]:
    """Keys, and the cases that need them."""
    with (vectors("arc-valimail") / SUITE).open() as file:
        for document in yaml.safe_load_all(file):
            zone = Zone()
            for name, record in document.get("txt-records", {}).items():
                zone.add(name, "TXT", f'"{record}"')
            yield zone, document["tests"]


async def test_every_case_of_the_suite_is_judged_as_it_says() -> None:
    wrong, count = [], 0
    for zone, cases in scenarios():
        checker = SignatureChecker(ZoneResolver(zone), ManualClock())
        for name, case in cases.items():
            count += 1
            message = case["message"].replace("\n", "\r\n").encode()
            found = (await checker.check(message)).arc
            # No result is named where a seal says cv=fail: "fail" by RFC 8617 §5.2 step 2 and 3.
            if found.result.value != (case["cv"] or "fail").lower():
                wrong.append(f"{name}: {case['cv']} expected, {found.result.value} found ({found.reason})")
    print("\n".join(wrong))
    assert (wrong, count) == ([], CASES)


async def test_a_chain_says_who_sealed_and_what_they_found() -> None:
    zone, cases = next(scenarios())
    checker = SignatureChecker(ZoneResolver(zone), ManualClock())
    message = cases["cv_pass_i2_1"]["message"].replace("\n", "\r\n").encode()
    arc = (await checker.check(message)).arc
    assert arc.sealers == ("example.org", "example.org")
    found = "lists.example.org; spf=pass smtp.mfrom=jqd@d1.example; "
    found += "dkim=pass (1024-bit key) header.i=@d1.example; dmarc=pass"
    assert [" ".join(results.split()) for results in arc.results] == [found, found]


@pytest.mark.parametrize(("name", "oldest"), [("cv_pass_i2_1_ams1_invalid", 2), ("cv_pass_i2_1", 0)])
async def test_the_oldest_message_signature_that_still_holds(name: str, oldest: int) -> None:
    """RFC 8617 §5.2 step 5."""
    zone, cases = next(scenarios())
    checker = SignatureChecker(ZoneResolver(zone), ManualClock())
    message = cases[name]["message"].replace("\n", "\r\n").encode()
    assert (await checker.check(message)).arc.oldest_pass == oldest
