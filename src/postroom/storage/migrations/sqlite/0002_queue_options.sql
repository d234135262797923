-- What further SMTP extensions ask of a message: DELIVERBY, FUTURERELEASE, MT-PRIORITY, REQUIRETLS.

-- JSON, NULL for the many messages that ask for none of it.
ALTER TABLE message ADD COLUMN options TEXT;

-- RFC 6710: -9 to 9. It stands here too, because it has a part in the order of the waiting rows.
ALTER TABLE recipient ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

DROP INDEX recipient_waiting;
CREATE INDEX recipient_waiting ON recipient (domain, priority, next_attempt, state, lease_node)
    WHERE lease_node IS NULL AND next_attempt IS NOT NULL;

-- When the first waiting recipient of each domain and priority is due: one line of the queue each, so that neither
-- hides behind the other, however long they are.
DROP TABLE destination;
CREATE TABLE destination (
    domain       TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    next_attempt REAL,
    PRIMARY KEY (domain, priority)
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_next ON destination (priority, next_attempt);
INSERT INTO destination (domain, priority, next_attempt)
    SELECT domain, priority, min(next_attempt) FROM recipient INDEXED BY recipient_waiting
    WHERE lease_node IS NULL AND next_attempt IS NOT NULL GROUP BY domain, priority;
