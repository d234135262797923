"""The openspf.org suite for RFC 7208, through our checker and our resolver port.

A record of type SPF stands for TXT where a name has none (the suite's own rule); a bare TIMEOUT fails every question
that the name has no records for.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.hand_clock import HandClock

from postroom.dns.resolver import Answer, Existence, Family, MxRecord, TlsaRecord, plain_name, reverse_name
from postroom.dns.zone import MAX_CHAIN
from postroom.mail.address import Address
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.model import SpfCheck, SpfIdentity
from postroom.mailauth.spf import SpfChecker


def load() -> list[Any]:
    """Every case with the zone of its scenario; none where the suite is not there."""
    for parent in Path(__file__).resolve().parents:
        suite = parent / "shared" / "data" / "spf-openspf" / "rfc7208-tests.yml"
        if suite.is_file():
            break
    else:
        return []
    return [
        pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}: {name}")
        for scenario in yaml.safe_load_all(suite.read_text(encoding="utf-8"))
        for name, case in scenario["tests"].items()
    ]


CASES = load()
if not CASES:
    pytest.skip("no shared/data/spf-openspf", allow_module_level=True)


class SuiteResolver:
    """Answers from the suite's zone data. ``asked`` counts the questions."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self.zone: dict[str, list[tuple[str, Any]]] = {}
        self.failing: set[str] = set()
        self.asked = 0
        for name, entries in zonedata.items():
            kept = self.zone.setdefault(plain_name(name), [])
            for entry in entries:
                if entry == "TIMEOUT":
                    self.failing.add(plain_name(name))
                else:
                    kept.extend(entry.items())
            if not any(kind == "TXT" for kind, _ in kept):
                kept.extend([("TXT", data) for kind, data in kept if kind == "SPF"])

    async def mx(self, domain: str) -> Answer[MxRecord]:
        return self._answer(domain, "MX", lambda data: MxRecord(int(data[0]), plain_name(data[1])))

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        return self._answer(host, family.value, str)

    async def txt(self, name: str) -> Answer[bytes]:
        return self._answer(name, "TXT", octets)

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        raise NotImplementedError

    async def cname(self, name: str) -> Answer[str]:
        raise NotImplementedError

    async def ptr(self, address: str) -> Answer[str]:
        return self._answer(reverse_name(address), "PTR", plain_name)

    def _answer(self, name: str, kind: str, read: Any) -> Answer[Any]:
        self.asked += 1
        name = plain_name(name)
        for _ in range(MAX_CHAIN):
            entries = self.zone.get(name)
            if entries is None:
                return Answer((), 60.0, existence=Existence.NO_SUCH_DOMAIN, name=name)
            found = tuple([read(data) for each, data in entries if each == kind and data != "NONE"])
            if found:
                return Answer(found, 300.0, existence=Existence.FOUND, name=name)
            if name in self.failing:
                raise ResolverUnavailable(f"no answer for {name} {kind}: timed out")
            aliases = [data for each, data in entries if each == "CNAME"]
            if not aliases:
                return Answer((), 60.0, existence=Existence.NO_DATA, name=name)
            name = plain_name(aliases[0])
        raise ResolverUnavailable(f"no answer for {name} {kind}: too many CNAMEs")


def octets(data: str | list[str]) -> bytes:
    """The strings of a TXT record, joined; YAML's escapes are octets."""
    return "".join([data] if isinstance(data, str) else data).encode("latin-1")


async def ask(checker: SpfChecker, case: dict[str, Any]) -> SpfCheck:
    """What is found for MAIL FROM as the suite gives it; it has addresses that no session would take."""
    local, _, domain = (case["mailfrom"] or "").rpartition("@")
    sender = Address(local or "postmaster", domain.lower()) if domain else None
    _, mail_from = await checker.check(case["host"], case["helo"] or "", sender)
    return mail_from


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.parametrize(("zonedata", "case"), CASES)
async def test_suite(zonedata: dict[str, list[Any]], case: dict[str, Any]) -> None:
    resolver = SuiteResolver(zonedata)
    checker = SpfChecker(resolver, hostname="receiver.example.org", clock=HandClock())
    wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
    found = await ask(checker, case)
    assert found.identity is SpfIdentity.MAIL_FROM
    assert found.result.value in wanted, found
    explanation = case.get("explanation")
    if explanation is not None:
        expected = "" if explanation == "DEFAULT" else explanation
        assert found.explanation.lower() == expected.lower()  # the hexadecimal digits of %{i} may be of either case
    assert await ask(checker, case) == found  # what is remembered says the same
