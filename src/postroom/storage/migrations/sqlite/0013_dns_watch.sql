-- What the last looks at the DNS of the host ('') and of our domains found; see admin/dnswatch.

-- faults is a JSON array of [fault, subject, level, what, since, sights, missed, told].
CREATE TABLE dns_watch (
    domain    TEXT PRIMARY KEY,
    looked_at REAL NOT NULL,
    faults    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
