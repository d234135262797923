-- What guards the door: standing of rate limits, limits of single accounts, failures, bans, known clients of accounts.
-- Times are seconds since the Unix epoch. Only operators' changes raise the counter; what a server counts does not.

INSERT INTO counter (name, value) VALUES ('guard', 0);

-- tat: when the subject will have used up nothing of the rate any more (see net/gcra.py).
CREATE TABLE guard_standing (
    scope   TEXT NOT NULL,
    subject TEXT NOT NULL,
    rate    TEXT NOT NULL,
    tat     REAL NOT NULL,
    PRIMARY KEY (scope, subject, rate)
) STRICT, WITHOUT ROWID;

-- Rates as in the settings, comma between them; '' for no limit, NULL for that of the settings.
CREATE TABLE guard_limit (
    account    TEXT PRIMARY KEY,
    messages   TEXT,
    recipients TEXT
) STRICT, WITHOUT ROWID;

-- Points in the window that began at began, and in the one before it. They are worth nothing from ends.
CREATE TABLE guard_failure (
    scope   TEXT NOT NULL,
    subject TEXT NOT NULL,
    began   REAL NOT NULL,
    now     INTEGER NOT NULL,
    before  INTEGER NOT NULL,
    ends    REAL NOT NULL,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;

-- A ban that is over is kept for a day, because the next one is longer; one that was lifted says by whom.
CREATE TABLE guard_ban (
    scope     TEXT NOT NULL,
    subject   TEXT NOT NULL,
    since     REAL NOT NULL,
    until     REAL NOT NULL,
    reason    TEXT NOT NULL,
    failures  INTEGER NOT NULL,
    repeats   INTEGER NOT NULL,
    author    TEXT NOT NULL,
    lifted_by TEXT NOT NULL,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE guard_acquaintance (
    account TEXT NOT NULL,
    network TEXT NOT NULL,
    seen_at REAL NOT NULL,
    PRIMARY KEY (account, network)
) STRICT, WITHOUT ROWID;

-- What was said of an account goes with it: another of the same address begins anew.
CREATE TRIGGER guard_account_gone AFTER DELETE ON account BEGIN
    DELETE FROM guard_limit WHERE account = OLD.key;
    DELETE FROM guard_acquaintance WHERE account = OLD.key;
    UPDATE counter SET value = value + 1 WHERE name = 'guard';
END;
