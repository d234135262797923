-- What is counted for the DMARC reports that we send.

-- day counts from the Unix epoch, in UTC. policy and result are JSON; result is '' for what there was no room for.
CREATE TABLE dmarc_tally (
    day    INTEGER NOT NULL,
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,
    result TEXT NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (day, domain, policy, result)
) STRICT, WITHOUT ROWID;
