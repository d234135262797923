"""simulate: what an operator is shown of the days to come."""

from pathlib import Path

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_queue_commands import BUSY, FIRST, SECOND, put, waiting

from postroom.mail.delivery import RecipientState


@pytest.fixture
def filled(house: MemoryHouse) -> MemoryHouse:
    """One message that is greylisted again and again, and one that is new."""
    deferred = waiting(
        0,
        "bob@far.example",
        RecipientState.DEFERRED,
        attempts=2,
        next_attempt=NOW + 60,
        last_attempt=NOW - 60,
        last_reply=BUSY,
    )
    put(house, FIRST, "alice@example.org", deferred)
    put(house, SECOND, "alice@example.org", waiting(0, "carl@near.example"))
    return house


def test_the_days_to_come(run: Run, filled: MemoryHouse) -> None:
    ended = run("simulate")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("2 recipients, from ")
    assert "they go on as now" in ended.out
    lines = [line.split() for line in ended.out.splitlines()]
    assert next(line for line in lines if line[:1] == ["near.example"])[1:5] == ["1", "as", "now", "1"]
    assert "queue.lifetime" in ended.out
    assert "5 d" in ended.out
    assert "then nothing waits any more" in ended.out


def test_as_json(run: Run, filled: MemoryHouse) -> None:
    (view,) = run("simulate", "--json", "--days", "6", "--every", "1d").json
    assert view["recipients"] == view["simulated"] == 2
    assert (view["totals"]["delivered"], view["totals"]["expired"], view["totals"]["warned"]) == (1, 1, 1)
    assert len(view["timeline"]) == 6
    assert [one["destination"] for one in view["destinations"]] == ["far.example", "near.example"]


def test_nothing_is_changed(run: Run, filled: MemoryHouse) -> None:
    before = run("queue", "list", "--json").out
    assert run("simulate", "--all-down").code == 0
    assert run("queue", "list", "--json").out == before


def test_assumptions(run: Run, filled: MemoryHouse) -> None:
    ended = run("simulate", "--site", "far.example=down:..2h", "--all-down", "--days", "1")
    assert "assumed: far.example down:..2h" in ended.out
    assert "assumed: * down" in ended.out
    (view,) = run("simulate", "--site", "far.example=accept", "--all-down", "--json").json
    assert (view["totals"]["delivered"], view["totals"]["expired"]) == (1, 1)


def test_two_settings_side_by_side(run: Run, filled: MemoryHouse, config: Path) -> None:
    other = config.with_name("other.toml")
    other.write_text(config.read_text().replace("[tls]", '[queue]\nlifetime = "1d"\n[tls]'))
    ended = run("simulate", "--settings", str(other))
    assert ended.code == 0, ended.err
    assert f"B: {other}" in ended.out
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["queue.lifetime", "5", "d", "1", "d"] in lines
    assert ["expired", "1", "1"] in lines
    first, second = run("simulate", "--settings", str(other), "--json").json
    assert second["totals"]["attempts"] < first["totals"]["attempts"]
    same = run("simulate", "--settings", str(config))
    assert "no setting of the queue differs" in same.out


def test_one_domain(run: Run, filled: MemoryHouse) -> None:
    assert run("simulate", "--domain", "near.example").out.startswith("1 recipients")


def test_an_empty_queue(run: Run) -> None:
    assert run("simulate").out == "the queue is empty\n"


def test_held_mail(run: Run, house: MemoryHouse) -> None:
    put(house, FIRST, "alice@example.org", waiting(0, "bob@far.example", RecipientState.HELD))
    assert run("simulate").out == "all 1 recipients are held\n"
    put(house, SECOND, "alice@example.org", waiting(0, "carl@near.example"))
    assert "1 more are held and left out" in run("simulate").out


def test_a_sample(run: Run, house: MemoryHouse) -> None:
    put(house, FIRST, "alice@example.org", *(waiting(n, f"u{n}@far.example") for n in range(50)))
    ended = run("simulate", "--sample", "10", "--top", "0")
    assert "10 of them were simulated" in ended.out
    assert "there are 1 destinations" in ended.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--site", "far.example"], "is no site"),
        (["--site", "far.example=away"], "'away' is nothing that a site does"),
        (["--every", "soon"], "is not a duration"),
        (["--every", "5s"], "is too short"),
        (["--settings", "nowhere.toml"], "nowhere.toml"),
        (["--domain", "far..example"], "far..example"),
    ],
)
def test_wrong_use(run: Run, options: list[str], told: str) -> None:
    ended = run("simulate", *options)
    assert ended.code == 1
    assert told in ended.err
    assert "remedy:" in ended.err or "nowhere" in told
