-- The first schema: directory, messages, queue, mailboxes, history.
-- Times are seconds since the Unix epoch, sizes octets. Ids of messages are Postroom's own queue ids, in order of time.

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('directory', 0);

-- Who lives here -------------------------------------------------------------------------------------------------

CREATE TABLE domain (
    name             TEXT PRIMARY KEY,
    created_at       REAL NOT NULL,
    catch_all_local  TEXT,
    catch_all_domain TEXT
) STRICT, WITHOUT ROWID;

-- octets and messages are what the mailbox holds; every transaction that adds or removes entries keeps them true.
CREATE TABLE account (
    account_id INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL UNIQUE,
    local      TEXT NOT NULL,
    domain     TEXT NOT NULL,
    password   TEXT NOT NULL,
    quota      INTEGER NOT NULL,
    enabled    INTEGER NOT NULL,
    created_at REAL NOT NULL,
    octets     INTEGER NOT NULL DEFAULT 0,
    messages   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX account_domain ON account (domain);

CREATE TABLE alias (
    key    TEXT PRIMARY KEY,
    local  TEXT NOT NULL,
    domain TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_domain ON alias (domain);

CREATE TABLE alias_target (
    alias_key  TEXT NOT NULL,
    position   INTEGER NOT NULL,
    target_key TEXT NOT NULL,
    local      TEXT NOT NULL,
    domain     TEXT NOT NULL,
    PRIMARY KEY (alias_key, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_target_key ON alias_target (target_key);

-- Messages -------------------------------------------------------------------------------------------------------

-- A row lives while a recipient row or a mailbox entry refers to it. Rows are never updated.
-- recipients is what the client asked for, as JSON; NULL where it is just what the recipient rows say.
-- content is NULL where it stands in as many chunk rows as chunks says.
CREATE TABLE message (
    queue_id      INTEGER PRIMARY KEY,
    received_at   REAL NOT NULL,
    sender_local  TEXT,
    sender_domain TEXT,
    recipients    TEXT,
    body          TEXT NOT NULL,
    smtputf8      INTEGER NOT NULL,
    ret           TEXT,
    envid         TEXT NOT NULL,
    account       TEXT NOT NULL,
    client        TEXT NOT NULL,
    message_id    TEXT NOT NULL,
    content_size  INTEGER NOT NULL,
    chunks        INTEGER NOT NULL,
    prefix        BLOB NOT NULL,
    content       BLOB
) STRICT;

-- Large content, written while it arrives, before its message.
CREATE TABLE chunk (
    chunk_id INTEGER PRIMARY KEY,
    queue_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    data     BLOB NOT NULL,
    UNIQUE (queue_id, sequence)
) STRICT;

CREATE TRIGGER message_takes_its_chunks AFTER DELETE ON message WHEN old.chunks > 0
BEGIN
    DELETE FROM chunk WHERE queue_id = old.queue_id;
END;

-- The queue ------------------------------------------------------------------------------------------------------

-- Three kinds of rows: leased (lease_node set, next_attempt is when the lease ends), waiting (next_attempt set), and the
-- rest (held, or final while other recipients of the message are not). Each kind has its own partial index, so that fresh
-- mail, leased from its intake until it is settled, touches only one small index.
-- lost remembers that a lease ended without a settlement: the attempt under it may have succeeded.
CREATE TABLE recipient (
    queue_id     INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    local        TEXT NOT NULL,
    domain       TEXT NOT NULL,
    notify       INTEGER,
    orcpt        TEXT NOT NULL,
    state        TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    next_attempt REAL,
    last_attempt REAL,
    last_reply   TEXT,
    last_peer    TEXT,
    delay_told   INTEGER NOT NULL,
    lease_node   TEXT,
    lost         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue_id, number)
) STRICT, WITHOUT ROWID;
-- lease_node stands in the first only so that a count need not look into the table.
CREATE INDEX recipient_waiting ON recipient (domain, next_attempt, state, lease_node)
    WHERE lease_node IS NULL AND next_attempt IS NOT NULL;
CREATE INDEX recipient_leased ON recipient (next_attempt, domain) WHERE lease_node IS NOT NULL;
CREATE INDEX recipient_resting ON recipient (state, domain) WHERE next_attempt IS NULL;

-- When the first waiting recipient of each domain is due: what is due is found without a walk past the rows of a
-- destination that is left out, however many they are. Kept true by every transaction that changes waiting rows.
CREATE TABLE destination (
    domain       TEXT PRIMARY KEY,
    next_attempt REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_next ON destination (next_attempt);

-- Mailboxes ------------------------------------------------------------------------------------------------------

-- AUTOINCREMENT: an entry id is never reused, so it is the UIDL (RFC 1939 §7).
CREATE TABLE entry (
    entry_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL,
    queue_id    INTEGER NOT NULL,
    recipient   TEXT NOT NULL,
    size        INTEGER NOT NULL,
    received_at REAL NOT NULL,
    prefix      BLOB NOT NULL
) STRICT;
CREATE INDEX entry_account ON entry (account_id);
CREATE INDEX entry_message ON entry (queue_id);

-- History --------------------------------------------------------------------------------------------------------

-- day is the day of at since the Unix epoch. It leads the two indexes that would otherwise be written all over: within
-- one day they stay in memory, and a search asks once for each of the days that are kept.
CREATE TABLE history (
    history_id INTEGER PRIMARY KEY,
    queue_id   INTEGER NOT NULL,
    at         REAL NOT NULL,
    day        INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    domain     TEXT NOT NULL,
    message_id TEXT NOT NULL,
    detail     TEXT NOT NULL
) STRICT;
CREATE INDEX history_message ON history (queue_id);
CREATE INDEX history_at ON history (at);
CREATE INDEX history_recipient ON history (day, recipient COLLATE NOCASE) WHERE recipient <> '';
CREATE INDEX history_message_id ON history (day, message_id) WHERE message_id <> '';
