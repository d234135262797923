-- How sites stand with our source addresses: what was learned of them, and what was sent. Times are seconds since the
-- epoch. "limits", "used" and "causes" are JSON: nobody asks for parts of them.

CREATE TABLE site_standing (
    site          TEXT    NOT NULL,
    source        TEXT    NOT NULL,            -- '': the system's choice
    rule          TEXT    NOT NULL,
    limits        TEXT    NOT NULL,            -- what the rule says, for people
    concurrency   INTEGER NOT NULL,
    rate          REAL,                        -- messages a minute, as learned; NULL: no limit is known
    rate_ceiling  REAL,
    too_many      INTEGER,
    why           TEXT    NOT NULL,
    changed_at    REAL,
    blocked_until REAL,
    blocked_for   TEXT    NOT NULL,
    backoff       REAL    NOT NULL,
    used          TEXT    NOT NULL,            -- when each rate of the rule has room for all of it again
    minute        INTEGER NOT NULL,            -- messages taken within these before seen_at
    hour          INTEGER NOT NULL,
    day           INTEGER NOT NULL,
    delivered     INTEGER NOT NULL,            -- recipients, since "since"
    deferred      INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    causes        TEXT    NOT NULL,            -- of the deferred and the failed: [[cause, count], …]
    last_reply    TEXT    NOT NULL,
    since         REAL    NOT NULL,
    seen_at       REAL    NOT NULL,
    PRIMARY KEY (site, source)
) WITHOUT ROWID;

CREATE INDEX site_standing_seen ON site_standing (seen_at);

CREATE TABLE warmup_count (
    source   TEXT    NOT NULL,
    provider TEXT    NOT NULL,
    day      INTEGER NOT NULL,                 -- days since the epoch, UTC
    messages INTEGER NOT NULL,
    PRIMARY KEY (source, provider, day)
) WITHOUT ROWID;
