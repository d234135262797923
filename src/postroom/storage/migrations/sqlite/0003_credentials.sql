-- Further credentials of an account: SCRAM keys, app passwords.

-- Whether mail programs must use an app password: the account's own is refused then.
ALTER TABLE account ADD COLUMN app_passwords_only INTEGER NOT NULL DEFAULT 0;

-- A password of the machine's own making. protocols is a JSON array, empty for all; digest is a SHA-256.
CREATE TABLE app_password (
    app_password_id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id      INTEGER NOT NULL,
    label           TEXT NOT NULL,
    protocols       TEXT NOT NULL,
    digest          BLOB NOT NULL,
    created_at      REAL NOT NULL,
    last_used       REAL,
    UNIQUE (account_id, label)
) STRICT;

-- What SCRAM proves a password against; app_password_id is 0 for the account's own.
CREATE TABLE scram_key (
    account_id      INTEGER NOT NULL,
    app_password_id INTEGER NOT NULL,
    algorithm       TEXT NOT NULL,
    salt            BLOB NOT NULL,
    iterations      INTEGER NOT NULL,
    stored_key      BLOB NOT NULL,
    server_key      BLOB NOT NULL,
    PRIMARY KEY (account_id, app_password_id, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER app_password_takes_its_keys AFTER DELETE ON app_password
BEGIN
    DELETE FROM scram_key WHERE account_id = old.account_id AND app_password_id = old.app_password_id;
END;

CREATE TRIGGER account_takes_its_credentials AFTER DELETE ON account
BEGIN
    DELETE FROM app_password WHERE account_id = old.account_id;
    DELETE FROM scram_key WHERE account_id = old.account_id;
END;

-- Random octets that are this store's own, for ever.
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO secret (name, value) VALUES ('scram', randomblob(32));
