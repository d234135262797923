"""The port of mail that may bring a report on SQLite: what is still to be read, and what came of it."""

import json
from collections.abc import Sequence
from typing import Any

import apsw

from postroom.mail.message import QueueId
from postroom.mailauth.reports.store import Kept
from postroom.queue.reportmodel import ReportedMail, ReportFinding, ReportNote
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.reportwriting import keep_reports
from postroom.storage.sqlite.rows import INSERT_HISTORY, history_row
from postroom.storage.sqlite.waiting import drop_messages

_PENDING = "SELECT queue_id, at, recipients, author, content FROM reported ORDER BY queue_id LIMIT ?"
_DONE = "DELETE FROM reported WHERE queue_id = ?"


class SqliteReported:
    """See ``postroom.queue.reportmodel.ReportedStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def pending(self, limit: int) -> Sequence[ReportedMail]:
        """What is still to be read, in order of queue id."""

        def read(connection: apsw.Connection) -> list[Any]:
            return connection.execute(_PENDING, (limit,)).fetchall()

        return [
            ReportedMail(QueueId(queue_id), at, ReportNote(tuple(json.loads(names)), author), content)
            for queue_id, at, names, author, content in await self._listings.run(read)
        ]

    async def finish(self, finding: ReportFinding) -> Sequence[Kept] | None:
        """Write what came of it; None if it was done already."""
        return await self._writer.submit(_FINISH, finding, 1 + len(finding.reports))


def _finish(connection: apsw.Connection, calls: Sequence[ReportFinding]) -> Sequence[Sequence[Kept] | None]:
    answers: list[Sequence[Kept] | None] = []
    for finding in calls:
        connection.execute(_DONE, (finding.queue_id,))
        if not connection.changes():
            answers.append(None)
            continue
        answers.append(keep_reports(connection, finding.reports))
        INSERT_HISTORY.run(connection, [history_row(row) for row in finding.history])
        drop_messages(connection, {finding.queue_id})
    return answers


_FINISH: Kind[apsw.Connection, ReportFinding, Sequence[Kept] | None] = Kind("finish reported", _finish)
