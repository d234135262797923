"""The port of mail that came back on SQLite: what is still to be looked at, and what came of it."""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw

from postroom.mail.message import QueueId
from postroom.queue.returnmodel import FIRST, Finding, ReturnedMail
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.reportwriting import keep_reports
from postroom.storage.sqlite.rows import INSERT_HISTORY, history_row
from postroom.storage.sqlite.suppression import note_suppressions

_PENDING = """
SELECT queue_id, at, recipients, null_sender, content FROM returned WHERE queue_id > ? ORDER BY queue_id LIMIT ?
"""
_DONE = "DELETE FROM returned WHERE queue_id = ?"


class SqliteReturned:
    """See ``postroom.queue.returnmodel.ReturnedStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def pending(self, limit: int, after: QueueId = FIRST) -> Sequence[ReturnedMail]:
        """What is still to be looked at, in order of queue id, those after ``after``."""

        def read(connection: apsw.Connection) -> list[Any]:
            return connection.execute(_PENDING, (after, limit)).fetchall()

        return [
            ReturnedMail(QueueId(queue_id), at, tuple(json.loads(names)), bool(null_sender), content)
            for queue_id, at, names, null_sender, content in await self._listings.run(read)
        ]

    async def finish(self, findings: Sequence[Finding]) -> Sequence[bool]:
        """Write what came of it; whether each was still to be done, in order."""
        return await self._writer.submit(_FINISH, findings, len(findings)) if findings else ()


def _finish(connection: apsw.Connection, calls: Sequence[Sequence[Finding]]) -> Sequence[Sequence[bool]]:
    answers = []
    for findings in calls:
        done = []
        for finding in findings:
            connection.execute(_DONE, (finding.queue_id,))
            done.append(connection.changes() > 0)
        kept = [finding for finding, was_open in zip(findings, done, strict=True) if was_open]
        INSERT_HISTORY.run(connection, [history_row(row) for finding in kept for row in finding.history])
        events = list(chain.from_iterable(finding.suppressions for finding in kept))
        if events:
            note_suppressions(connection, events)
        keep_reports(connection, [report for finding in kept for report in finding.complaints])
        answers.append(done)
    return answers


_FINISH: Kind[apsw.Connection, Sequence[Finding], Sequence[bool]] = Kind("finish returned", _finish)
