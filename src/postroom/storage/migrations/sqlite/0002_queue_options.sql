-- What further SMTP extensions ask of a message: DELIVERBY, FUTURERELEASE, MT-PRIORITY, REQUIRETLS.
SELECT 1;
