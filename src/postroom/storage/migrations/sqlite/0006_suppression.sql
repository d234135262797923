-- Addresses that are not written to again, and what came back.
INSERT INTO counter (name, value) VALUES ('suppression', 0);

-- key is the address as the directory compares it (local part case-folded); local and domain are as it was written.
CREATE TABLE suppression (
    sender_domain TEXT NOT NULL,
    key           TEXT NOT NULL,
    local         TEXT NOT NULL,
    domain        TEXT NOT NULL,
    origin        TEXT NOT NULL,
    cause         TEXT NOT NULL,
    since         REAL NOT NULL,
    latest        REAL NOT NULL,
    until         REAL NOT NULL,
    count         INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    queue_id      INTEGER NOT NULL,
    PRIMARY KEY (sender_domain, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppression_key ON suppression (key);
CREATE INDEX suppression_until ON suppression (until);

-- Mail that may be a bounce or a complaint and is still to be looked at, written with its intake.
-- recipients are those that it came for, as JSON; content is kept where no mailbox does: it may have gone on by then.
CREATE TABLE returned (
    queue_id    INTEGER PRIMARY KEY,
    at          REAL NOT NULL,
    recipients  TEXT NOT NULL,
    null_sender INTEGER NOT NULL,
    content     BLOB
) STRICT;
