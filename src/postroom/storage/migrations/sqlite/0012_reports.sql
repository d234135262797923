-- What others report about our mail: DMARC, TLS, failures, complaints; and mail that may bring such a report.

-- name is the reporter's id of it; came_to the domain of the address that it came to, '' where it was imported.
-- author is the domain that its mail passed DMARC for, '' for none, NULL where nobody knows. passed and failed count
-- messages or sessions. detail is the report as JSON, without the rows that report_record has.
CREATE TABLE report (
    report_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    domain      TEXT NOT NULL,
    reporter    TEXT NOT NULL,
    name        TEXT NOT NULL,
    begins      REAL NOT NULL,
    ends        REAL NOT NULL,
    passed      INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    received_at REAL NOT NULL,
    came_to     TEXT NOT NULL,
    queue_id    INTEGER NOT NULL,
    author      TEXT,
    unlisted_passed INTEGER NOT NULL,
    unlisted_failed INTEGER NOT NULL,
    detail      TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX report_name ON report (kind, domain, reporter, name);
CREATE INDEX report_ends ON report (kind, ends);
CREATE INDEX report_received ON report (received_at);
CREATE INDEX report_came ON report (came_to, kind, received_at);

-- results and overrides are what flows are told apart by, as JSON; detail is the row as JSON.
CREATE TABLE report_record (
    report_id     INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    source        TEXT NOT NULL,
    header_from   TEXT NOT NULL,
    envelope_from TEXT NOT NULL,
    disposition   TEXT NOT NULL,
    dkim          TEXT NOT NULL,
    spf           TEXT NOT NULL,
    results       TEXT NOT NULL,
    overrides     TEXT NOT NULL,
    count         INTEGER NOT NULL,
    detail        TEXT NOT NULL,
    PRIMARY KEY (report_id, number)
) STRICT, WITHOUT ROWID;

-- result is '' for the sessions that succeeded.
CREATE TABLE report_tls (
    report_id      INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    domain         TEXT NOT NULL,
    policy         TEXT NOT NULL,
    result         TEXT NOT NULL,
    receiving_host TEXT NOT NULL,
    sending_ip     TEXT NOT NULL,
    code           TEXT NOT NULL,
    count          INTEGER NOT NULL,
    PRIMARY KEY (report_id, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER report_gone AFTER DELETE ON report BEGIN
    DELETE FROM report_record WHERE report_id = old.report_id;
    DELETE FROM report_tls WHERE report_id = old.report_id;
END;

-- Mail to a report address that is still to be read, written with its intake. recipients are those addresses, as JSON;
-- content is NULL where it is large: then the message stays until it was read.
CREATE TABLE reported (
    queue_id   INTEGER PRIMARY KEY,
    at         REAL NOT NULL,
    recipients TEXT NOT NULL,
    author     TEXT,
    content    BLOB
) STRICT;
