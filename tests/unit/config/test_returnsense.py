"""Settings of what comes back that contradict themselves."""

import pytest

from postroom.config.lines import show_path
from postroom.config.model import Settings
from postroom.config.returnsense import check_returns


def findings(**returns: object) -> list[tuple[str, bool]]:
    settings = Settings.model_validate({"hostname": "mx.example.org", "returns": returns})
    return [(show_path(finding.path), finding.is_error) for finding in check_returns(settings)]


@pytest.mark.parametrize(
    "returns",
    [
        {},
        {"verp": True, "lifetime": "30d", "complaints": ["fbl@example.org", "abuse+aol@example.org"]},
        {"srs": False, "lifetime": "1d"},
    ],
)
def test_good_settings(returns: dict[str, object]) -> None:
    assert findings(**returns) == []


@pytest.mark.parametrize(
    ("returns", "place", "is_error"),
    [
        ({"complaints": ["fbl@example.org", "fbl"]}, "returns.complaints[2]", True),
        ({"complaints": ["postmaster"]}, "returns.complaints[1]", True),
        ({"lifetime": "1d"}, "returns.lifetime", False),
        ({"lifetime": "900d"}, "returns.lifetime", False),
    ],
)
def test_what_makes_no_sense(returns: dict[str, object], place: str, is_error: bool) -> None:
    ((found, error),) = findings(**returns)
    assert (found, error) == (place, is_error)
