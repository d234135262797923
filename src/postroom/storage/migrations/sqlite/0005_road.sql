-- The queue on the road: destinations by rule, return paths, pauses.

-- Under what the recipient waits: its domain, followed by a blank and the name of the rule that it goes by, where it
-- goes by one. return_path is JSON, [local, domain], NULL where it is sent with the envelope's reverse-path.
ALTER TABLE recipient ADD COLUMN destination TEXT NOT NULL DEFAULT '';
ALTER TABLE recipient ADD COLUMN return_path TEXT;
DROP INDEX recipient_waiting;
DROP INDEX recipient_leased;
UPDATE recipient SET destination = domain;
CREATE INDEX recipient_waiting ON recipient (destination, priority, next_attempt, state, lease_node)
    WHERE lease_node IS NULL AND next_attempt IS NOT NULL;
CREATE INDEX recipient_leased ON recipient (next_attempt, destination) WHERE lease_node IS NOT NULL;

DROP TABLE destination;
CREATE TABLE destination (
    destination  TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    next_attempt REAL,
    PRIMARY KEY (destination, priority)
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_next ON destination (priority, next_attempt);
INSERT INTO destination (destination, priority, next_attempt)
    SELECT destination, priority, min(next_attempt) FROM recipient INDEXED BY recipient_waiting
    WHERE lease_node IS NULL AND next_attempt IS NOT NULL GROUP BY destination, priority;

-- What operators stopped: kind is domain, site or sender; until is NULL where nobody said when it ends.
CREATE TABLE pause (
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    since   REAL NOT NULL,
    until   REAL,
    reason  TEXT NOT NULL,
    author  TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- What a running server looks at to hear of commands: orders is raised by each of them, flushes by each flush of the
-- queue, recalls when recipients were taken from a server that had them in hand.
INSERT INTO counter (name, value) VALUES ('orders', 0), ('flushes', 0), ('recalls', 0);

-- Mail that waits is found in the queue, and leaves a row of its end here: what is written before that, with each retry
-- of each recipient, need not be sorted in among millions.
DROP INDEX history_recipient;
CREATE INDEX history_recipient ON history (day, recipient COLLATE NOCASE)
    WHERE recipient <> '' AND kind NOT IN ('accepted', 'deferred', 'put_off');
