"""The lines of the queue by priority: an older queue goes on, and no question walks through a long line."""

import re
from pathlib import Path

import pytest
from tests.fakes.letters import NOON, an_intake, asking, queue_id

from postroom.queue.model import Lease, LeaseQuestion
from postroom.storage.sqlite import leasing, waiting
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.migrate import migrate, migrations
from postroom.storage.sqlite.store import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "postroom.db"


async def test_what_waited_before_priorities_came_is_leased(path: Path) -> None:
    connection = connect(path, read_only=False)
    migrate(connection, migrations()[:1])
    connection.execute(
        """INSERT INTO message VALUES (?1, 5.0, 'a', 'x.test', NULL, '7BIT', 0, NULL, '', '', '', '', 0, 0, x'', x'');
           INSERT INTO recipient (queue_id, number, local, domain, orcpt, state, attempts, next_attempt, delay_told)
           VALUES (?1, 0, 'u', 'd.example', '', 'deferred', 1, 99.5, 0);
           INSERT INTO destination VALUES ('d.example', 99.5)""",
        {"1": queue_id(1)},
    )
    connection.close()
    store = await SqliteStore.open(path)
    try:
        await store.queue.take_in([asking(an_intake(2, to=["v@d.example"], at=99.0), priority=-1)])
        question = LeaseQuestion(50.0, Lease("n", NOON), 10, 10)
        assert (await store.queue.lease(question)).next_due == 99.0
        answer = await store.queue.lease(LeaseQuestion(100.0, Lease("n", NOON), 10, 10))
        assert [one.message.queue_id for one in answer.messages] == [queue_id(1), queue_id(2)]
        assert not answer.messages[0].message.envelope.has_options
    finally:
        await store.close()


@pytest.mark.parametrize("sql", [leasing._DESTINATIONS, leasing._DUE, leasing._NEXT, waiting._MARK, waiting._UNMARK])
def test_the_store_seeks_where_the_queue_is_long(path: Path, sql: str) -> None:
    """DESIGN §8: a million that wait slow nobody down, so nothing that runs for each question may scan them."""
    connection = connect(path, read_only=False)
    migrate(connection, migrations())
    bindings = max([int(number) for number in re.findall(r"\?(\d)", sql)], default=1)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * bindings)]
    connection.close()
    for step in plan:
        if re.match(r"SCAN (recipient|destination)\b", step):
            assert step == "SCAN recipient USING INDEX recipient_leased"  # in order, and ended by LIMIT
        assert "TEMP B-TREE" not in step
    assert any("SEARCH" in step for step in plan)
