-- What is known of TLS on the road: MTA-STS policies, levels, tallies for TLSRPT.

-- mx and text are JSON arrays: the patterns, and the lines of the policy as TLSRPT repeats them.
CREATE TABLE tls_policy (
    domain     TEXT PRIMARY KEY,
    mode       TEXT NOT NULL,
    mx         TEXT NOT NULL,
    policy_id  TEXT NOT NULL,
    expires_at REAL NOT NULL,
    text       TEXT NOT NULL,
    fetched_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tls_level (
    host    TEXT PRIMARY KEY,
    level   TEXT NOT NULL,
    since   REAL NOT NULL,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- day counts from the Unix epoch, in UTC. policy and failure are JSON; failure is '' for success.
CREATE TABLE tls_tally (
    day     INTEGER NOT NULL,
    domain  TEXT NOT NULL,
    policy  TEXT NOT NULL,
    failure TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (day, domain, policy, failure)
) STRICT, WITHOUT ROWID;
