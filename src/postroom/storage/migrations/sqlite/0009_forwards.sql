-- Accounts whose mail goes on to others.

-- forwards is a JSON array of [local, domain], NULL for none; keep: whether its mail stays in its mailbox too.
ALTER TABLE account ADD COLUMN forwards TEXT;
ALTER TABLE account ADD COLUMN keep INTEGER NOT NULL DEFAULT 1;
