"""Brings the schema up to date: numbered .sql files, forward only, checked at start."""

import re
from dataclasses import dataclass
from importlib import resources

import apsw

from postroom.mail.trouble import StoreUnavailable

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_APPLICATION_ID = 0x506F7374  # "Post": `file` and a person can tell whose database it is


class StoreVersionError(StoreUnavailable):
    """The database is not of a version that this program can use; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; ``version`` is its number, counted from 1 without gaps."""

    version: int
    name: str
    sql: str


def migrations() -> tuple[Migration, ...]:
    """All steps in order, as they were shipped."""
    files = resources.files("postroom.storage.migrations").joinpath("sqlite").iterdir()
    found = [
        Migration(int(match[1]), file.name, file.read_text("utf-8"))
        for file in files
        if (match := _NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda step: step.version))


def version_of(connection: apsw.Connection) -> int:
    """The version of the database; 0 for an empty one."""
    return int(connection.pragma("user_version"))


def check_version(connection: apsw.Connection, steps: tuple[Migration, ...]) -> None:
    """Refuse a database that is not of the newest version that this program knows. Raises StoreVersionError."""
    version, newest = version_of(connection), steps[-1].version
    if version > newest:
        raise StoreVersionError(
            f"the database is of version {version}, this program knows versions up to {newest}: use a newer Postroom"
        )
    if version < newest:
        raise StoreVersionError(
            f"the database is of version {version} and must be brought to {newest}: start the server"
        )


def migrate(connection: apsw.Connection, steps: tuple[Migration, ...]) -> int:
    """Apply the steps that the database lacks, each in a transaction of its own; returns how many.

    Raises StoreVersionError for a database that is newer than the program, or not Postroom's.
    """
    done = 0
    for step in steps:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked inside the transaction: another process may be starting too.
            if version_of(connection) < step.version:
                if step.version == 1 and connection.execute("SELECT count(*) FROM sqlite_schema").get:
                    raise StoreVersionError("the file is a database, but not one of Postroom's")
                connection.execute(step.sql)
                connection.pragma("user_version", step.version)
                connection.pragma("application_id", _APPLICATION_ID)
                done += 1
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    check_version(connection, steps)
    return done
