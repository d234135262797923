-- Further credentials of an account: SCRAM keys, app passwords.
SELECT 1;
