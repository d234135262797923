"""Reports of others about our mail: DMARC (RFC 7489, RFC 9990), TLSRPT (RFC 8460), failures (RFC 6591), complaints."""
