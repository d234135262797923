-- What guards the door: standing of rate limits, limits of single accounts, bans.
SELECT 1;
