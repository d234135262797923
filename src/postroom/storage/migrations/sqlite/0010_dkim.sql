-- The keys that our mail is signed with. What has been withdrawn stays without its secret, so that no selector comes
-- again. Times are seconds since the Unix epoch; secret is NULL where the private half has gone.
INSERT INTO counter (name, value) VALUES ('dkim', 0);

CREATE TABLE dkim_key (
    domain       TEXT NOT NULL,
    selector     TEXT NOT NULL,
    algorithm    TEXT NOT NULL,
    record       TEXT NOT NULL,
    made_at      REAL NOT NULL,
    state        TEXT NOT NULL,
    published_at REAL,
    seen_since   REAL,
    sights       INTEGER NOT NULL,
    active_at    REAL,
    retired_at   REAL,
    withdrawn_at REAL,
    told_at      REAL,
    put_by       TEXT NOT NULL,
    ordered      TEXT NOT NULL,
    trouble      TEXT NOT NULL,
    version      INTEGER NOT NULL,
    secret       BLOB,
    PRIMARY KEY (domain, selector)
) STRICT, WITHOUT ROWID;
