"""Whether ``[reports]`` makes sense."""

import pytest

from postroom.config.lines import show_path
from postroom.config.model import Settings
from postroom.config.reportsense import check_reports


def findings(**reports: object) -> list[tuple[str, bool]]:
    settings = Settings.model_validate({"hostname": "mx.example.org", "reports": reports})
    return [(show_path(finding.path), finding.is_error) for finding in check_reports(settings)]


@pytest.mark.parametrize(
    "reports",
    [{}, {"dmarc": "rua@central.example"}, {"addresses": ["abuse", "x@y.example"], "keep_in": "ann@example.org"}],
)
def test_good_settings(reports: dict[str, object]) -> None:
    assert findings(**reports) == []


@pytest.mark.parametrize(
    ("reports", "place", "is_error"),
    [
        ({"dmarc": "two words"}, "reports.dmarc", True),
        ({"tls": ""}, "reports.tls", True),
        ({"failures": "a@b@c"}, "reports.failures", True),
        ({"addresses": ["fine", "a@"]}, "reports.addresses[2]", True),
        ({"keep_in": "postmaster"}, "reports.keep_in", True),
        ({"keep": "1h"}, "reports.keep", False),
    ],
)
def test_nonsense(reports: dict[str, object], place: str, is_error: bool) -> None:
    assert findings(**reports) == [(place, is_error)]
