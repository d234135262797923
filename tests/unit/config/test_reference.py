"""docs/settings.md tells what the code does."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from postroom.config.model import Settings
from postroom.config.reference import reference

ROOT = Path(__file__).parents[3]


def test_up_to_date() -> None:
    message = "docs/settings.md is old: run python -m postroom.config.reference > docs/settings.md"
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference(), message


def test_every_key_is_described() -> None:
    def keys(model: type[BaseModel]) -> list[str]:
        return [name for name, field in model.model_fields.items() if not field.description]

    undescribed = [
        name
        for name in keys(Settings)
        if not isinstance(Settings.model_fields[name].annotation, type)
        or not issubclass(Settings.model_fields[name].annotation, BaseModel)  # type: ignore[arg-type]  # narrowed above
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    "row",
    [
        "| `hostname` | text | required |",
        '| `max_size` | size | `"50MiB"` |',
        '| `lifetime` | duration | `"5d"` |',
        "| `trusted_networks` | list of network | empty |",
        "| `password` | text, secret | empty |",
        "| `tls` | true or false | `true` |",
        "| `certificate` | path | none |",
    ],
)
def test_rows(row: str) -> None:
    assert row in reference()
