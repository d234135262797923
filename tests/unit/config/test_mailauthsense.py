"""Contradictions in how incoming mail is checked: each is found, at its place, with a remedy."""

from typing import Any

import pytest
from pydantic import ValidationError

from postroom.config.mailauthsense import check_mailauth
from postroom.config.model import Settings


def found(**mailauth: Any) -> list[tuple[tuple[Any, ...], bool]]:
    settings = Settings.model_validate({"hostname": "mx.example.org", "mailauth": mailauth})
    findings = list(check_mailauth(settings))
    assert all(finding.remedy for finding in findings)
    return [(finding.path, finding.is_error) for finding in findings]


def test_what_makes_sense_is_left_alone() -> None:
    assert found() == []
    assert found(roles=[], spf=False, dkim=False, dmarc=False) == []
    assert found(trusted_forwarders=["192.0.2.0/24", ".list.example"], override=[{"domains": ["a.example"]}]) == []


@pytest.mark.parametrize(
    ("mailauth", "path", "is_error"),
    [
        ({"spf": False}, ("mailauth", "spf"), True),
        ({"dkim": False}, ("mailauth", "dkim"), True),
        ({"spf": False, "dkim": False, "dmarc": False}, ("mailauth", "roles"), False),
        ({"dmarc": False, "on_spf_fail": "refuse"}, ("mailauth", "on_spf_fail"), False),
        ({"exempt_networks": ["127.0.0.0/8", "0.0.0.0/0"]}, ("mailauth", "exempt_networks", 1), True),
        ({"trusted_forwarders": ["::/0"]}, ("mailauth", "trusted_forwarders", 0), True),
        ({"dkim": False, "dmarc": False, "trusted_sealers": ["a.example"]}, ("mailauth", "trusted_sealers"), False),
        (
            {"override": [{"domains": ["a.example"]}, {"domains": ["b.example", "A.example"]}]},
            ("mailauth", "override", 1, "domains"),
            False,
        ),
    ],
)
def test_contradictions(mailauth: dict[str, Any], path: tuple[Any, ...], is_error: bool) -> None:
    assert found(**mailauth) == [(path, is_error)]


@pytest.mark.parametrize(
    "mailauth",
    [
        {"roles": ["submission"]},
        {"on_spf_fail": "drop"},
        {"on_temperror": "refuse"},
        {"trusted_forwarders": ["192.0.2.0/33"]},
        {"trusted_forwarders": ["192.0.2.1/24"]},
        {"trusted_forwarders": ["not a name"]},
        {"trusted_sealers": ["a..example"]},
        {"exempt_recipients": ["a@b@c"]},
        {"override": [{"domains": []}]},
        {"timeout": 0},
    ],
)
def test_what_is_malformed(mailauth: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        found(**mailauth)
