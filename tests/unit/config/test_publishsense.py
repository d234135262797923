"""What is to be published, and the zones that are to be changed: settings that contradict themselves are told."""

from typing import Any

import pytest

from postroom.config.model import Settings
from postroom.config.sense import check_sense

ZONE = {"name": "example.org", "server": "192.0.2.53", "key": "k", "secret_file": "k.key"}


def findings(**sections: Any) -> list[tuple[str, bool]]:
    settings = Settings.model_validate({"hostname": "mx.example.org", **sections})
    return [
        (finding.what, finding.is_error)
        for finding in check_sense(settings)
        if finding.path[0] in {"publish", "zone"} and finding.remedy
    ]


@pytest.mark.parametrize(
    ("sections", "says", "is_error"),
    [
        ({"publish": {"public_addresses": ["mx"]}}, "is not an IP address", True),
        ({"publish": {"public_addresses": ["10.0.0.1"]}}, "is not a public address", False),
        ({"zone": [ZONE, ZONE]}, "a second [[zone]]", True),
        ({"zone": [{**ZONE, "server": "a b"}]}, "is of no use", True),
        ({"zone": [{**ZONE, "key": ""}]}, "is of no use", True),
    ],
)
def test_told(sections: dict[str, Any], says: str, is_error: bool) -> None:
    ((what, error),) = findings(**sections)
    assert says in what
    assert error is is_error


def test_nothing_to_tell() -> None:
    publish = {"public_addresses": ["8.8.8.8", "2001:4860::1"]}
    assert not findings(publish=publish, zone=[ZONE, {**ZONE, "name": "example.net"}])
